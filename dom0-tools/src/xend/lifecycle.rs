//! What happens to a domain that has ended: a decision on plain facts.

use crate::config::domain::{Action, DomainConfig};
use guest_abi::sched_op::ShutdownReason;
use std::time::Duration;

/// A domain that ends within this time after its start is not started again: it would end again, and again.
pub const LEAST_LIFE: Duration = Duration::from_secs(60);

/// What is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decision {
    /// It is cleaned up.
    Destroy,
    /// It is cleaned up and built again.
    Restart,
    /// It would be built again, but has not lived long enough.
    RefuseToRestart,
    /// It is kept.
    Preserve,
    /// It is kept under another name, and built again.
    RenameAndRestart,
    /// Nothing: who has suspended it takes care of it.
    Leave,
}

/// Whether a core dump is written first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dump {
    /// None.
    Without,
    /// One is written.
    First,
}

/// What people call the reason.
#[must_use]
pub fn reason_name(reason: u8) -> &'static str {
    const POWEROFF: u8 = ShutdownReason::Poweroff as u8;
    const REBOOT: u8 = ShutdownReason::Reboot as u8;
    const SUSPEND: u8 = ShutdownReason::Suspend as u8;
    match reason {
        POWEROFF => "poweroff",
        REBOOT => "reboot",
        SUSPEND => "suspend",
        _ => "crash",
    }
}

/// Decides. `reason` is the hypervisor's number, `lived` the time since the domain was started.
#[must_use]
pub fn decide(reason: u8, config: &DomainConfig, lived: Duration) -> (Decision, Dump) {
    let action = match reason_name(reason) {
        "poweroff" => config.on_poweroff,
        "reboot" => config.on_reboot,
        "suspend" => return (Decision::Leave, Dump::Without),
        _ => config.on_crash,
    };
    let restart = if lived < LEAST_LIFE {
        Decision::RefuseToRestart
    } else {
        Decision::Restart
    };
    match action {
        Action::Destroy => (Decision::Destroy, Dump::Without),
        Action::Preserve => (Decision::Preserve, Dump::Without),
        Action::Restart => (restart, Dump::Without),
        Action::CoredumpDestroy => (Decision::Destroy, Dump::First),
        Action::CoredumpRestart => (restart, Dump::First),
        Action::RenameRestart if restart == Decision::RefuseToRestart => (restart, Dump::Without),
        Action::RenameRestart => (Decision::RenameAndRestart, Dump::Without),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::config;
    use super::*;

    const LONG: Duration = Duration::from_secs(61);
    const SHORT: Duration = Duration::from_secs(59);

    #[test]
    fn each_end_has_its_action() {
        let mut config = config("guest");
        config.on_poweroff = Action::Destroy;
        config.on_reboot = Action::Restart;
        config.on_crash = Action::Preserve;
        assert_eq!(decide(0, &config, LONG).0, Decision::Destroy);
        assert_eq!(decide(1, &config, LONG).0, Decision::Restart);
        assert_eq!(decide(2, &config, LONG).0, Decision::Leave);
        assert_eq!(decide(3, &config, LONG).0, Decision::Preserve);
        // A watchdog's end, and ends that nobody knows, are crashes.
        assert_eq!(decide(4, &config, LONG).0, Decision::Preserve);
        assert_eq!(decide(200, &config, LONG).0, Decision::Preserve);
    }

    #[test]
    fn who_ends_at_once_is_not_started_again() {
        let mut config = config("guest");
        for action in [
            Action::Restart,
            Action::RenameRestart,
            Action::CoredumpRestart,
        ] {
            config.on_crash = action;
            assert_eq!(decide(3, &config, SHORT).0, Decision::RefuseToRestart);
            assert_ne!(decide(3, &config, LONG).0, Decision::RefuseToRestart);
        }
        config.on_crash = Action::Preserve;
        assert_eq!(decide(3, &config, SHORT).0, Decision::Preserve);
    }

    #[test]
    fn dumps_come_first() {
        let mut config = config("guest");
        config.on_crash = Action::CoredumpDestroy;
        assert_eq!(decide(3, &config, SHORT), (Decision::Destroy, Dump::First));
        config.on_crash = Action::CoredumpRestart;
        assert_eq!(decide(3, &config, LONG), (Decision::Restart, Dump::First));
    }
}
