//! MCFG: where PCI configuration space is mapped into memory (PCI firmware specification 3.3, 4.1.2).
#![forbid(unsafe_code)]

use super::refusal::Reason;
use super::table::{HEADER_BYTES, TableRef, le_u16, le_u64};
use crate::machine::phys::PHYS_END;
use crate::machine::{Bounded, PhysRange, PhysRead};

/// Regions that are kept. Most machines have one, large servers one for each segment group.
pub const MAX_ECAM_REGIONS: usize = 32;
/// The header and 8 reserved bytes.
const FIRST_ENTRY: u32 = HEADER_BYTES + 8;
/// `base: u64, segment: u16, first bus: u8, last bus: u8, reserved: u32`.
const ENTRY_BYTES: u32 = 16;
/// Configuration space of one bus: 32 devices, 8 functions, 4 KiB.
const BUS_BYTES: u64 = 1 << 20;

/// Everything in the table.
pub type Mcfg = Bounded<McfgRegion, MAX_ECAM_REGIONS>;

/// Configuration space of some buses of one segment group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct McfgRegion {
    /// Physical address where bus 0 of the segment group is or would be.
    pub base: u64,
    /// PCI segment group.
    pub segment: u16,
    /// First bus decoded.
    pub first_bus: u8,
    /// Last bus decoded; not below the first.
    pub last_bus: u8,
}

impl McfgRegion {
    /// The physical addresses of the buses that are decoded.
    #[must_use]
    pub const fn range(&self) -> PhysRange {
        PhysRange {
            start: self.base.saturating_add(self.first_bus as u64 * BUS_BYTES),
            end: self
                .base
                .saturating_add((self.last_bus as u64 + 1) * BUS_BYTES),
        }
    }
}

/// Reads all regions; one that makes no sense refuses the table.
pub(super) fn read(memory: &impl PhysRead, table: &TableRef) -> Result<Mcfg, Reason> {
    let mut regions = Mcfg::new();
    let Some(bytes) = table.length.checked_sub(FIRST_ENTRY) else {
        return Err(Reason::TooShort {
            length: table.length,
            minimum: FIRST_ENTRY,
        });
    };
    for index in 0..bytes / ENTRY_BYTES {
        let entry: [u8; ENTRY_BYTES as usize] =
            table.bytes(memory, FIRST_ENTRY + index * ENTRY_BYTES)?;
        let base = le_u64(&entry, 0).unwrap_or(0);
        let region = McfgRegion {
            base,
            segment: le_u16(&entry, 8).unwrap_or(0),
            first_bus: entry[10],
            last_bus: entry[11],
        };
        if region.last_bus < region.first_bus {
            return Err(Reason::BusRange {
                first: region.first_bus,
                last: region.last_bus,
            });
        }
        if region.range().start == 0
            || region.range().end > PHYS_END
            || !base.is_multiple_of(BUS_BYTES)
        {
            return Err(Reason::DeviceAddress {
                address: base,
                alignment: BUS_BYTES,
            });
        }
        regions.push(region);
    }
    Ok(regions)
}
