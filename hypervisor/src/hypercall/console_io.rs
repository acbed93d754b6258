//! The hypervisor's console, for the first domain.
#![forbid(unsafe_code)]

use super::{CallersMemory, Outcome, admit};
use crate::arch::console_input;
use crate::arch::guest::running::Guest;
use crate::arch::scheduler;
use crate::console;
use crate::control::privilege;
use crate::platform::console_io::{self, Console, Shown};
use guest_abi::console_io::ConsoleIo;
use guest_abi::errno::Errno;

/// The machine's.
struct MachineConsole;

impl Console for MachineConsole {
    fn show(&self, bytes: &[u8]) {
        console::write_guest(bytes);
    }

    fn take(&self, room: &mut [u8]) -> usize {
        console_input::take(room)
    }

    fn should_yield(&self) -> bool {
        scheduler::should_yield()
    }
}

pub(super) fn console_io(guest: &Guest<'_>, operation: u64, count: u64, buffer: u64) -> Outcome {
    if let Err(errno) = admit(guest, privilege::CONSOLE) {
        return Err(errno).into();
    }
    let operation = u32::try_from(operation)
        .ok()
        .and_then(|op| ConsoleIo::try_from(op).ok());
    match operation {
        Some(ConsoleIo::Write) => {
            match console_io::write(&CallersMemory, &MachineConsole, count, buffer) {
                Ok(Shown::All) => Ok(0).into(),
                Ok(Shown::Until { left, at }) => {
                    Outcome::again([ConsoleIo::Write as u64, left, at])
                }
                Err(errno) => Err(errno).into(),
            }
        }
        Some(ConsoleIo::Read) => {
            console_io::read(&CallersMemory, &MachineConsole, count, buffer).into()
        }
        None => Err(Errno::ENOSYS).into(),
    }
}
