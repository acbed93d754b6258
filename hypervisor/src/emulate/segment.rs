//! Segment descriptors as 32-bit code is subject to them. (64-bit code knows but the bases of FS and GS, which are in
//! registers.)
//!
//! A descriptor is eight bytes that the guest may replace at any time: they are read at once, and used from the copy. That a
//! selector is in a segment register proves nothing about what its descriptor is now. So what a processor would refuse to
//! load is no segment here, either, and descriptors of the hypervisor's own, which have privilege level 0, are none.

use super::machine::{CodeSegment, DataSegment};

const READABLE_OR_WRITABLE: u64 = 1 << 41;
const EXPAND_DOWN: u64 = 1 << 42;
const CODE: u64 = 1 << 43;
const CODE_OR_DATA: u64 = 1 << 44;
const LEVEL_3: u64 = 3 << 45;
const PRESENT: u64 = 1 << 47;
const LONG: u64 = 1 << 53;
const BIG: u64 = 1 << 54;
const PAGES: u64 = 1 << 55;
/// What every segment of a guest has.
const OF_GUEST: u64 = PRESENT | LEVEL_3 | CODE_OR_DATA;

/// Where a descriptor is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// This entry of the GDT.
    Global(u16),
    /// This entry of the LDT.
    Local(u16),
}

impl Place {
    /// Where the descriptor of `selector` is, in a GDT of `gdt_entries` and an LDT of `ldt_entries`. `None`: it has none,
    /// because it is null or its table has no such entry.
    #[must_use]
    pub const fn of(selector: u16, gdt_entries: u32, ldt_entries: u32) -> Option<Self> {
        const LOCAL: u16 = 4;
        let index = selector >> 3;
        if selector & LOCAL != 0 {
            if (index as u32) < ldt_entries {
                return Some(Self::Local(index));
            }
        } else if index != 0 && (index as u32) < gdt_entries {
            return Some(Self::Global(index));
        }
        None
    }
}

const fn base(descriptor: u64) -> u32 {
    (descriptor >> 16 & 0xff_ffff | descriptor >> 32 & 0xff00_0000) as u32
}

/// The limit in bytes: what is counted in pages is up to the last byte of one.
const fn limit(descriptor: u64) -> u32 {
    let limit = (descriptor & 0xffff | descriptor >> 32 & 0xf_0000) as u32;
    if descriptor & PAGES == 0 {
        limit
    } else {
        limit << 12 | 0xfff
    }
}

/// The code segment that `descriptor` describes.
#[must_use]
pub const fn code(descriptor: u64) -> CodeSegment {
    const ANY_CODE: u64 = OF_GUEST | CODE;
    if descriptor & ANY_CODE != ANY_CODE {
        return CodeSegment::Unsupported;
    }
    match (descriptor & LONG != 0, descriptor & BIG != 0) {
        (true, false) => CodeSegment::Bits64,
        (false, true) => CodeSegment::Bits32 {
            base: base(descriptor),
            limit: limit(descriptor),
        },
        (false, false) => CodeSegment::Bits16 {
            base: base(descriptor),
            limit: limit(descriptor),
        },
        // Reserved.
        (true, true) => CodeSegment::Unsupported,
    }
}

