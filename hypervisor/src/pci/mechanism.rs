//! By which way a register is reached.

use super::{Function, PORT_SPACE, SPACE};
use crate::emulate::insn::Width;
use crate::machine::acpi::McfgRegion;

/// How to reach a register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mechanism {
    /// By the ports 0xCF8 and 0xCFC: the word for the first one, and the byte in the second.
    Ports {
        /// What is written to 0xCF8.
        address: u32,
        /// Which of the ports from 0xCFC on.
        byte: u16,
    },
    /// By memory: which region of ACPI's MCFG, and where in it.
    Memory {
        /// Index of the region.
        region: usize,
        /// Offset from the first bus that the region decodes.
        offset: u64,
    },
}

impl Mechanism {
    /// For `width` bytes at `offset`: by ports where they reach, else by one of `regions`. `None` if there is no way,
    /// or no such register.
    #[must_use]
    pub fn of<'a>(
        at: Function,
        offset: u16,
        width: Width,
        regions: impl IntoIterator<Item = &'a McfgRegion>,
    ) -> Option<Self> {
        let bytes = match width {
            Width::Byte => 1,
            Width::Word => 2,
            Width::Dword => 4,
            Width::Qword => return None,
        };
        if !offset.is_multiple_of(bytes) || offset >= SPACE {
            return None;
        }
        if at.segment == 0 && offset < PORT_SPACE {
            return Some(Self::Ports {
                address: port_address(at, offset),
                byte: offset & 3,
            });
        }
        regions.into_iter().enumerate().find_map(|(index, region)| {
            let is_decoded = region.segment == at.segment
                && (region.first_bus..=region.last_bus).contains(&at.bus);
            is_decoded.then(|| Self::Memory {
                region: index,
                offset: u64::from(at.bus - region.first_bus) << 20
                    | u64::from(at.devfn) << 12
                    | u64::from(offset),
            })
        })
    }
}

/// The word for port 0xCF8 that selects the register's four bytes.
#[must_use]
pub const fn port_address(at: Function, offset: u16) -> u32 {
    1 << 31 | (at.bus as u32) << 16 | (at.devfn as u32) << 8 | (offset & 0xfc) as u32
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const REGIONS: [McfgRegion; 2] = [
        McfgRegion {
            base: 0xb000_0000,
            segment: 0,
            first_bus: 0,
            last_bus: 0x3f,
        },
        McfgRegion {
            base: 0xc000_0000,
            segment: 1,
            first_bus: 0x10,
            last_bus: 0x1f,
        },
    ];

    fn function(segment: u16, bus: u8, devfn: u8) -> Function {
        Function {
            segment,
            bus,
            devfn,
        }
    }

    #[test]
    fn the_first_256_bytes_of_segment_0_go_by_ports() {
        let way = Mechanism::of(function(0, 2, 0x1b), 0x3e, Width::Word, &REGIONS);
        assert_eq!(
            way,
            Some(Mechanism::Ports {
                address: 0x8002_1b3c,
                byte: 2
            })
        );
    }

    #[test]
    fn everything_else_goes_by_the_region_that_decodes_the_bus() {
        assert_eq!(
            Mechanism::of(function(0, 1, 8), 0x100, Width::Dword, &REGIONS),
            Some(Mechanism::Memory {
                region: 0,
                offset: 0x10_8100
            })
        );
        assert_eq!(
            Mechanism::of(function(1, 0x12, 0), 4, Width::Word, &REGIONS),
            Some(Mechanism::Memory {
                region: 1,
                offset: 0x20_0004
            })
        );
        assert_eq!(
            Mechanism::of(function(0, 0x40, 8), 0x100, Width::Dword, &REGIONS),
            None
        );
        assert_eq!(
            Mechanism::of(function(2, 0, 0), 0, Width::Byte, &REGIONS),
            None
        );
    }

    #[test]
    fn no_access_leaves_the_function_or_crosses_a_word() {
        let at = function(0, 0, 0);
        assert_eq!(Mechanism::of(at, 0x1001, Width::Byte, &REGIONS), None);
        assert_eq!(Mechanism::of(at, SPACE, Width::Dword, &REGIONS), None);
        assert_eq!(Mechanism::of(at, 1, Width::Word, &REGIONS), None);
        assert_eq!(Mechanism::of(at, 2, Width::Dword, &REGIONS), None);
        assert_eq!(Mechanism::of(at, 0, Width::Qword, &REGIONS), None);
    }
}
