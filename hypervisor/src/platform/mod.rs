//! What kernels ask about the hypervisor and the machine: versions, the console, and the platform.
//!
//! Each call is one function: it reads its arguments from the caller's memory, decides, and writes what it answers. The caller's
//! memory, the console and the machine are behind traits.
#![forbid(unsafe_code)]

#[cfg(all(any(test, fuzzing), not(loom)))]
pub mod calls;
pub mod console_io;
pub mod operation;
pub mod version;

use crate::domain::entry_points::Arguments;
use guest_abi::errno::Errno;
use zerocopy::{Immutable, IntoBytes};

/// The memory of the guest that calls, for reading and writing. Each access may fail.
pub trait CallersMemory: Arguments {
    /// Reads what is at `at`.
    ///
    /// # Errors
    /// `EFAULT`.
    fn read_bytes(&self, at: u64, bytes: &mut [u8]) -> Result<(), Errno>;

    /// Writes to `at`.
    ///
    /// # Errors
    /// `EFAULT`; some of it may have been written.
    fn write_bytes(&self, at: u64, bytes: &[u8]) -> Result<(), Errno>;

    /// Writes to `at`.
    ///
    /// # Errors
    /// `EFAULT`; some of it may have been written.
    fn write<T: IntoBytes + Immutable>(&self, at: u64, value: &T) -> Result<(), Errno> {
        self.write_bytes(at, value.as_bytes())
    }
}
