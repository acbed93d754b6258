//! Hypercalls of a process in the first domain, by the kernel's device for them.
//!
//! What a hypercall points to must stay resident: [`Locked`] is such memory. The typed operations are in
//! [`domctl`](super::domctl), [`sysctl`](super::sysctl) and [`memory`](super::memory); nothing else may make
//! hypercalls, because an address that a hypercall is given is written to whatever is there.

use crate::control::error::ControlError;
use guest_abi::dev_privcmd::{self, PrivcmdIoctl};
use guest_abi::hypercall::Hypercall;
use guest_abi::ids::{PAGE_SIZE, Vaddr};
use nix::errno::Errno;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use std::ffi::c_void;
use std::fs::{File, OpenOptions};
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;
use std::sync::Mutex;
use zerocopy::{FromBytes, Immutable, IntoBytes};

mod request {
    use super::{PrivcmdIoctl, dev_privcmd};

    nix::ioctl_write_ptr_bad!(
        hypercall,
        PrivcmdIoctl::Hypercall as u32,
        dev_privcmd::Hypercall
    );
}

/// Bytes of the memory that is kept for the next call. Most calls need less.
const KEPT_BYTES: usize = 16 * PAGE_SIZE;

/// The way to the hypervisor. Threads may share it.
pub struct Privcmd {
    device: File,
    buffers: File,
    /// Memory of [`KEPT_BYTES`] that no call uses at the moment.
    kept: Mutex<Vec<Locked>>,
}

/// Memory that a hypercall may point to.
pub struct Locked {
    /// Start of `length` bytes that stay resident, mapped by nobody else until this is dropped.
    start: NonNull<c_void>,
    length: usize,
}

// SAFETY: the mapping belongs to this value alone, and any thread may use or unmap it.
unsafe impl Send for Locked {}

impl Privcmd {
    /// Opens the devices.
    ///
    /// # Errors
    ///
    /// If there are none, or they may not be opened.
    pub fn open() -> io::Result<Self> {
        let open = |device: &str| {
            let opened = OpenOptions::new().read(true).write(true).open(device);
            opened.map_err(|error| io::Error::new(error.kind(), format!("{device}: {error}")))
        };
        Ok(Self {
            device: open(dev_privcmd::DEVICE)?,
            buffers: open(dev_privcmd::BUFFER_DEVICE)?,
            kept: Mutex::new(Vec::new()),
        })
    }

    /// The device, to map frames of other domains.
    pub(super) const fn device(&self) -> &File {
        &self.device
    }

    /// Memory for a call, `bytes` long or longer, all zero.
    pub(super) fn locked(&self, bytes: usize) -> Result<Locked, ControlError> {
        let kept = if bytes <= KEPT_BYTES {
            self.kept
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .pop()
        } else {
            None
        };
        if let Some(mut locked) = kept {
            locked.clear();
            return Ok(locked);
        }
        Locked::new(&self.buffers, bytes.max(KEPT_BYTES))
            .map_err(|error| ControlError::new("getting memory for a hypercall", error))
    }

    /// Takes memory back for the next call.
    pub(super) fn give_back(&self, locked: Locked) {
        if locked.length == KEPT_BYTES {
            self.kept
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .push(locked);
        }
    }

    /// Makes a hypercall.
    ///
    /// # Safety
    ///
    /// What the hypervisor reads and writes through these arguments must be [`Locked`] memory of the
    /// caller's, as long as the call's number says.
    pub(super) unsafe fn call(&self, number: Hypercall, arguments: [u64; 5]) -> Result<u64, Errno> {
        let call = dev_privcmd::Hypercall {
            op: number as u64,
            arg: arguments,
        };
        // SAFETY: the request reads this structure, which lives until it returns; what it leads to is the
        // caller's promise.
        let answer = unsafe { request::hypercall(self.device.as_raw_fd(), &call) }?;
        // The wrapper has taken the negative ones away.
        Ok(u64::try_from(answer).unwrap_or(0))
    }
}

impl Locked {
    fn new(buffers: &File, bytes: usize) -> Result<Self, Errno> {
        let length = bytes.next_multiple_of(PAGE_SIZE);
        let rights = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        let size = NonZeroUsize::new(length).ok_or(Errno::EINVAL)?;
        // SAFETY: a new mapping, at an address that the kernel chooses, replaces nothing.
        let start = unsafe { mmap(None, size, rights, MapFlags::MAP_SHARED, buffers, 0) }?;
        Ok(Self { start, length })
    }

    fn clear(&mut self) {
        // SAFETY: all of the mapping, which nobody else uses.
        unsafe { self.start.cast::<u8>().write_bytes(0, self.length) };
    }

    /// Where the byte at `offset` is, for a hypercall's argument.
    pub(super) fn address(&self, offset: usize) -> Vaddr {
        assert!(offset < self.length);
        Vaddr(self.start.as_ptr() as u64 + offset as u64)
    }

    /// Writes a structure at a byte offset.
    pub(super) fn write<T: IntoBytes + Immutable + ?Sized>(&mut self, offset: usize, value: &T) {
        let bytes = value.as_bytes();
        assert!(offset <= self.length && bytes.len() <= self.length - offset);
        // SAFETY: within the mapping, as asserted, which nobody else uses, so it does not overlap the value.
        unsafe {
            self.at(offset)
                .copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len());
        }
    }

    /// Reads a structure at a byte offset.
    pub(super) fn read<T: FromBytes>(&self, offset: usize) -> T {
        assert!(offset <= self.length && size_of::<T>() <= self.length - offset);
        // SAFETY: within the mapping, as asserted; any bytes are a `T`.
        unsafe { self.at(offset).cast::<T>().read_unaligned() }
    }

    /// Reads consecutive structures from a byte offset on.
    pub(super) fn read_list<T: FromBytes>(&self, offset: usize, count: usize) -> Vec<T> {
        (0..count)
            .map(|index| self.read(offset + index * size_of::<T>()))
            .collect()
    }

    /// A pointer to a byte; `offset` is within the mapping.
    fn at(&self, offset: usize) -> NonNull<u8> {
        // SAFETY: callers have asserted that the offset is within the mapping.
        unsafe { self.start.cast::<u8>().add(offset) }
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // SAFETY: this mapping was made for this value, and nothing points into it any more.
        let _ = unsafe { munmap(self.start, self.length) };
    }
}
