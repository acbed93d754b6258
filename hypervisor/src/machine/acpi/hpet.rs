//! HPET: the high precision event timer (IA-PC HPET specification 1.0a, 3.2.4).
#![forbid(unsafe_code)]

use super::refusal::Reason;
use super::table::{TableRef, le_u16, le_u64};
use crate::machine::PhysRead;
use crate::machine::phys::PHYS_END;

/// Bytes of the table.
const BYTES: usize = 56;

/// A high precision event timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hpet {
    /// Physical address of its registers.
    pub address: u64,
    /// Which one it is, from 0.
    pub number: u8,
    /// Fewest ticks of a periodic timer that lose no interrupt.
    pub min_ticks: u16,
}

impl Hpet {
    pub(super) fn read(memory: &impl PhysRead, table: &TableRef) -> Result<Self, Reason> {
        /// Registers are 64 bits wide.
        const ALIGNMENT: u64 = 8;
        let bytes: [u8; BYTES] = table.bytes(memory, 0)?;
        let space = bytes[40];
        if space != 0 {
            return Err(Reason::AddressSpace { space });
        }
        let address = le_u64(&bytes, 44).unwrap_or(0);
        if address == 0 || address >= PHYS_END || !address.is_multiple_of(ALIGNMENT) {
            return Err(Reason::DeviceAddress {
                address,
                alignment: ALIGNMENT,
            });
        }
        Ok(Self {
            address,
            number: bytes[52],
            min_ticks: le_u16(&bytes, 53).unwrap_or(0),
        })
    }
}
