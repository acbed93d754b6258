//! Why a table was refused, in words for the person at the console.
#![forbid(unsafe_code)]

use crate::machine::BootText;
use core::fmt;

/// A table's four-letter name.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Signature(pub [u8; 4]);

impl Signature {
    /// Multiple APIC description table.
    pub const MADT: Self = Self(*b"APIC");
    /// Fixed ACPI description table.
    pub const FADT: Self = Self(*b"FACP");
    /// High precision event timer.
    pub const HPET: Self = Self(*b"HPET");
    /// Memory-mapped PCI configuration space.
    pub const MCFG: Self = Self(*b"MCFG");
    /// Root table with 32-bit addresses.
    pub const RSDT: Self = Self(*b"RSDT");
    /// Root table with 64-bit addresses.
    pub const XSDT: Self = Self(*b"XSDT");
    /// The root pointer; its real signature is `"RSD PTR "`.
    pub const RSDP: Self = Self(*b"RSDP");
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        BootText(&self.0).fmt(f)
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        BootText(&self.0).fmt(f)
    }
}

/// What is wrong with a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The root table's entry, or a pointer to a table, is 0.
    NullAddress,
    /// Some of its bytes can't be read.
    Unreadable {
        /// The first address of the read that failed.
        at: u64,
    },
    /// It has another signature than the pointer to it promises.
    WrongSignature {
        /// What it has.
        found: Signature,
    },
    /// Its length is below what its kind needs.
    TooShort {
        /// Bytes by its header.
        length: u32,
        /// Bytes that its kind has at least.
        minimum: u32,
    },
    /// Its length is above what is looked at.
    TooLong {
        /// Bytes by its header.
        length: u32,
        /// Bytes that are looked at.
        maximum: u32,
    },
    /// Its bytes don't add up to 0.
    Checksum {
        /// What they add up to, modulo 256.
        sum: u8,
    },
    /// A table of its kind was there already.
    SecondOfItsKind,
    /// An entry is shorter than its type needs, or longer than the rest of the table.
    EntryLength {
        /// Where the entry starts, bytes from the table's start.
        offset: u32,
        /// The entry's type.
        kind: u8,
        /// The entry's length, bytes.
        length: u32,
        /// Bytes that its type needs.
        minimum: u32,
        /// Bytes that are left in the table.
        left: u32,
    },
    /// An override names an interrupt line that the ISA bus does not have.
    IsaLine {
        /// The line.
        line: u8,
    },
    /// A register is in an address space where it can't be.
    AddressSpace {
        /// The number of the space.
        space: u8,
    },
    /// A device's registers are at 0, unaligned, or beyond the address space.
    DeviceAddress {
        /// Where they are said to be.
        address: u64,
        /// What the address must be a multiple of.
        alignment: u64,
    },
    /// A range of PCI buses ends before it starts.
    BusRange {
        /// First bus.
        first: u8,
        /// Last bus.
        last: u8,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NullAddress => f.write_str("address is 0"),
            Self::Unreadable { at } => write!(f, "memory at {at:#x} can't be read"),
            Self::WrongSignature { found } => write!(f, "signature is \"{found}\""),
            Self::TooShort { length, minimum } => {
                write!(f, "length is {length} bytes, must be at least {minimum}")
            }
            Self::TooLong { length, maximum } => {
                write!(f, "length is {length} bytes, can be at most {maximum}")
            }
            Self::Checksum { sum } => write!(f, "checksum: bytes add up to {sum:#04x}, must be 0"),
            Self::SecondOfItsKind => f.write_str("there is one of this kind already"),
            Self::EntryLength {
                offset,
                kind,
                length,
                minimum,
                left,
            } => write!(
                f,
                "entry of type {kind} at offset {offset}: length is {length} bytes, must be {minimum} to {left}"
            ),
            Self::IsaLine { line } => {
                write!(f, "override of ISA interrupt {line}, can be at most 15")
            }
            Self::AddressSpace { space } => {
                write!(f, "registers in address space {space}, must be 0 (memory)")
            }
            Self::DeviceAddress { address, alignment } => {
                write!(
                    f,
                    "registers at {address:#x}, must be above 0, below 2^52 and a multiple of {alignment:#x}"
                )
            }
            Self::BusRange { first, last } => {
                write!(
                    f,
                    "PCI buses {first} to {last}: the last is below the first"
                )
            }
        }
    }
}

/// A table that is not used, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Its name, if that much could be read.
    pub signature: Option<Signature>,
    /// Its physical address; `None` for a copy that the boot loader passed.
    pub address: Option<u64>,
    /// What is wrong.
    pub reason: Reason,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ACPI table ")?;
        if let Some(signature) = self.signature {
            write!(f, "{signature} ")?;
        }
        match self.address {
            Some(address) => write!(f, "at {address:#x}")?,
            None => f.write_str("from the boot loader")?,
        }
        write!(f, " refused: {}", self.reason)
    }
}
