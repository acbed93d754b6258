//! Frames of another domain, mapped while it is built or looked at.

use super::privcmd::Privcmd;
use crate::control::error::ControlError;
use guest_abi::dev_privcmd::{MmapBatchV2, MmapResource, PrivcmdIoctl};
use guest_abi::ids::{DomId, Mfn, PAGE_SIZE, Vaddr};
use guest_abi::memory_op::{GRANT_TABLE_SHARED, Resource};
use nix::errno::Errno;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use std::ffi::c_void;
use std::num::NonZeroUsize;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;

mod request {
    use super::{MmapBatchV2, MmapResource, PrivcmdIoctl};

    nix::ioctl_write_ptr_bad!(mmap_batch, PrivcmdIoctl::MmapBatchV2 as u32, MmapBatchV2);
    nix::ioctl_readwrite_bad!(
        mmap_resource,
        PrivcmdIoctl::MmapResource as u32,
        MmapResource
    );
}

const MAPPING: &str = "mapping the domain's memory";

/// Consecutive pages of this process that are frames of another domain. The domain may write them at any
/// time: there is no reference into them.
pub struct ForeignFrames {
    /// Start of `pages` pages that stay mapped, readable and writable, until this is dropped.
    start: NonNull<c_void>,
    pages: usize,
}

impl ForeignFrames {
    /// Maps frames of a domain, in this order.
    ///
    /// # Errors
    ///
    /// If one of them can't be mapped.
    pub fn of(privcmd: &Privcmd, domain: DomId, frames: &[Mfn]) -> Result<Self, ControlError> {
        let failed = |errno| ControlError::new(MAPPING, errno);
        let mapped = Self::room(privcmd, frames.len()).map_err(failed)?;
        let mut errors = vec![0_i32; frames.len()];
        let argument = MmapBatchV2 {
            num: u32::try_from(frames.len()).map_err(|_| failed(Errno::E2BIG))?,
            dom: domain,
            pad0: [0; 2],
            addr: Vaddr(mapped.start.as_ptr() as u64),
            arr: Vaddr(frames.as_ptr() as u64),
            err: Vaddr(errors.as_mut_ptr() as u64),
        };
        // SAFETY: the request reads this structure and the list of frames, writes as many errors, all of which
        // live until it returns, and fills the mapping of as many pages that was made for it from the same file.
        unsafe { request::mmap_batch(privcmd.device().as_raw_fd(), &argument) }.map_err(failed)?;
        match errors.iter().find(|&&error| error != 0) {
            None => Ok(mapped),
            Some(error) => Err(failed(Errno::from_raw(-error))),
        }
    }

    /// Maps the first frame of a domain's grant table.
    ///
    /// # Errors
    ///
    /// If it can't be mapped.
    pub fn grant_table(privcmd: &Privcmd, domain: DomId) -> Result<Self, ControlError> {
        let failed = |errno| ControlError::new("mapping the domain's grant table", errno);
        let mapped = Self::room(privcmd, 1).map_err(failed)?;
        let mut argument = MmapResource {
            dom: domain,
            pad0: [0; 2],
            resource: Resource::GrantTable as u32,
            id: GRANT_TABLE_SHARED,
            idx: 0,
            num: 1,
            addr: Vaddr(mapped.start.as_ptr() as u64),
        };
        // SAFETY: the request reads and writes this structure, and fills the mapping of one page that was made for
        // it from the same file.
        unsafe { request::mmap_resource(privcmd.device().as_raw_fd(), &raw mut argument) }
            .map_err(failed)?;
        Ok(mapped)
    }

    fn room(privcmd: &Privcmd, pages: usize) -> Result<Self, Errno> {
        let length = pages.checked_mul(PAGE_SIZE).and_then(NonZeroUsize::new);
        let rights = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping, at an address that the kernel chooses, replaces nothing.
        let start = unsafe {
            mmap(
                None,
                length.ok_or(Errno::EINVAL)?,
                rights,
                MapFlags::MAP_SHARED,
                privcmd.device(),
                0,
            )
        }?;
        Ok(Self { start, pages })
    }

    /// Copies into a page, at a byte offset within it; what would not fit is a mistake of the caller.
    pub fn write(&self, page: usize, offset: usize, from: &[u8]) {
        let to = self.place(page, offset, from.len());
        // SAFETY: within the mapping, as `place` asserts; no reference to it exists, so it does not overlap `from`.
        unsafe { to.copy_from_nonoverlapping(NonNull::from(from).cast(), from.len()) };
    }

    /// Makes a page all zero.
    pub fn clear(&self, page: usize) {
        // SAFETY: a whole page within the mapping, as `place` asserts.
        unsafe { self.place(page, 0, PAGE_SIZE).write_bytes(0, PAGE_SIZE) };
    }

    /// Copies out of a page, at a byte offset within it.
    pub fn read(&self, page: usize, offset: usize, into: &mut [u8]) {
        let from = self.place(page, offset, into.len());
        // SAFETY: within the mapping, as `place` asserts; no reference to it exists, so it does not overlap `into`.
        // Whatever the domain writes meanwhile, bytes are copied.
        unsafe { from.copy_to_nonoverlapping(NonNull::from(&mut *into).cast(), into.len()) };
    }

    /// Where `length` bytes at an offset within a page are.
    fn place(&self, page: usize, offset: usize, length: usize) -> NonNull<u8> {
        assert!(page < self.pages && offset <= PAGE_SIZE && length <= PAGE_SIZE - offset);
        // SAFETY: within the mapping, as asserted.
        unsafe { self.start.cast::<u8>().add(page * PAGE_SIZE + offset) }
    }
}

impl Drop for ForeignFrames {
    fn drop(&mut self) {
        // SAFETY: this mapping was made for this value, and nothing points into it any more.
        let _ = unsafe { munmap(self.start, self.pages * PAGE_SIZE) };
    }
}
