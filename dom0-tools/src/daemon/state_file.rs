//! The file that outlives the daemon: a state, and what has changed since.
//!
//! A header with the machine's boot identifier, then frames: length, checksum, and records. What one turn
//! of a client changed is one frame, written at once, so that a daemon that is killed leaves all of it
//! or nothing. From time to time the file is replaced by one that has only the state. It lies in a file
//! system in memory and need not outlive the machine, so nothing is synchronized to a disk.

use crate::store::record::Record;
use crc::{CRC_32_ISCSI, Crc};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 16] = b"paravane-store-1";
const CHECKSUM: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);
/// Bytes of changes after which the file is replaced, if the state is not larger.
const REPLACE_AFTER: u64 = 4 << 20;
/// Records in one frame of a state.
const RECORDS_A_FRAME: usize = 512;

/// See the module.
pub struct StateFile {
    path: PathBuf,
    boot_id: Vec<u8>,
    file: File,
    state_bytes: u64,
    changed_bytes: u64,
}

impl StateFile {
    /// Takes up the file, or makes it, and returns the records of a former daemon. They are `None` if
    /// there was none since the machine was started.
    ///
    /// # Errors
    ///
    /// If it can't be read or made.
    pub fn open(path: &Path, boot_id: &str) -> io::Result<(Self, Option<Vec<Record>>)> {
        let boot_id = boot_id.trim().as_bytes().to_vec();
        let former = match fs::read(path) {
            Ok(bytes) => read_records(&bytes, &boot_id),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let mut state_file = Self {
            path: path.to_owned(),
            boot_id,
            file: OpenOptions::new()
                .append(true)
                .create(true)
                .mode(0o600)
                .open(path)?,
            state_bytes: 0,
            changed_bytes: 0,
        };
        match &former {
            // A frame that was not written to its end must not be in front of the next one.
            Some(records) => state_file.replace(records.iter().cloned())?,
            None => state_file.replace(std::iter::empty())?,
        }
        Ok((state_file, former))
    }

    /// Adds records: all of them will be read again, or none.
    ///
    /// # Errors
    ///
    /// If they could not be written.
    pub fn add(&mut self, records: &[Record]) -> io::Result<()> {
        let frame = frame(records)?;
        self.file.write_all(&frame)?;
        self.changed_bytes += frame.len() as u64;
        Ok(())
    }

    /// Whether it is time to [replace](Self::replace) the file.
    #[must_use]
    pub fn is_long(&self) -> bool {
        self.changed_bytes > REPLACE_AFTER.max(self.state_bytes)
    }

    /// Replaces the file by one that has this state.
    ///
    /// # Errors
    ///
    /// If it could not be written; the old one is still there then.
    pub fn replace(&mut self, state: impl Iterator<Item = Record>) -> io::Result<()> {
        let new_path = self.path.with_extension("new");
        let _ = fs::remove_file(&new_path);
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .mode(0o600)
            .open(&new_path)?;
        let mut writer = io::BufWriter::new(&file);
        writer.write_all(MAGIC)?;
        writer.write_all(&u32::try_from(self.boot_id.len()).unwrap_or(0).to_le_bytes())?;
        writer.write_all(&self.boot_id)?;
        let mut state_bytes = 0;
        let mut records = Vec::with_capacity(RECORDS_A_FRAME);
        for record in state {
            records.push(record);
            if records.len() == RECORDS_A_FRAME {
                state_bytes += write_frame(&mut writer, &mut records)?;
            }
        }
        state_bytes += write_frame(&mut writer, &mut records)?;
        writer.flush()?;
        drop(writer);
        fs::rename(&new_path, &self.path)?;
        self.file = file;
        self.state_bytes = state_bytes;
        self.changed_bytes = 0;
        Ok(())
    }

    /// Removes the file: what it says is no longer true.
    pub fn discard(self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn frame(records: &[Record]) -> io::Result<Vec<u8>> {
    let content = postcard::to_stdvec(records).map_err(io::Error::other)?;
    let length = u32::try_from(content.len()).map_err(io::Error::other)?;
    let mut frame = Vec::with_capacity(content.len() + 8);
    frame.extend_from_slice(&length.to_le_bytes());
    frame.extend_from_slice(&CHECKSUM.checksum(&content).to_le_bytes());
    frame.extend_from_slice(&content);
    Ok(frame)
}

fn write_frame(writer: &mut impl Write, records: &mut Vec<Record>) -> io::Result<u64> {
    if records.is_empty() {
        return Ok(0);
    }
    let frame = frame(records)?;
    writer.write_all(&frame)?;
    records.clear();
    Ok(frame.len() as u64)
}

/// The records of all whole frames; `None` if the file is not of this boot.
fn read_records(mut bytes: &[u8], boot_id: &[u8]) -> Option<Vec<Record>> {
    let mut magic = [0; MAGIC.len()];
    bytes.read_exact(&mut magic).ok()?;
    let length = read_number(&mut bytes)?;
    let (written_boot_id, mut rest) = bytes.split_at_checked(length)?;
    if magic != *MAGIC || written_boot_id != boot_id {
        return None;
    }
    let mut records: Vec<Record> = Vec::new();
    while !rest.is_empty() {
        let Some((mut content, following)) = read_frame(rest) else {
            log::warn!(
                "the end of the state file, {} bytes, was not written completely: what it was about has not happened",
                rest.len()
            );
            break;
        };
        records.append(&mut content);
        rest = following;
    }
    Some(records)
}

fn read_frame(mut bytes: &[u8]) -> Option<(Vec<Record>, &[u8])> {
    let length = read_number(&mut bytes)?;
    let checksum = read_number(&mut bytes)?;
    let (content, following) = bytes.split_at_checked(length)?;
    if CHECKSUM.checksum(content) as usize != checksum {
        return None;
    }
    Some((postcard::from_bytes(content).ok()?, following))
}

fn read_number(bytes: &mut &[u8]) -> Option<usize> {
    let (number, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u32::from_le_bytes(*number) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> Record {
        Record::Removed { path: name.into() }
    }

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("state-file-{name}-{}", std::process::id()));
        let _ = fs::remove_file(&path);
        path
    }

    fn reopened(path: &Path, boot_id: &str) -> Option<Vec<Record>> {
        StateFile::open(path, boot_id).unwrap().1
    }

    #[test]
    fn what_was_added_is_read_again() {
        let path = scratch("add");
        let (mut file, former) = StateFile::open(&path, "boot\n").unwrap();
        assert_eq!(former, None);
        file.add(&[node("/a"), node("/b")]).unwrap();
        file.add(&[node("/c")]).unwrap();
        assert_eq!(
            reopened(&path, "boot"),
            Some(vec![node("/a"), node("/b"), node("/c")])
        );
        let (mut file, _) = StateFile::open(&path, "boot").unwrap();
        file.replace([node("/d")].into_iter()).unwrap();
        file.add(&[node("/e")]).unwrap();
        assert_eq!(reopened(&path, "boot"), Some(vec![node("/d"), node("/e")]));
        assert_eq!(reopened(&path, "another boot"), None);
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_file_that_ends_anywhere_has_its_whole_frames() {
        let path = scratch("cut");
        let (mut file, _) = StateFile::open(&path, "boot").unwrap();
        file.add(&[node("/a"), node("/b")]).unwrap();
        let first = fs::metadata(&path).unwrap().len();
        file.add(&[node("/c"), node("/d")]).unwrap();
        let whole = fs::read(&path).unwrap();
        for end in first as usize..whole.len() {
            let records = read_records(&whole[..end], b"boot");
            assert_eq!(records, Some(vec![node("/a"), node("/b")]), "{end}");
        }
        let mut damaged = whole.clone();
        *damaged.last_mut().unwrap() ^= 1;
        assert_eq!(
            read_records(&damaged, b"boot"),
            Some(vec![node("/a"), node("/b")])
        );
        // What comes after a cut frame is read again all the same.
        fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        let (mut file, _) = StateFile::open(&path, "boot").unwrap();
        file.add(&[node("/e")]).unwrap();
        assert_eq!(
            reopened(&path, "boot"),
            Some(vec![node("/a"), node("/b"), node("/e")])
        );
        fs::remove_file(&path).unwrap();
    }
}