/// What `descriptor` means where 32-bit code reads or writes data; `None` if it is no segment.
#[must_use]
pub const fn data(descriptor: u64) -> Option<DataSegment> {
    if descriptor & OF_GUEST != OF_GUEST {
        return None;
    }
    let is_code = descriptor & CODE != 0;
    let may_more = descriptor & READABLE_OR_WRITABLE != 0;
    Some(DataSegment {
        base: base(descriptor),
        limit: limit(descriptor),
        is_readable: !is_code || may_more,
        is_writable: !is_code && may_more,
        // Of code, the bit says that it is conforming.
        is_expand_down: !is_code && descriptor & EXPAND_DOWN != 0,
        is_big: descriptor & BIG != 0,
    })
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{CodeSegment, DataSegment, Place, code, data};

    /// Access byte, flags, base and limit field, put where they belong.
    fn descriptor(access: u8, flags: u8, base: u32, limit: u32) -> u64 {
        let (base, limit) = (u64::from(base), u64::from(limit));
        limit & 0xffff
            | (base & 0xff_ffff) << 16
            | u64::from(access) << 40
            | (limit >> 16 & 0xf) << 48
            | u64::from(flags) << 52
            | (base >> 24) << 56
    }

    const FLAT: DataSegment = DataSegment {
        base: 0,
        limit: u32::MAX,
        is_readable: true,
        is_writable: true,
        is_expand_down: false,
        is_big: true,
    };

    #[test]
    fn base_and_limit_are_put_together_from_their_parts() {
        let found = code(descriptor(0xfb, 0x4, 0x1234_5678, 0xa_bcde));
        assert_eq!(
            found,
            CodeSegment::Bits32 {
                base: 0x1234_5678,
                limit: 0xa_bcde
            }
        );
        let found = data(descriptor(0xf3, 0xc, 0xfedc_ba98, 0x1_2345));
        assert_eq!(
            found,
            Some(DataSegment {
                base: 0xfedc_ba98,
                limit: 0x1234_5fff,
                ..FLAT
            })
        );
        // Those that every guest may use.
        assert_eq!(data(0x00cf_f300_0000_ffff), Some(FLAT));
        let flat_code = CodeSegment::Bits32 {
            base: 0,
            limit: u32::MAX,
        };
        assert_eq!(code(0x00cf_fb00_0000_ffff), flat_code);
        assert_eq!(code(0x00af_fb00_0000_ffff), CodeSegment::Bits64);
        let small_code = CodeSegment::Bits16 {
            base: 0x12_3000,
            limit: 0xffff,
        };
        assert_eq!(code(descriptor(0xfb, 0, 0x12_3000, 0xffff)), small_code);
        for bit in 0..32 {
            let found = data(descriptor(0xf3, 0x4, 1 << bit, 0));
            assert_eq!(found.map(|segment| segment.base), Some(1 << bit));
        }
        for bit in 0..20 {
            let found = data(descriptor(0xf3, 0x4, 0, 1 << bit));
            assert_eq!(found.map(|segment| segment.limit), Some(1 << bit));
        }
    }

    #[test]
    fn rights_are_those_of_the_type() {
        for kind in 0..16u8 {
            let found = data(descriptor(0xf0 | kind, 0x4, 0, 0xffff)).unwrap();
            let (is_code, second, third) = (kind & 8 != 0, kind & 2 != 0, kind & 4 != 0);
            assert_eq!(found.is_readable, !is_code || second, "{kind}");
            assert_eq!(found.is_writable, !is_code && second, "{kind}");
            assert_eq!(found.is_expand_down, !is_code && third, "{kind}");
            let code = code(descriptor(0xf0 | kind, 0x4, 0, 0xffff));
            assert_eq!(matches!(code, CodeSegment::Bits32 { .. }), is_code);
        }
        assert!(!data(descriptor(0xf7, 0x0, 0, 0)).unwrap().is_big);
    }

    #[test]
    fn what_no_guest_can_have_loaded_is_no_segment() {
        // Not present, of levels 0 to 2, a system segment, nothing at all; each for every type.
        for access in [0x70, 0x90, 0xb0, 0xd0, 0xe0, 0x00] {
            for kind in 0..16 {
                let descriptor = descriptor(access | kind, 0xc, 0, 0xf_ffff);
                assert_eq!(data(descriptor), None, "{access:#x} {kind}");
                assert_eq!(code(descriptor), CodeSegment::Unsupported);
            }
        }
        // Code of two sizes.
        for flags in [0x6, 0xe] {
            assert_eq!(
                code(descriptor(0xfb, flags, 0, 0xffff)),
                CodeSegment::Unsupported
            );
        }
    }

    #[test]
    fn every_selector_has_a_place_inside_of_its_table_or_none() {
        for (gdt, ldt) in [(0, 0), (1, 1), (7680, 0), (7680, 513), (7680, 8192)] {
            for selector in 0..=u16::MAX {
                let index = u32::from(selector >> 3);
                let expected = match selector & 4 {
                    0 if index > 0 && index < gdt => Some(Place::Global(index as u16)),
                    4 if index < ldt => Some(Place::Local(index as u16)),
                    _ => None,
                };
                assert_eq!(Place::of(selector, gdt, ldt), expected, "{selector:#x}");
            }
        }
    }
}
