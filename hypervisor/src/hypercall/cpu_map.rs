//! Maps of processors in the memory of tools.

#![forbid(unsafe_code)]

use crate::arch::guest::access;
use crate::control::bitmap::{self, BYTES, MAX_BITS};
use crate::sched::CpuSet;
use guest_abi::bitmap::Bitmap;
use guest_abi::errno::Errno;
use guest_abi::ids::Vaddr;

/// Reads a map; processors beyond what a set can name are left out.
pub(super) fn read(map: &Bitmap) -> Result<CpuSet, Errno> {
    let mut bytes = [0; BYTES];
    let length = (map.nr_bits.div_ceil(8) as usize).min(BYTES);
    let wanted = bytes.get_mut(..length).unwrap_or(&mut []);
    access::read_bytes(map.bitmap, wanted).map_err(|_| Errno::EFAULT)?;
    Ok(bitmap::set(&bytes, map.nr_bits))
}

/// Writes a map, zeroes for processors beyond what a set can name.
pub(super) fn write(map: &Bitmap, set: &CpuSet) -> Result<(), Errno> {
    if map.nr_bits > MAX_BITS {
        return Err(Errno::EINVAL);
    }
    let mut bytes = [0; 64];
    let length = map.nr_bits.div_ceil(8) as usize;
    for start in (0..length).step_by(bytes.len()) {
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = bitmap::byte(set, start + index);
        }
        let piece = bytes
            .get(..(length - start).min(bytes.len()))
            .unwrap_or(&[]);
        let at = map
            .bitmap
            .0
            .checked_add(start as u64)
            .ok_or(Errno::EFAULT)?;
        access::write_bytes(Vaddr(at), piece).map_err(|_| Errno::EFAULT)?;
    }
    Ok(())
}
