//! A file's content, mapped instead of read: of what is large and read often only page tables are made, once.

use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::ops::Deref;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::ptr::NonNull;

/// Permissions of others than the owner to write.
const OTHERS_WRITE: u32 = 0o022;

/// The bytes of a file that nobody changes.
pub struct MappedFile {
    /// Start of `length` bytes that stay mapped, readable, until this is dropped.
    start: NonNull<c_void>,
    length: usize,
}

// SAFETY: the mapping belongs to this value and is only read; any thread may read or unmap it.
unsafe impl Send for MappedFile {}
// SAFETY: as above.
unsafe impl Sync for MappedFile {}

impl MappedFile {
    /// Maps a file that only this process's user can write. Whoever runs as that user must not write to it, but put
    /// another file in its place: as with a program that runs.
    ///
    /// # Errors
    ///
    /// If it is empty, not a file, others may write it, or it can't be mapped.
    pub fn open(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let is_private = metadata.uid() == nix::unistd::geteuid().as_raw()
            && metadata.permissions().mode() & OTHERS_WRITE == 0;
        if !metadata.is_file() || !is_private {
            return Err(io::Error::other("it is not a file of this user's alone"));
        }
        let length = usize::try_from(metadata.len())
            .ok()
            .and_then(NonZeroUsize::new);
        let length = length.ok_or_else(|| io::Error::other("it is empty"))?;
        let (rights, flags) = (ProtFlags::PROT_READ, MapFlags::MAP_PRIVATE);
        // SAFETY: a new mapping, at an address that the kernel chooses, replaces nothing.
        let start = unsafe { mmap(None, length, rights, flags, file.as_fd(), 0) }?;
        Ok(Self {
            start,
            length: length.get(),
        })
    }
}

impl Deref for MappedFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the mapping is as long, readable, and lives as long as the reference. Its bytes do not change: only
        // this process's user can write the file, and `open` says that it does not.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr().cast(), self.length) }
    }
}

impl Drop for MappedFile {
    fn drop(&mut self) {
        // SAFETY: this mapping was made for this value, and nothing points into it any more.
        let _ = unsafe { munmap(self.start, self.length) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_else_writes_is_mapped() {
        let path = std::env::temp_dir().join(format!("mapped-{}", std::process::id()));
        std::fs::write(&path, b"kernel").unwrap();
        let file = File::open(&path).unwrap();
        let set = |mode| file.set_permissions(std::fs::Permissions::from_mode(mode));
        set(0o644).unwrap();
        assert_eq!(&*MappedFile::open(&file).unwrap(), b"kernel");
        set(0o664).unwrap();
        assert!(MappedFile::open(&file).is_err());
        std::fs::write(&path, b"").unwrap();
        set(0o600).unwrap();
        assert!(MappedFile::open(&file).is_err());
        std::fs::remove_file(&path).unwrap();
        assert!(MappedFile::open(&File::open(std::env::temp_dir()).unwrap()).is_err());
    }
}
