//! Tables of partitions: those of PCs (MBR) and GPT. What crates read these also write them, and weigh more than this.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

const SECTOR: u64 = 512;
/// What is in the last two bytes of a sector with a table.
const SIGNATURE: [u8; 2] = [0x55, 0xAA];
/// Where a table's entries are.
const TABLE: usize = 446;
const ENTRY_BYTES: usize = 16;
const TYPE_GPT: u8 = 0xEE;
/// Types of partitions that hold more of them.
const TYPES_EXTENDED: [u8; 3] = [0x05, 0x0F, 0x85];
/// The first partition in an extended one.
const FIRST_LOGICAL: u32 = 5;
/// Partitions that are looked at.
const MOST: usize = 128;
/// What an entry of GPT has at least, and at most here.
const GPT_ENTRY_BYTES: std::ops::RangeInclusive<usize> = 128..=512;

/// A part of a disk, in bytes, that may hold a file system.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Part {
    /// Its number from 1 on; `None`: all of the disk.
    pub(super) number: Option<u32>,
    pub(super) start: u64,
    pub(super) length: u64,
    is_active: bool,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.number {
            Some(number) => write!(f, "partition {number}"),
            None => f.write_str("the whole disk"),
        }
    }
}

fn number_at<const N: usize>(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    let from = bytes.get(at..at + N).unwrap_or_default();
    for (to, from) in number.iter_mut().zip(from) {
        *to = *from;
    }
    u64::from_le_bytes(number)
}

struct Disk<'d> {
    file: &'d File,
    length: u64,
    parts: Vec<Part>,
}

/// The parts of a disk of this many bytes, in the order in which a boot loader is looked for: active ones first, and at
/// last all of it as one file system.
///
/// # Errors
///
/// The disk's.
pub(super) fn parts(file: &File, length: u64) -> io::Result<Vec<Part>> {
    let whole = Part {
        number: None,
        start: 0,
        length,
        is_active: false,
    };
    let mut disk = Disk {
        file,
        length,
        parts: Vec::new(),
    };
    if let Some(table) = disk.table(0)? {
        disk.read_mbr(&table)?;
    }
    let mut parts = disk.parts;
    parts.sort_by_key(|part| !part.is_active);
    parts.push(whole);
    Ok(parts)
}

/// An entry of a table of PCs: type, first sector and sectors.
struct Entry {
    kind: u8,
    first: u64,
    sectors: u64,
    is_active: bool,
}

fn entries(table: &[u8]) -> impl Iterator<Item = Entry> {
    let entries = table.get(TABLE..).unwrap_or_default();
    entries
        .chunks_exact(ENTRY_BYTES)
        .take(4)
        .map(|entry| Entry {
            kind: number_at::<1>(entry, 4) as u8,
            first: number_at::<4>(entry, 8),
            sectors: number_at::<4>(entry, 12),
            is_active: entry.first() == Some(&0x80),
        })
}

