//! The root pointer: where it can be, and whether it is one.
#![forbid(unsafe_code)]

use super::refusal::{Reason, Refusal, Signature};
use super::table::{le_u32, le_u64};
use super::{MAX_REFUSALS, table};
use crate::machine::{Bounded, PhysRange, PhysRead};

/// Bytes of the structure of ACPI 1.0, which the first checksum covers.
const V1_BYTES: usize = 20;
/// Bytes of the structure since ACPI 2.0, which the second checksum covers.
const V2_BYTES: usize = 36;
/// Longer than any revision; more is not looked at.
const MAX_BYTES: usize = 256;
/// What it starts with. Always on a multiple of 16.
const MARK: &[u8; 8] = b"RSD PTR ";
/// Where the BIOS keeps the real-mode segment of its extended data area (EBDA).
const EBDA_SEGMENT_AT: u64 = 0x40e;
/// Bytes of the EBDA that can hold the pointer (ACPI specification 6.5, 5.2.5.1).
const EBDA_SEARCHED: u64 = 1024;
/// The BIOS's read-only area.
const BIOS_AREA: PhysRange = PhysRange {
    start: 0xe_0000,
    end: 0x10_0000,
};

/// Copies of the root pointer that the boot loader passed. They are tried first: under UEFI nothing lies
/// in the BIOS areas.
#[derive(Clone, Copy, Debug, Default)]
pub struct RsdpCopies<'a> {
    /// Of ACPI 2.0 or later (multiboot2 tag 15).
    pub v2: Option<&'a [u8]>,
    /// Of ACPI 1.0 (multiboot2 tag 14).
    pub v1: Option<&'a [u8]>,
}

/// Where the root pointer was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RsdpSource {
    /// In the boot loader's copy; its own address is not known.
    Loader,
    /// At this physical address.
    Memory(u64),
}

/// A verified root pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rsdp {
    /// Where it was found.
    pub source: RsdpSource,
    /// 0 for ACPI 1.0, 2 since.
    pub revision: u8,
    /// Physical address of the RSDT; 0 if there is none.
    pub rsdt: u32,
    /// Physical address of the XSDT; 0 if there is none.
    pub xsdt: u64,
}

impl Rsdp {
    /// Verifies the root pointer that starts at `bytes`' first byte.
    ///
    /// # Errors
    /// Too short, not marked as one, or one of its checksums wrong.
    pub fn parse(bytes: &[u8], source: RsdpSource) -> Result<Self, Reason> {
        let short = |minimum: usize| Reason::TooShort {
            length: bytes.len() as u32,
            minimum: minimum as u32,
        };
        let v1 = bytes
            .first_chunk::<V1_BYTES>()
            .ok_or_else(|| short(V1_BYTES))?;
        if !v1.starts_with(MARK) {
            let [a, b, c, d, ..] = *v1;
            return Err(Reason::WrongSignature {
                found: Signature([a, b, c, d]),
            });
        }
        check_sum(v1)?;
        let revision = v1[15];
        let rsdt = le_u32(v1, 16).unwrap_or(0);
        if revision < 2 {
            return Ok(Self {
                source,
                revision,
                rsdt,
                xsdt: 0,
            });
        }
        let v2 = bytes
            .first_chunk::<V2_BYTES>()
            .ok_or_else(|| short(V2_BYTES))?;
        let length = le_u32(v2, 20).unwrap_or(0);
        if (length as usize) < V2_BYTES {
            return Err(Reason::TooShort {
                length,
                minimum: V2_BYTES as u32,
            });
        }
        if length as usize > MAX_BYTES {
            return Err(Reason::TooLong {
                length,
                maximum: MAX_BYTES as u32,
            });
        }
        check_sum(
            bytes
                .get(..length as usize)
                .ok_or_else(|| short(length as usize))?,
        )?;
        Ok(Self {
            source,
            revision,
            rsdt,
            xsdt: le_u64(v2, 24).unwrap_or(0),
        })
    }

    /// Reads and verifies the root pointer at a known physical address, such as the EFI system table's.
    ///
    /// # Errors
    /// As [`Rsdp::parse`], or when the memory can't be read.
    pub fn read(memory: &impl PhysRead, address: u64) -> Result<Self, Reason> {
        let mut bytes = [0; MAX_BYTES];
        let unreadable = |_| Reason::Unreadable { at: address };
        memory
            .read(address, &mut bytes[..V1_BYTES])
            .map_err(unreadable)?;
        let mut have = V1_BYTES;
        if bytes[15] >= 2 {
            memory
                .read(address, &mut bytes[..V2_BYTES])
                .map_err(unreadable)?;
            let length = le_u32(&bytes, 20).unwrap_or(0) as usize;
            have = length.clamp(V2_BYTES, MAX_BYTES);
            memory
                .read(address, &mut bytes[..have])
                .map_err(unreadable)?;
        }
        Self::parse(&bytes[..have], RsdpSource::Memory(address))
    }
}

/// The first root pointer that verifies: the loader's newer copy, its older one, the EBDA, the BIOS area.
pub(super) fn find(
    memory: &impl PhysRead,
    copies: RsdpCopies<'_>,
    refusals: &mut Bounded<Refusal, MAX_REFUSALS>,
) -> Option<Rsdp> {
    let mut refuse = |address, reason| {
        refusals.push(Refusal {
            signature: Some(Signature::RSDP),
            address,
            reason,
        })
    };
    for copy in [copies.v2, copies.v1].into_iter().flatten() {
        match Rsdp::parse(copy, RsdpSource::Loader) {
            Ok(rsdp) => return Some(rsdp),
            Err(reason) => refuse(None, reason),
        }
    }
    for area in [ebda(memory), Some(BIOS_AREA)].into_iter().flatten() {
        for address in (area.start..area.end).step_by(16) {
            let mut mark = [0; MARK.len()];
            if memory.read(address, &mut mark).is_err() || mark != *MARK {
                continue;
            }
            match Rsdp::read(memory, address) {
                Ok(rsdp) => return Some(rsdp),
                Err(reason) => refuse(Some(address), reason),
            }
        }
    }
    None
}

/// The part of the EBDA that can hold the pointer, if there is an EBDA in conventional memory.
fn ebda(memory: &impl PhysRead) -> Option<PhysRange> {
    /// Below it are the interrupt vectors and the BIOS's own variables.
    const LOWEST: u64 = 0x500;
    /// Above it is video memory.
    const END: u64 = 0xa_0000;
    let mut segment = [0; 2];
    memory.read(EBDA_SEGMENT_AT, &mut segment).ok()?;
    let start = u64::from(u16::from_le_bytes(segment)) << 4;
    (LOWEST..END).contains(&start).then(|| PhysRange {
        start,
        end: (start + EBDA_SEARCHED).min(END),
    })
}

fn check_sum(bytes: &[u8]) -> Result<(), Reason> {
    match table::sum(bytes) {
        0 => Ok(()),
        sum => Err(Reason::Checksum { sum }),
    }
}
