//! How other domains are, asked of the hypervisor by `/dev/xen/privcmd`.

use crate::store::domains::Status;
use guest_abi::dev_privcmd::{self, PrivcmdIoctl};
use guest_abi::domctl::{Domctl, DomctlOp, INTERFACE_VERSION};
use guest_abi::domctl_domain::{DomainInfo, DomainInfoFlags};
use guest_abi::hypercall::Hypercall;
use guest_abi::ids::DomId;
use guest_abi::payload::Payload;
use nix::errno::Errno;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use std::ffi::c_void;
use std::fs::{File, OpenOptions};
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;

mod request {
    use super::{PrivcmdIoctl, dev_privcmd};

    nix::ioctl_write_ptr_bad!(
        hypercall,
        PrivcmdIoctl::Hypercall as u32,
        dev_privcmd::Hypercall
    );
}

const BUFFER_BYTES: usize = 4096;

/// Asks the hypervisor.
pub struct DomainStatus {
    privcmd: File,
    /// Start of [`BUFFER_BYTES`] bytes that stay resident, mapped by nobody else until this is dropped.
    buffer: NonNull<c_void>,
}

impl DomainStatus {
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
        let buffers = open(dev_privcmd::BUFFER_DEVICE)?;
        let length = NonZeroUsize::MIN.saturating_add(BUFFER_BYTES - 1);
        let rights = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping, at an address that the kernel chooses, replaces nothing.
        let buffer = unsafe { mmap(None, length, rights, MapFlags::MAP_SHARED, &buffers, 0) }?;
        Ok(Self {
            privcmd: open(dev_privcmd::DEVICE)?,
            buffer,
        })
    }

    /// How the domain is. Where the hypervisor does not say, it is taken to be alive.
    #[must_use]
    pub fn of(&self, domain: DomId) -> Status {
        match self.info(domain) {
            // The answer is about the next domain if there is none of this number.
            Ok(info) if info.domain != domain => Status::Gone,
            Ok(info) if info.flags.contains(DomainInfoFlags::DYING) => Status::Gone,
            Ok(info) if info.flags.contains(DomainInfoFlags::SHUTDOWN) => Status::ShutDown,
            Ok(_) => Status::Alive,
            Err(Errno::ESRCH) => Status::Gone,
            Err(error) => {
                log::error!(
                    "the hypervisor does not say how domain {} is: {error}",
                    domain.0
                );
                Status::Alive
            }
        }
    }

    fn info(&self, domain: DomId) -> Result<DomainInfo, Errno> {
        let operation = self.buffer.cast::<Domctl>();
        let argument = Domctl {
            cmd: DomctlOp::GetDomainInfo as u32,
            interface_version: INTERFACE_VERSION,
            domain,
            pad: [0; 3],
            u: Payload::ZERO,
        };
        // SAFETY: the buffer starts at a page and is longer than the structure, and only this value uses it.
        unsafe { operation.write(argument) };
        let call = dev_privcmd::Hypercall {
            op: Hypercall::Domctl as u64,
            arg: [operation.as_ptr() as u64, 0, 0, 0, 0],
        };
        // SAFETY: the request reads this structure, and the hypervisor reads and writes the structure in
        // the buffer. Both live until it returns.
        unsafe { request::hypercall(self.privcmd.as_raw_fd(), &call) }?;
        // SAFETY: as above; any bytes are such a structure.
        Ok(unsafe { operation.read() }.u.read())
    }
}

impl Drop for DomainStatus {
    fn drop(&mut self) {
        // SAFETY: this mapping was made for this value, and nothing points into it any more.
        let _ = unsafe { munmap(self.buffer, BUFFER_BYTES) };
    }
}
