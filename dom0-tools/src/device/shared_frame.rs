//! One frame that is shared with a guest, mapped into this process.

use guest_abi::dev_gntdev::{self, ForeignGrant, GntdevIoctl, MapGrantRef, UnmapGrantRef};
use guest_abi::dev_privcmd::{self, MmapBatchV2, PrivcmdIoctl};
use guest_abi::dev_store::KERNEL_RING_FILE;
use guest_abi::ids::{DomId, GrantRef, PAGE_SIZE, Vaddr};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use std::ffi::c_void;
use std::fs::{File, OpenOptions};
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;
use std::sync::atomic::{Ordering, fence};

mod request {
    use super::{GntdevIoctl, MapGrantRef, MmapBatchV2, PrivcmdIoctl, UnmapGrantRef};

    nix::ioctl_write_ptr_bad!(mmap_batch, PrivcmdIoctl::MmapBatchV2 as u32, MmapBatchV2);
    nix::ioctl_readwrite_bad!(map_grant, GntdevIoctl::MapGrantRef as u32, MapGrantRef);
    nix::ioctl_write_ptr_bad!(
        unmap_grant,
        GntdevIoctl::UnmapGrantRef as u32,
        UnmapGrantRef
    );
}

/// Bytes of a frame.
pub const FRAME_BYTES: usize = PAGE_SIZE;

/// A mapped frame. The guest reads and writes it at any time: there is no reference into it.
pub struct SharedFrame {
    /// Start of [`FRAME_BYTES`] bytes that stay mapped, readable and writable, until this is dropped.
    start: NonNull<c_void>,
    /// What keeps the grant, and where in it, to be undone after the frame is unmapped.
    grant: Option<(File, u64)>,
}

impl SharedFrame {
    /// Maps the frame by which a guest shares a reserved entry of its grant table, else the frame itself.
    ///
    /// # Errors
    ///
    /// If neither can be mapped.
    pub fn of_guest(domain: DomId, entry: GrantRef, gfn: u64) -> io::Result<Self> {
        Self::by_grant(domain, entry).or_else(|_| Self::by_frame(domain, gfn))
    }

    /// Maps the ring of this domain's own kernel.
    ///
    /// # Errors
    ///
    /// If there is none, or it can't be mapped.
    pub fn of_own_kernel() -> io::Result<Self> {
        let file = open(KERNEL_RING_FILE)?;
        Ok(Self {
            start: map(&file, 0)?,
            grant: None,
        })
    }

    fn by_grant(domain: DomId, entry: GrantRef) -> io::Result<Self> {
        let file = open(dev_gntdev::DEVICE)?;
        let mut argument = MapGrantRef {
            count: 1,
            pad: 0,
            index: 0,
            refs: [ForeignGrant {
                domid: u32::from(domain.0),
                gref: entry,
            }],
        };
        // SAFETY: the request reads and writes this structure, which lives until it returns; its count says
        // that no more grants follow.
        unsafe { request::map_grant(file.as_raw_fd(), &raw mut argument) }?;
        match map(&file, argument.index) {
            Ok(start) => Ok(Self {
                start,
                grant: Some((file, argument.index)),
            }),
            Err(error) => {
                forget_grant(&file, argument.index);
                Err(error)
            }
        }
    }

    fn by_frame(domain: DomId, gfn: u64) -> io::Result<Self> {
        let file = open(dev_privcmd::DEVICE)?;
        let mapped = Self {
            start: map(&file, 0)?,
            grant: None,
        };
        let (frames, mut errors) = ([gfn], [0_i32]);
        let argument = MmapBatchV2 {
            num: 1,
            dom: domain,
            pad0: [0; 2],
            addr: Vaddr(mapped.start.as_ptr() as u64),
            arr: Vaddr(frames.as_ptr() as u64),
            err: Vaddr(errors.as_mut_ptr() as u64),
        };
        // SAFETY: the request reads this structure and one entry of `frames`, writes one of `errors`, all of
        // which live until it returns, and fills the mapping that was made for it from the same file.
        unsafe { request::mmap_batch(file.as_raw_fd(), &argument) }?;
        match errors {
            [0] => Ok(mapped),
            [error] => Err(io::Error::from_raw_os_error(-error)),
        }
    }

    /// Copies out of the frame, at a byte offset within it.
    pub fn read(&self, offset: usize, into: &mut [u8]) {
        assert!(offset <= FRAME_BYTES && into.len() <= FRAME_BYTES - offset);
        for (index, byte) in into.iter_mut().enumerate() {
            // SAFETY: within the mapping, as asserted. Volatile, because the guest may write it meanwhile.
            *byte = unsafe { self.at(offset + index).read_volatile() };
        }
    }

    /// Copies into the frame, at a byte offset within it.
    pub fn write(&self, offset: usize, from: &[u8]) {
        assert!(offset <= FRAME_BYTES && from.len() <= FRAME_BYTES - offset);
        for (index, &byte) in from.iter().enumerate() {
            // SAFETY: within the mapping, as asserted. Volatile, because the guest may read it meanwhile.
            unsafe { self.at(offset + index).write_volatile(byte) };
        }
    }

    /// Reads an aligned number, before anything that is read after.
    #[must_use]
    pub fn load(&self, offset: usize) -> u32 {
        assert!(offset.is_multiple_of(4) && offset < FRAME_BYTES);
        // SAFETY: aligned, since the frame is, and within the mapping, as asserted.
        let value = unsafe { self.at(offset).cast::<u32>().read_volatile() };
        fence(Ordering::SeqCst);
        value
    }

    /// Writes an aligned number, after everything that was read and written before, and before anything
    /// that is read after.
    pub fn store(&self, offset: usize, value: u32) {
        assert!(offset.is_multiple_of(4) && offset < FRAME_BYTES);
        fence(Ordering::SeqCst);
        // SAFETY: aligned, since the frame is, and within the mapping, as asserted.
        unsafe { self.at(offset).cast::<u32>().write_volatile(value) };
        fence(Ordering::SeqCst);
    }

    /// A pointer to a byte; dereferencing it needs `offset` to be below [`FRAME_BYTES`].
    fn at(&self, offset: usize) -> *mut u8 {
        self.start.as_ptr().cast::<u8>().wrapping_add(offset)
    }
}

impl Drop for SharedFrame {
    fn drop(&mut self) {
        // SAFETY: this mapping was made for this value, and nothing points into it any more.
        let _ = unsafe { munmap(self.start, FRAME_BYTES) };
        if let Some((file, index)) = &self.grant {
            forget_grant(file, *index);
        }
    }
}

fn forget_grant(file: &File, index: u64) {
    let argument = UnmapGrantRef {
        index,
        count: 1,
        pad: 0,
    };
    // SAFETY: the request reads this structure, which lives until it returns, and nothing else.
    let _ = unsafe { request::unmap_grant(file.as_raw_fd(), &argument) };
}

fn open(device: &str) -> io::Result<File> {
    let opened = OpenOptions::new().read(true).write(true).open(device);
    opened.map_err(|error| io::Error::new(error.kind(), format!("{device}: {error}")))
}

fn map(file: &File, offset: u64) -> io::Result<NonNull<c_void>> {
    let length = NonZeroUsize::MIN.saturating_add(FRAME_BYTES - 1);
    let offset = i64::try_from(offset).map_err(io::Error::other)?;
    // SAFETY: a new mapping, at an address that the kernel chooses, replaces nothing.
    let start = unsafe {
        mmap(
            None,
            length,
            ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
            MapFlags::MAP_SHARED,
            file,
            offset,
        )
    };
    Ok(start?)
}
