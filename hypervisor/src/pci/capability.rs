//! The list of capabilities of a function, and the two that are about interrupts.

use super::{ConfigSpace, Function, PORT_SPACE};
use crate::emulate::insn::Width;

const STATUS: u16 = 0x06;
const HAS_LIST: u32 = 1 << 4;
const LIST: u16 = 0x34;
/// First byte behind the header: no capability begins before.
const FIRST: u16 = 0x40;
/// The most that fit in configuration space; a longer list is a circle.
const MOST: usize = ((PORT_SPACE - FIRST) / 4) as usize;

const MSI: u32 = 0x05;
const MSI_X: u32 = 0x11;

/// Whether there is such a function.
pub fn is_present(space: &impl ConfigSpace, at: Function) -> bool {
    space.read(at, 0, Width::Word) != 0xffff
}

/// Offset of the first capability with this number.
fn find(space: &impl ConfigSpace, at: Function, id: u32) -> Option<u16> {
    if space.read(at, STATUS, Width::Word) & HAS_LIST == 0 {
        return None;
    }
    let mut offset = space.read(at, LIST, Width::Byte) as u16 & 0xfc;
    for _ in 0..MOST {
        if !(FIRST..PORT_SPACE).contains(&offset) {
            return None;
        }
        let head = space.read(at, offset, Width::Word);
        if head & 0xff == id {
            return Some(offset);
        }
        offset = (head >> 8) as u16 & 0xfc;
    }
    None
}

/// Registers of a function's MSI capability (PCI local bus specification 3.0, 6.8.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Msi {
    /// Where it begins.
    pub offset: u16,
    /// Whether the address has an upper half.
    pub is_64_bit: bool,
    /// Whether each message has a mask bit.
    pub is_maskable: bool,
}

/// Control word: messages can be sent.
pub const MSI_ENABLE: u32 = 1 << 0;
/// Control word: log2 of the number of messages that may be sent.
pub const MSI_COUNT: u32 = 7 << 4;

impl Msi {
    /// That of `at`. `None` if it has none, or one that does not fit.
    pub fn find(space: &impl ConfigSpace, at: Function) -> Option<Self> {
        let offset = find(space, at, MSI)?;
        let control = space.read(at, offset + 2, Width::Word);
        let msi = Self {
            offset,
            is_64_bit: control & 1 << 7 != 0,
            is_maskable: control & 1 << 8 != 0,
        };
        (msi.end() <= PORT_SPACE).then_some(msi)
    }

    /// The control word.
    #[must_use]
    pub const fn control(self) -> u16 {
        self.offset + 2
    }

    /// The address; its upper half is behind it if there is one.
    #[must_use]
    pub const fn address(self) -> u16 {
        self.offset + 4
    }

    /// The data.
    #[must_use]
    pub const fn data(self) -> u16 {
        self.offset + if self.is_64_bit { 12 } else { 8 }
    }

    /// The mask bits, if there are any.
    #[must_use]
    pub const fn mask(self) -> Option<u16> {
        if self.is_maskable {
            Some(self.data() + 4)
        } else {
            None
        }
    }

    /// First byte behind it.
    #[must_use]
    pub const fn end(self) -> u16 {
        // The data has two bytes of its own; mask and pending bits four each.
        self.data() + if self.is_maskable { 12 } else { 2 }
    }
}

/// Registers of a function's MSI-X capability (PCI local bus specification 3.0, 6.8.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MsiX {
    /// Where it begins.
    pub offset: u16,
    /// Entries in its table.
    pub entries: u16,
    /// Which base address register the table is behind, and how far behind.
    pub table: (u8, u32),
    /// The same of the pending bits.
    pub pending: (u8, u32),
}

/// Control word: messages can be sent.
pub const MSIX_ENABLE: u32 = 1 << 15;
/// Control word: all are masked.
pub const MSIX_MASK_ALL: u32 = 1 << 14;
/// Bytes of an entry of the table: address, upper half, data, control.
pub const MSIX_ENTRY_BYTES: u64 = 16;

impl MsiX {
    /// That of `at`. `None` if it has none, or one that makes no sense.
    pub fn find(space: &impl ConfigSpace, at: Function) -> Option<Self> {
        let offset = find(space, at, MSI_X).filter(|offset| offset + 12 <= PORT_SPACE)?;
        let control = space.read(at, offset + 2, Width::Word);
        let place = |register| {
            let word = space.read(at, register, Width::Dword);
            ((word & 7) as u8, word & !7)
        };
        Some(Self {
            offset,
            entries: (control & 0x7ff) as u16 + 1,
            table: place(offset + 4),
            pending: place(offset + 8),
        })
        .filter(|msix| msix.table.0 < 6 && msix.pending.0 < 6)
    }

    /// The control word.
    #[must_use]
    pub const fn control(self) -> u16 {
        self.offset + 2
    }

