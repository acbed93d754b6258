//! Reading firmware's tables wherever they lie.

use super::{layout, paging};
use crate::lock::IrqLock;
use crate::machine::phys::{PhysRange, PhysRead, PhysReadError};

/// Pages outside the direct map that may be looked at: firmware that puts its tables into reserved memory
/// needs a handful.
const MAX_PAGES: usize = 64;

/// Reads physical memory: through the direct map what it shows, other pages through mappings of their own.
pub(super) struct FirmwareMemory<'a> {
    /// Whether the direct map shows all of a range.
    pub(super) is_direct: &'a dyn Fn(PhysRange) -> bool,
}

/// (page address, where it is mapped)
static PAGES: IrqLock<[Option<(u64, u64)>; MAX_PAGES]> = IrqLock::new([None; MAX_PAGES]);

impl FirmwareMemory<'_> {
    /// Where the page at `page` can be read.
    fn window(&self, page: u64) -> Option<u64> {
        if (self.is_direct)(PhysRange::from_len(page, 4096)) {
            return Some(layout::DIRECT_START + page);
        }
        let mut pages = PAGES.lock();
        if let Some((_, mapped)) = pages.iter().flatten().find(|(known, _)| *known == page) {
            return Some(*mapped);
        }
        let slot = pages.iter_mut().find(|slot| slot.is_none())?;
        if page >= 1 << super::features::address_bits() {
            return None;
        }
        // SAFETY: firmware says that a table is there; it is only read.
        let mapped = unsafe { paging::map_device(page, 4096) };
        *slot = Some((page, mapped));
        Some(mapped)
    }
}

impl PhysRead for FirmwareMemory<'_> {
    fn read(&self, address: u64, buf: &mut [u8]) -> Result<(), PhysReadError> {
        let failed = PhysReadError { address };
        address.checked_add(buf.len() as u64).ok_or(failed)?;
        let mut at = address;
        let mut rest = buf;
        while !rest.is_empty() {
            let offset = (at % 4096) as usize;
            let count = rest.len().min(4096 - offset);
            let window = self.window(at & !4095).ok_or(failed)?;
            let (piece, tail) = rest.split_at_mut(count);
            for (index, byte) in piece.iter_mut().enumerate() {
                // SAFETY: inside a page that `window` has mapped; firmware memory is only read.
                *byte =
                    unsafe { ((window as usize + offset + index) as *const u8).read_volatile() };
            }
            rest = tail;
            at += count as u64;
        }
        Ok(())
    }
}
