//! Sleep types for "soft off", from the object `\_S5` in the DSDT or an SSDT (ACPI specification 6.5, 7.4.2).
//!
//! AML is not interpreted: the name, and behind it a package whose first two elements are constants, is a
//! pattern of bytes that no compiler writes in another way. Bytes that look like it by chance would have to
//! come before it.
#![forbid(unsafe_code)]

use super::table::{HEADER_BYTES, TableRef, verify};
use super::{Acpi, Reason, Refusal, Signature};
use crate::machine::PhysRead;

/// What goes into bits 10 to 12 of the control registers to turn the machine off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SleepTypes {
    /// For the PM1a control register.
    pub a: u8,
    /// For the PM1b control register.
    pub b: u8,
}

/// A sleep type has three bits.
const LARGEST_TYPE: u64 = 7;
/// Bytes that the pattern can have: name, prefixes and length of the package, two numbers of a prefix and 8 bytes.
const PATTERN_BYTES: usize = 32;
const CHUNK_BYTES: usize = 512;

const NAME_OP: u8 = 0x08;
const PACKAGE_OP: u8 = 0x12;

impl Acpi {
    /// The table of definitions that the fixed hardware's table names, if it names one.
    ///
    /// # Errors
    ///
    /// Why it is refused.
    pub fn dsdt(&self, memory: &impl PhysRead) -> Result<Option<TableRef>, Refusal> {
        const NAME: Signature = Signature(*b"DSDT");
        let Some(address) = self.fadt.as_ref().and_then(|fadt| fadt.dsdt) else {
            return Ok(None);
        };
        let refused = |reason| Refusal {
            signature: Some(NAME),
            address: Some(address),
            reason,
        };
        let table = verify(memory, address).map_err(|refusal| refused(refusal.reason))?;
        if table.signature != NAME {
            let found = table.signature;
            return Err(refused(Reason::WrongSignature { found }));
        }
        Ok(Some(table))
    }

    /// The types for "soft off", if this table or another one that was found whole names them.
    pub fn soft_off(&self, memory: &impl PhysRead, dsdt: Option<&TableRef>) -> Option<SleepTypes> {
        let ssdts = self
            .tables
            .iter()
            .filter(|table| table.signature == Signature(*b"SSDT"));
        dsdt.into_iter()
            .chain(ssdts)
            .find_map(|table| search(memory, table))
    }
}

/// Looks for the object in one table, a window at a time; windows overlap by what the pattern may need.
fn search(memory: &impl PhysRead, table: &TableRef) -> Option<SleepTypes> {
    let mut window = [0; CHUNK_BYTES + PATTERN_BYTES];
    let mut offset = HEADER_BYTES;
    while offset < table.length {
        let left = usize::try_from(table.length - offset).ok()?;
        let bytes = window.get_mut(..left.min(CHUNK_BYTES + PATTERN_BYTES))?;
        memory.read(table.address + u64::from(offset), bytes).ok()?;
        let found = (0..bytes.len().min(CHUNK_BYTES)).find_map(|at| object(bytes.get(at..)?));
        if found.is_some() {
            return found;
        }
        offset += CHUNK_BYTES as u32;
    }
    None
}

/// The types, if `bytes` start with the object.
fn object(bytes: &[u8]) -> Option<SleepTypes> {
    let rest = bytes.strip_prefix(&[NAME_OP])?;
    let rest = rest.strip_prefix(b"\\").unwrap_or(rest);
    let rest = rest.strip_prefix(b"_S5_")?.strip_prefix(&[PACKAGE_OP])?;
    // The package's length: the two highest bits of the first byte say how many bytes follow it.
    let (&lead, rest) = rest.split_first()?;
    let rest = rest.get(usize::from(lead >> 6)..)?;
    let (&elements, rest) = rest.split_first()?;
    if elements < 1 {
        return None;
    }
    let (a, rest) = constant(rest)?;
    // Machines without a second register may leave its type out.
    let b = match elements {
        1 => 0,
        _ => constant(rest)?.0,
    };
    Some(SleepTypes { a, b })
}

/// A number in AML, and what is behind it.
fn constant(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let width = match first {
        // ZeroOp, OneOp.
        0x00 | 0x01 => return Some((first, rest)),
        // BytePrefix, WordPrefix, DWordPrefix, QWordPrefix.
        0x0A => 1,
        0x0B => 2,
        0x0C => 4,
        0x0E => 8,
        _ => return None,
    };
    let (number, rest) = rest.split_at_checked(width)?;
    let value = number
        .iter()
        .rev()
        .fold(0u64, |value, &byte| value << 8 | u64::from(byte));
    (value <= LARGEST_TYPE).then_some((value as u8, rest))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn types(bytes: &[u8]) -> Option<(u8, u8)> {
        object(bytes).map(|types| (types.a, types.b))
    }

    #[test]
    fn all_forms_of_numbers_and_of_the_package_are_read() {
        // QEMU: Name (\_S5, Package (0x04) { Zero, Zero, Zero, Zero }).
        assert_eq!(types(b"\x08_S5_\x12\x06\x04\0\0\0\0"), Some((0, 0)));
        assert_eq!(
            types(b"\x08\\_S5_\x12\x07\x04\x0A\x05\x0A\x05\0\0"),
            Some((5, 5))
        );
        assert_eq!(types(b"\x08_S5_\x12\x08\x02\x0B\x07\0\x01"), Some((7, 1)));
        assert_eq!(
            types(b"\x08_S5_\x12\x40\0\x02\x0C\x03\0\0\0\x00"),
            Some((3, 0))
        );
        assert_eq!(
            types(b"\x08_S5_\x12\x08\x02\x0E\x02\0\0\0\0\0\0\0\x01"),
            Some((2, 1))
        );
        assert_eq!(types(b"\x08_S5_\x12\x04\x01\x0A\x06"), Some((6, 0)));
    }

    #[test]
    fn what_is_something_else_or_cut_short_is_passed_over() {
        let whole = b"\x08_S5_\x12\x07\x04\x0A\x05\x0A\x05";
        for length in 0..whole.len() {
            assert_eq!(types(&whole[..length]), None, "{length} bytes");
        }
        for other in [
            &b"\x08_S4_\x12\x07\x04\x0A\x05\x0A\x05"[..],
            b"\x14_S5_\x12\x07\x04\x0A\x05\x0A\x05",
            b"\x08_S5_\x11\x07\x04\x0A\x05\x0A\x05",
            b"\x08_S5_\x12\x07\x00\x0A\x05\x0A\x05",
            b"\x08_S5_\x12\x07\x04\x0D\x05\x0A\x05",
            // Not a sleep type.
            b"\x08_S5_\x12\x07\x04\x0A\x08\x0A\x05",
        ] {
            assert_eq!(types(other), None);
        }
    }
}
