//! File systems on a disk. They are read by `ext4-view`, which forbids `unsafe` as all here does.

use super::partitions::{Part, parts};
use ext4_view::{Ext4, Ext4Error, Ext4Read, File as GuestFile};
use std::error::Error;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::rc::Rc;

/// Where a file system says what it is.
const MAGIC_AT: u64 = 1024 + 56;
const MAGIC: [u8; 2] = [0x53, 0xEF];
/// Bytes of a configuration.
const MOST_TEXT_BYTES: u64 = 1 << 20;

/// A part of the disk as its file system reads it.
struct Window {
    disk: Rc<File>,
    part: Part,
}

impl Ext4Read for Window {
    fn read(&mut self, start: u64, into: &mut [u8]) -> Result<(), Box<dyn Error + Send + Sync>> {
        let end = start.checked_add(into.len() as u64);
        if end.is_none_or(|end| end > self.part.length) {
            return Err(format!("{} has no byte {start}", self.part).into());
        }
        Ok(self.disk.read_exact_at(into, self.part.start + start)?)
    }
}

/// A file system.
pub(super) struct Volume {
    pub(super) part: Part,
    files: Ext4,
}

/// What was found on a disk.
pub(super) struct Volumes {
    pub(super) all: Vec<Volume>,
    /// What is wrong with parts that look like file systems.
    pub(super) damaged: Vec<String>,
    /// Parts that were looked at.
    pub(super) parts: usize,
}

impl Volumes {
    /// Those of a disk.
    ///
    /// # Errors
    ///
    /// If the disk can't be read.
    pub(super) fn of(mut disk: File) -> io::Result<Self> {
        // Of a block device there is no other way to learn this.
        let length = disk.seek(SeekFrom::End(0))?;
        let parts = parts(&disk, length)?;
        let disk = Rc::new(disk);
        let mut found = Self {
            all: Vec::new(),
            damaged: Vec::new(),
            parts: parts.len(),
        };
        for part in parts {
            let mut magic = [0; 2];
            if part.length < MAGIC_AT + 2 {
                continue;
            }
            disk.read_exact_at(&mut magic, part.start + MAGIC_AT)?;
            if magic != MAGIC {
                continue;
            }
            let disk = Rc::clone(&disk);
            match Ext4::load(Box::new(Window { disk, part })) {
                Ok(files) => found.all.push(Volume { part, files }),
                Err(error) => found.damaged.push(format!("{part}: {error}")),
            }
        }
        Ok(found)
    }
}

impl Volume {
    /// Opens a file, if there is one of this name.
    ///
    /// # Errors
    ///
    /// A sentence.
    pub(super) fn open(&self, path: &str) -> Result<Option<GuestFile>, String> {
        let path = match path.starts_with('/') {
            true => path.to_owned(),
            false => format!("/{path}"),
        };
        match self.files.open(path.as_str()) {
            Ok(file) => Ok(Some(file)),
            Err(Ext4Error::NotFound | Ext4Error::NotADirectory) => Ok(None),
            Err(error) => Err(format!("{path} on {} can't be read: {error}", self.part)),
        }
    }

    /// What is in a file of a configuration, if there is one.
    ///
    /// # Errors
    ///
    /// A sentence.
    pub(super) fn text(&self, path: &str) -> Result<Option<String>, String> {
        let Some(file) = self.open(path)? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        let read = file.take(MOST_TEXT_BYTES + 1).read_to_end(&mut bytes);
        read.map_err(|error| format!("{path} on {} can't be read: {error}", self.part))?;
        if bytes.len() as u64 > MOST_TEXT_BYTES {
            return Err(format!(
                "{path} on {} has more than {MOST_TEXT_BYTES} bytes, which no configuration of GRUB has",
                self.part
            ));
        }
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }
}