    /// First byte behind it.
    #[must_use]
    pub const fn end(self) -> u16 {
        self.offset + 12
    }
}

/// Machine address that base address register `index` of `at` decodes. `None` if it is one of I/O ports, the upper half of another, or
/// decodes nothing.
pub fn memory_bar(space: &impl ConfigSpace, at: Function, index: u8) -> Option<u64> {
    const FIRST_BAR: u16 = 0x10;
    let bars = match space.read(at, 0x0e, Width::Byte) & 0x7f {
        0 => 6,
        1 => 2,
        _ => 0,
    };
    if index >= bars {
        return None;
    }
    let register = FIRST_BAR + 4 * u16::from(index);
    let low = space.read(at, register, Width::Dword);
    if low & 1 != 0 {
        return None;
    }
    let high = match low >> 1 & 3 {
        0 => 0,
        2 if index + 1 < bars => space.read(at, register + 4, Width::Dword),
        _ => return None,
    };
    let address = u64::from(high) << 32 | u64::from(low & !0xf);
    (address != 0).then_some(address)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use core::cell::RefCell;

    struct Space(RefCell<[u8; 256]>);

    impl ConfigSpace for Space {
        fn read(&self, _: Function, offset: u16, width: Width) -> u32 {
            let bytes = self.0.borrow();
            (0..width.bytes() as usize)
                .map(|n| u32::from(bytes[usize::from(offset) + n]) << (8 * n))
                .sum()
        }

        fn write(&self, _: Function, offset: u16, width: Width, value: u32) {
            let mut bytes = self.0.borrow_mut();
            for n in 0..width.bytes() as usize {
                bytes[usize::from(offset) + n] = (value >> (8 * n)) as u8;
            }
        }
    }

    const AT: Function = Function {
        segment: 0,
        bus: 0,
        devfn: 0x18,
    };

    fn space(list: &[(u16, u32)]) -> Space {
        let space = Space(RefCell::new([0; 256]));
        space.write(AT, STATUS, Width::Word, HAS_LIST);
        for &(offset, value) in list {
            space.write(AT, offset, Width::Dword, value);
        }
        space
    }

    #[test]
    fn capabilities_are_found_along_the_list() {
        let space = space(&[
            (LIST, 0x40),
            (0x40, 0x0003_5001),
            (0x50, 0x0180_6005),
            (0x60, 0x8003_0011),
            (0x64, 0x2001),
            (0x68, 0x3002),
        ]);
        let msi = Msi::find(&space, AT).expect("listed");
        assert_eq!(
            (msi.control(), msi.address(), msi.data()),
            (0x52, 0x54, 0x5c)
        );
        assert_eq!((msi.mask(), msi.end()), (Some(0x60), 0x68));
        let msix = MsiX::find(&space, AT).expect("listed");
        assert_eq!(msix.entries, 4);
        assert_eq!((msix.table, msix.pending), ((1, 0x2000), (2, 0x3000)));
    }

    #[test]
    fn a_short_form_has_its_data_after_the_lower_address() {
        let space = space(&[(LIST, 0x50), (0x50, 0x0000_0005)]);
        let msi = Msi::find(&space, AT).expect("listed");
        assert_eq!((msi.data(), msi.mask(), msi.end()), (0x58, None, 0x5a));
    }

    #[test]
    fn a_circle_ends_and_nothing_is_found_where_there_is_nothing() {
        let circle = space(&[(LIST, 0x40), (0x40, 0x5001), (0x50, 0x4002)]);
        assert_eq!(Msi::find(&circle, AT), None);
        let outside = space(&[(LIST, 0x10)]);
        assert_eq!(Msi::find(&outside, AT), None);
        let at_the_end = space(&[(LIST, 0xfc), (0xfc, 0x0180_0005)]);
        assert_eq!(Msi::find(&at_the_end, AT), None);
        let late = space(&[(LIST, 0xfc), (0xfc, 0x0011)]);
        assert_eq!(MsiX::find(&late, AT), None);
        let unlisted = space(&[(LIST, 0x40), (0x40, 5)]);
        unlisted.write(AT, STATUS, Width::Word, 0);
        assert_eq!(Msi::find(&unlisted, AT), None);
    }

    #[test]
    fn base_addresses_are_those_of_memory() {
        let space = space(&[
            (0x10, 0xfebf_0000),
            (0x14, 0xc001),
            (0x18, 0xe000_000c),
            (0x1c, 0x12),
            (0x24, 0xf000_0004),
        ]);
        assert_eq!(memory_bar(&space, AT, 0), Some(0xfebf_0000));
        assert_eq!(memory_bar(&space, AT, 1), None);
        assert_eq!(memory_bar(&space, AT, 2), Some(0x12_e000_0000));
        assert_eq!(memory_bar(&space, AT, 4), None);
        // 64 bits, but the last register.
        assert_eq!(memory_bar(&space, AT, 5), None);
        assert_eq!(memory_bar(&space, AT, 6), None);
    }
}