impl Disk<'_> {
    /// A sector with a table, if it is one.
    fn table(&self, sector: u64) -> io::Result<Option<[u8; SECTOR as usize]>> {
        let mut bytes = [0; SECTOR as usize];
        if !self.has(sector, 1) {
            return Ok(None);
        }
        self.file.read_exact_at(&mut bytes, sector * SECTOR)?;
        Ok(bytes.ends_with(&SIGNATURE).then_some(bytes))
    }

    /// Whether these sectors are on the disk.
    fn has(&self, first: u64, sectors: u64) -> bool {
        let end = first.checked_add(sectors);
        end.is_some_and(|end| sectors > 0 && end <= self.length / SECTOR)
    }

    fn add(&mut self, number: u32, first: u64, sectors: u64, is_active: bool) {
        // What is not on the disk is no part of it.
        if self.has(first, sectors) && self.parts.len() < MOST {
            self.parts.push(Part {
                number: Some(number),
                start: first * SECTOR,
                length: sectors * SECTOR,
                is_active,
            });
        }
    }

    fn read_mbr(&mut self, table: &[u8]) -> io::Result<()> {
        for (entry, number) in entries(table).zip(1..) {
            match entry.kind {
                0 => {}
                TYPE_GPT => return self.read_gpt(),
                kind if TYPES_EXTENDED.contains(&kind) => self.read_extended(entry.first)?,
                _ => self.add(number, entry.first, entry.sectors, entry.is_active),
            }
        }
        Ok(())
    }

    /// A chain of tables: each has a partition, from its own sector on, and where the next one is, from the first on.
    fn read_extended(&mut self, first: u64) -> io::Result<()> {
        let mut at = first;
        // It may lead back to itself.
        for number in (FIRST_LOGICAL..).take(MOST) {
            let Some(table) = self.table(at)? else { break };
            let mut entries = entries(&table);
            if let Some(entry) = entries.next().filter(|entry| entry.kind != 0) {
                let start = at.saturating_add(entry.first);
                self.add(number, start, entry.sectors, entry.is_active);
            }
            let next = entries.next();
            let Some(next) = next.filter(|next| TYPES_EXTENDED.contains(&next.kind)) else {
                break;
            };
            at = first.saturating_add(next.first);
        }
        Ok(())
    }

    fn read_gpt(&mut self) -> io::Result<()> {
        let mut header = [0; SECTOR as usize];
        if !self.has(1, 1) {
            return Ok(());
        }
        self.file.read_exact_at(&mut header, SECTOR)?;
        if !header.starts_with(b"EFI PART") {
            return Ok(());
        }
        let first = number_at::<8>(&header, 72);
        let count = (number_at::<4>(&header, 80) as usize).min(MOST);
        let bytes = number_at::<4>(&header, 84) as usize;
        let table_bytes = count.saturating_mul(bytes);
        let sectors = (table_bytes as u64).div_ceil(SECTOR);
        if !GPT_ENTRY_BYTES.contains(&bytes) || !self.has(first, sectors) {
            return Ok(());
        }
        let mut table = vec![0; table_bytes];
        self.file.read_exact_at(&mut table, first * SECTOR)?;
        for (entry, number) in table.chunks_exact(bytes).zip(1..) {
            let has_type = entry.iter().take(16).any(|&byte| byte != 0);
            let (start, last) = (number_at::<8>(entry, 32), number_at::<8>(entry, 40));
            // An attribute says that a boot loader of old would be taken from it.
            let is_active = number_at::<8>(entry, 48) & 4 != 0;
            if has_type && let Some(sectors) = last.checked_sub(start) {
                self.add(number, start, sectors.saturating_add(1), is_active);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn file(bytes: &[u8]) -> File {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("pygrub-table-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let mut file = File::create_new(&path).unwrap();
        file.write_all(bytes).unwrap();
        let file = File::open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        file
    }

    fn found(bytes: &[u8]) -> Vec<(Option<u32>, u64, u64)> {
        let parts = parts(&file(bytes), bytes.len() as u64).unwrap();
        let of = |part: Part| (part.number, part.start / SECTOR, part.length / SECTOR);
        parts.into_iter().map(of).collect()
    }

    fn put(bytes: &mut [u8], at: usize, what: &[u8]) {
        bytes[at..at + what.len()].copy_from_slice(what);
    }

    fn put_entry(bytes: &mut [u8], sector: usize, slot: usize, entry: (u8, u8, u32, u32)) {
        let (flag, kind, first, sectors) = entry;
        let at = sector * 512 + TABLE + 16 * slot;
        put(bytes, at, &[flag, 0, 0, 0, kind]);
        put(bytes, at + 8, &first.to_le_bytes());
        put(bytes, at + 12, &sectors.to_le_bytes());
        put(bytes, sector * 512 + 510, &SIGNATURE);
    }

    fn with_mbr() -> Vec<u8> {
        let mut bytes = vec![0; 100 * 512];
        put_entry(&mut bytes, 0, 0, (0, 0x83, 10, 10));
        put_entry(&mut bytes, 0, 1, (0x80, 0x83, 20, 10));
        put_entry(&mut bytes, 0, 2, (0, 0x83, 90, 11));
        put_entry(&mut bytes, 0, 3, (0, 0x05, 40, 40));
        put_entry(&mut bytes, 40, 0, (0, 0x83, 1, 9));
        put_entry(&mut bytes, 40, 1, (0, 0x05, 10, 10));
        put_entry(&mut bytes, 50, 0, (0, 0x83, 1, 9));
        // Back to the first.
        put_entry(&mut bytes, 50, 1, (0, 0x05, 0, 10));
        bytes
    }

    fn with_gpt() -> Vec<u8> {
        let mut bytes = vec![0; 100 * 512];
        put_entry(&mut bytes, 0, 0, (0, TYPE_GPT, 1, 99));
        put(&mut bytes, 512, b"EFI PART");
        put(&mut bytes, 512 + 72, &2_u64.to_le_bytes());
        put(&mut bytes, 512 + 80, &128_u32.to_le_bytes());
        put(&mut bytes, 512 + 84, &128_u32.to_le_bytes());
        for (slot, first, last) in [
            (0_usize, 40_u64, 49_u64),
            (2, 50, 98),
            (3, 60, 100),
            (4, 70, 60),
        ] {
            let at = 1024 + 128 * slot;
            put(&mut bytes, at, &[1; 16]);
            put(&mut bytes, at + 32, &first.to_le_bytes());
            put(&mut bytes, at + 40, &last.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn partitions_of_pcs_are_found() {
        let all = found(&with_mbr());
        assert_eq!(all[0], (Some(2), 20, 10), "the active one goes first");
        assert_eq!(all[1], (Some(1), 10, 10));
        assert_eq!(all[2], (Some(5), 41, 9));
        assert_eq!(all[3], (Some(6), 51, 9));
        assert_eq!(all.last(), Some(&(None, 0, 100)));
        // The third is not on the disk, and a chain without an end is left.
        assert!(all.len() <= MOST + 1);
        assert!(all.iter().all(|(number, ..)| *number != Some(3)));
    }

    #[test]
    fn partitions_of_gpt_are_found() {
        let all = found(&with_gpt());
        assert_eq!(all, [(Some(1), 40, 10), (Some(3), 50, 49), (None, 0, 100)]);
    }

    #[test]
    fn a_disk_without_a_table_is_one_part() {
        assert_eq!(found(&[0; 5120]), [(None, 0, 10)]);
        assert_eq!(found(b""), [(None, 0, 0)]);
    }

    proptest! {
        #[test]
        fn parts_of_damaged_tables_are_on_the_disk(
            is_gpt: bool, changes in prop::collection::vec((0..100 * 512_usize, any::<u8>()), 0..40),
            near in prop::collection::vec((446..1600_usize, any::<u8>()), 0..10),
        ) {
            let mut bytes = if is_gpt { with_gpt() } else { with_mbr() };
            for (at, byte) in changes.into_iter().chain(near) {
                bytes[at] = byte;
            }
            for (_, first, sectors) in found(&bytes) {
                prop_assert!(first + sectors <= 100);
            }
        }
    }
}
