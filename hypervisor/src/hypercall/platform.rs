//! The platform, for the domain that owns the hardware.
#![forbid(unsafe_code)]

use super::{Answer, CallersMemory};
use crate::arch::guest::running::Guest;
use crate::arch::{power, processors, wall_clock};
use crate::platform::operation::{self, CannotSleep, Ids, Machine, Version};

/// The one that we run on.
struct ThisMachine;

impl Machine for ThisMachine {
    fn set_wall_clock(&self, seconds: u64, nanoseconds: u32, system_time_ns: u64) {
        wall_clock::set(seconds, nanoseconds, system_time_ns);
    }

    fn processor(&self, number: u32) -> Option<Ids> {
        processors::find(number)
    }

    fn highest_processor(&self) -> u32 {
        processors::highest()
    }

    fn version(&self) -> Version {
        processors::version()
    }

    fn may_turn_off(&self, value_a: u16, value_b: u16) -> Result<(), CannotSleep> {
        power::check(value_a, value_b)
    }

    fn turn_off(&self, value_a: u16, value_b: u16) {
        crate::console::line(format_args!(
            "The first domain turns the machine off (ACPI S5)"
        ));
        power::sleep(value_a, value_b)
    }
}

pub(super) fn platform_op(guest: &Guest<'_>, argument: u64) -> Answer {
    operation::platform_op(
        &CallersMemory,
        &ThisMachine,
        guest.domain.rights(),
        argument,
    )
}
