//! Tables: header, checksum, and reading from one that was verified.
#![forbid(unsafe_code)]

use super::refusal::{Reason, Refusal, Signature};
use super::{MAX_REFUSALS, Rsdp};
use crate::machine::phys::PHYS_END;
use crate::machine::{Bounded, PhysRead};

/// Bytes of the header that all tables share.
pub(super) const HEADER_BYTES: u32 = 36;
/// Longest table that is verified, bytes. The longest known are DSDTs of some hundred KiB.
pub const MAX_TABLE_BYTES: u32 = 4 << 20;
/// Bytes that are added up at a time.
const CHUNK_BYTES: usize = 256;

/// A table whose length is sane and whose checksum was right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableRef {
    /// Its name.
    pub signature: Signature,
    /// Physical address of its first byte.
    pub address: u64,
    /// Bytes, header included.
    pub length: u32,
    /// Revision of its layout.
    pub revision: u8,
}

impl TableRef {
    /// Copies `N` bytes from `offset` out of the table.
    pub(super) fn bytes<const N: usize>(
        &self,
        memory: &impl PhysRead,
        offset: u32,
    ) -> Result<[u8; N], Reason> {
        let end = u64::from(offset) + N as u64;
        if end > u64::from(self.length) {
            return Err(Reason::TooShort {
                length: self.length,
                minimum: u32::try_from(end).unwrap_or(u32::MAX),
            });
        }
        let mut bytes = [0; N];
        let at = self.address + u64::from(offset);
        memory
            .read(at, &mut bytes)
            .map_err(|_| Reason::Unreadable { at })?;
        Ok(bytes)
    }
}

/// Little-endian `u16` at `offset`.
pub(super) fn le_u16(bytes: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(offset..)?.first_chunk()?))
}

/// Little-endian `u32` at `offset`.
pub(super) fn le_u32(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(offset..)?.first_chunk()?))
}

/// Little-endian `u64` at `offset`.
pub(super) fn le_u64(bytes: &[u8], offset: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(offset..)?.first_chunk()?))
}

/// The sum of `bytes`, modulo 256.
pub(super) fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, &byte| sum.wrapping_add(byte))
}

/// Reads the header of the table at `address` and adds up all its bytes.
pub(super) fn verify(memory: &impl PhysRead, address: u64) -> Result<TableRef, Refusal> {
    let mut signature = None;
    let table = verify_named(memory, address, &mut signature);
    table.map_err(|reason| Refusal {
        signature,
        address: Some(address),
        reason,
    })
}

/// As [`verify`]; puts the name into `signature` as soon as that is known.
fn verify_named(
    memory: &impl PhysRead,
    address: u64,
    signature: &mut Option<Signature>,
) -> Result<TableRef, Reason> {
    if address == 0 {
        return Err(Reason::NullAddress);
    }
    if address >= PHYS_END {
        return Err(Reason::Unreadable { at: address });
    }
    let mut header = [0; HEADER_BYTES as usize];
    memory
        .read(address, &mut header)
        .map_err(|_| Reason::Unreadable { at: address })?;
    let [a, b, c, d, l0, l1, l2, l3, revision, ..] = header;
    let name = *signature.insert(Signature([a, b, c, d]));
    let length = u32::from_le_bytes([l0, l1, l2, l3]);
    if length < HEADER_BYTES {
        return Err(Reason::TooShort {
            length,
            minimum: HEADER_BYTES,
        });
    }
    if length > MAX_TABLE_BYTES {
        return Err(Reason::TooLong {
            length,
            maximum: MAX_TABLE_BYTES,
        });
    }
    let mut total = sum(&header);
    let mut offset = HEADER_BYTES;
    let mut chunk = [0; CHUNK_BYTES];
    while offset < length {
        let part = &mut chunk[..((length - offset) as usize).min(CHUNK_BYTES)];
        let at = address + u64::from(offset);
        memory
            .read(at, part)
            .map_err(|_| Reason::Unreadable { at })?;
        total = total.wrapping_add(sum(part));
        offset += part.len() as u32;
    }
    match total {
        0 => Ok(TableRef {
            signature: name,
            address,
            length,
            revision,
        }),
        sum => Err(Reason::Checksum { sum }),
    }
}

/// A verified root table.
pub(super) struct Root {
    table: TableRef,
    /// Bytes of an entry: 4 in an RSDT, 8 in an XSDT.
    entry_bytes: u32,
}

impl Root {
    /// The XSDT, or, if there is none or it is damaged, the RSDT.
    pub(super) fn open(
        memory: &impl PhysRead,
        rsdp: &Rsdp,
        refusals: &mut Bounded<Refusal, MAX_REFUSALS>,
    ) -> Option<Self> {
        let candidates = [
            (Signature::XSDT, rsdp.xsdt, 8),
            (Signature::RSDT, u64::from(rsdp.rsdt), 4),
        ];
        for (wanted, address, entry_bytes) in candidates
            .into_iter()
            .filter(|&(_, address, _)| address != 0)
        {
            let refusal = match verify(memory, address) {
                Ok(table) if table.signature == wanted => return Some(Self { table, entry_bytes }),
                Ok(table) => {
                    let reason = Reason::WrongSignature {
                        found: table.signature,
                    };
                    Refusal {
                        signature: Some(wanted),
                        address: Some(address),
                        reason,
                    }
                }
                Err(refusal) => Refusal {
                    signature: Some(wanted),
                    ..refusal
                },
            };
            refusals.push(refusal);
        }
        None
    }

    /// Number of whole entries.
    pub(super) fn len(&self) -> u32 {
        (self.table.length - HEADER_BYTES) / self.entry_bytes
    }

    /// The addresses that it lists. Bytes after the last whole entry are not looked at, nor is anything
    /// after an entry that can't be read any more.
    pub(super) fn entries<'a>(
        &'a self,
        memory: &'a impl PhysRead,
    ) -> impl Iterator<Item = u64> + 'a {
        (0..self.len()).map_while(move |index| {
            let offset = HEADER_BYTES + index * self.entry_bytes;
            if self.entry_bytes == 8 {
                self.table
                    .bytes(memory, offset)
                    .map(u64::from_le_bytes)
                    .ok()
            } else {
                self.table
                    .bytes(memory, offset)
                    .map(|bytes| u32::from_le_bytes(bytes).into())
                    .ok()
            }
        })
    }
}
