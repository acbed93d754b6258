//! Who we are.
#![forbid(unsafe_code)]

use super::{Answer, CallersMemory};
use crate::arch::boot::command_line;
use crate::arch::build_id;
use crate::arch::guest::running::Guest;
use crate::control::privilege::Rights;
use crate::platform::version::{self, Identity};

impl Identity for Guest<'_> {
    fn rights(&self) -> Rights {
        self.domain.rights()
    }

    fn is_hardware_domain(&self) -> bool {
        self.domain.is_hardware_domain()
    }

    fn handle(&self) -> [u8; 16] {
        self.domain.settings().handle
    }

    fn command_line(&self) -> &[u8] {
        command_line()
    }

    fn build_id(&self) -> Option<&[u8]> {
        build_id::build_id()
    }
}

#[inline]
pub(super) fn version(guest: &Guest<'_>, operation: u64, argument: u64) -> Answer {
    version::version(&CallersMemory, guest, operation, argument)
}
