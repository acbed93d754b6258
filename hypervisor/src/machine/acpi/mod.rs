//! ACPI's static tables: which processors, interrupt controllers and timers there are.
//!
//! # Why not the `acpi` crate
//! Version 6.1 needs an unstable compiler feature, hands out references into firmware's memory through
//! `unsafe` mappings, and reads fields of XSDT and MADT through unaligned pointers, so the whole audit of
//! it would be ours. Damage does not stop it: a wrong RSDP checksum is logged and accepted, tables are
//! used unverified unless one asks, a MADT entry of length 0 is read for ever, and a MADT shorter than
//! its fixed part underflows. And it can't refuse one table by name while the others stay usable, which
//! is what the person at the console needs.
//!
//! # Rules
//! Everything is read through [`PhysRead`] into small buffers on the stack. A table is used only after its
//! length was found sane and all its bytes add up to 0; then its fields are copied out once. A table
//! that fails is reported in [`Acpi::refusals`] with its signature, its address and the reason, and the
//! others go on. No list grows with what firmware says: each is a [`Bounded`].
//!
//! AML is not interpreted; the first domain does that. (How to turn the machine off is found by its pattern.)
#![forbid(unsafe_code)]

mod fadt;
mod hpet;
mod madt;
mod mcfg;
mod refusal;
mod rsdp;
mod sleep;
mod table;

pub use fadt::{AddressSpace, BootArchitecture, Fadt, FixedFeatures, PmTimer, Register};
pub use hpet::Hpet;
pub use madt::{
    InterruptLine, IoApic, IsaOverride, LocalNmi, LocalNmiTarget, MAX_CPUS, MAX_IO_APICS, Madt,
    NmiSource, Polarity, Processor, TriggerMode,
};
pub use mcfg::{MAX_ECAM_REGIONS, Mcfg, McfgRegion};
pub use refusal::{Reason, Refusal, Signature};
pub use rsdp::{Rsdp, RsdpCopies, RsdpSource};
pub use sleep::SleepTypes;
pub use table::{MAX_TABLE_BYTES, TableRef};

use super::{Bounded, PhysRead};
use core::fmt;
use table::Root;

/// Tables that a root table can list before the rest is ignored. Large servers list 30 to 60.
pub const MAX_TABLES: usize = 128;
/// Refusals that are kept word for word; more are counted.
pub const MAX_REFUSALS: usize = 32;

/// What the static tables say. About 20 KiB: keep it in a static, not on a stack.
#[derive(Clone, Debug)]
pub struct Acpi {
    /// The root pointer that was used.
    pub rsdp: Option<Rsdp>,
    /// Every table that the root table lists and that was found whole.
    pub tables: Bounded<TableRef, MAX_TABLES>,
    /// Processors and interrupt controllers ("APIC").
    pub madt: Option<Madt>,
    /// Fixed hardware ("FACP").
    pub fadt: Option<Fadt>,
    /// The first high precision event timer ("HPET").
    pub hpet: Option<Hpet>,
    /// Where PCI configuration space is mapped ("MCFG").
    pub mcfg: Option<Mcfg>,
    /// What was refused, in the order in which it was met.
    pub refusals: Bounded<Refusal, MAX_REFUSALS>,
}

impl Default for Acpi {
    fn default() -> Self {
        Self::new()
    }
}

/// Why nothing can be said about the machine. The refusals say what was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcpiError {
    /// No root pointer with correct checksums, neither from the loader nor in the BIOS areas.
    NoRootPointer,
    /// A root pointer, but neither of the root tables that it names is whole.
    NoRootTable,
}

impl fmt::Display for AcpiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoRootPointer => {
                "ACPI: no root pointer (RSDP) with correct checksums from the boot loader, in the EBDA or in 0xe0000-0xfffff"
            }
            Self::NoRootTable => "ACPI: neither the XSDT nor the RSDT that the root pointer names is whole",
        })
    }
}

impl core::error::Error for AcpiError {}

impl Acpi {
    /// Nothing known.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            rsdp: None,
            tables: Bounded::new(),
            madt: None,
            fadt: None,
            hpet: None,
            mcfg: None,
            refusals: Bounded::new(),
        }
    }

    /// Finds the root pointer and reads every table that this project uses, replacing what was known.
    ///
    /// # Errors
    /// Without a root pointer or a root table. Single tables that are damaged or missing are no error:
    /// they are `None` here, and the damaged ones are among the refusals.
    pub fn discover(
        &mut self,
        memory: &impl PhysRead,
        copies: RsdpCopies<'_>,
    ) -> Result<(), AcpiError> {
        self.tables.clear();
        self.refusals.clear();
        (self.madt, self.fadt, self.hpet, self.mcfg) = (None, None, None, None);
        self.rsdp = rsdp::find(memory, copies, &mut self.refusals);
        let rsdp = self.rsdp.ok_or(AcpiError::NoRootPointer)?;
        let root = Root::open(memory, &rsdp, &mut self.refusals).ok_or(AcpiError::NoRootTable)?;
        self.tables
            .count_ignored(root.len().saturating_sub(MAX_TABLES as u32));
        for address in root.entries(memory).take(MAX_TABLES) {
            if let Err(refusal) = self.take(memory, address) {
                self.refusals.push(refusal);
            }
        }
        Ok(())
    }

    /// Verifies the table at `address` and reads it, if it is one of those that are used.
    fn take(&mut self, memory: &impl PhysRead, address: u64) -> Result<(), Refusal> {
        let table = table::verify(memory, address)?;
        let signature = table.signature;
        let refuse = |reason| Refusal {
            signature: Some(signature),
            address: Some(address),
            reason,
        };
        match signature {
            Signature::MADT => {
                once(&self.madt).map_err(refuse)?;
                // Filled in place: it is the largest of them.
                let madt = self.madt.insert(Madt::new());
                if let Err(reason) = madt.read(memory, &table) {
                    self.madt = None;
                    return Err(refuse(reason));
                }
            }
            Signature::FADT => {
                once(&self.fadt).map_err(refuse)?;
                self.fadt = Some(Fadt::read(memory, &table).map_err(refuse)?);
            }
            // A second timer block has a table of its own; one is enough for us.
            Signature::HPET if self.hpet.is_none() => {
                self.hpet = Some(Hpet::read(memory, &table).map_err(refuse)?);
            }
            Signature::MCFG => {
                once(&self.mcfg).map_err(refuse)?;
                self.mcfg = Some(mcfg::read(memory, &table).map_err(refuse)?);
            }
            _ => {}
        }
        self.tables.push(table);
        Ok(())
    }
}

/// Refuses a second table of a kind that there can only be one of.
fn once<T>(slot: &Option<T>) -> Result<(), Reason> {
    if slot.is_some() {
        Err(Reason::SecondOfItsKind)
    } else {
        Ok(())
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
