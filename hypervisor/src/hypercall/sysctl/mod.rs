//! Control of the machine by tools.

#![forbid(unsafe_code)]

mod console;
mod machine;
mod pools;

use super::{Outcome, check_version, read, write};
use crate::arch::guest::running::Guest;
use crate::control::privilege;
use crate::domain::control::Turn;
use crate::speculation;
use guest_abi::errno::Errno;
use guest_abi::sysctl::{INTERFACE_VERSION, Sysctl, SysctlOp};

/// What an operation comes to, if it comes to something.
enum Done {
    /// It is done.
    Quietly,
    /// It is done, and the caller reads in the argument what is so.
    WithAnswer,
    /// The caller makes it again.
    Again,
}

type Answer = Result<Done, Errno>;

pub(super) fn sysctl(guest: &Guest<'_>, argument: u64) -> Outcome {
    let mut wish: Sysctl = match read(argument) {
        Ok(wish) => wish,
        Err(errno) => return Err(errno).into(),
    };
    match perform(guest, &mut wish) {
        Ok(Done::Quietly) => Ok(0).into(),
        Ok(Done::WithAnswer) => write(argument, &wish).map(|()| 0).into(),
        Ok(Done::Again) => Outcome::again([argument]),
        Err(errno) => Err(errno).into(),
    }
}

fn perform(guest: &Guest<'_>, wish: &mut Sysctl) -> Answer {
    use SysctlOp as Op;
    check_version(wish.interface_version, INTERFACE_VERSION)?;
    let operation = Op::try_from(wish.cmd).ok();
    let rule = operation.map_or(privilege::UNKNOWN, privilege::sysctl);
    rule.admit(guest.domain.rights())?;
    speculation::barrier();
    let (Some(operation), Some(_turn)) = (operation, Turn::take()) else {
        return Ok(Done::Again);
    };
    match operation {
        Op::ReadConsole => console::read(wish),
        Op::DebugKeys => console::press(wish),
        Op::PhysInfo => machine::describe(wish),
        Op::GetCpuInfo => machine::idle_times(wish),
        Op::AvailHeap => machine::free_memory(wish),
        Op::CpuTopologyInfo => machine::topology(wish),
        Op::NumaInfo => machine::nodes(wish),
        Op::PciTopologyInfo => machine::device_nodes(wish),
        Op::GetCpuLevellingCaps => machine::levelling(wish),
        Op::GetCpuFeatureset => machine::features(wish),
        Op::GetCpuPolicy => machine::policy(wish),
        Op::SchedulerId => pools::scheduler(wish),
        Op::SchedulerOp => pools::parameters(wish),
        Op::CpupoolOp => pools::pool(wish),
        Op::GetDomainInfoList => pools::domains(wish),
        // The table lets no other through.
        _ => Err(Errno::ENOSYS),
    }
}
