//! What a run has shown.

use std::fmt;

/// The value that a test image writes to the exit device to say that all went well.
pub const PASS_CODE: u8 = 0x10;
/// The value that a test image writes to the exit device to say that something did not.
pub const FAIL_CODE: u8 = 0x11;

/// QEMU's exit status when the guest writes `code` to its exit device.
pub const fn exit_status(code: u8) -> i32 {
    (code as i32) << 1 | 1
}

/// How a QEMU process has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// It exited with this status.
    Exited(i32),
    /// This signal ended it.
    Killed(i32),
    /// It did not end in time and was stopped.
    TimedOut,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(0) => write!(
                f,
                "the machine switched off or reset (QEMU's exit status 0)"
            ),
            Self::Exited(1) => write!(f, "QEMU refused to run (exit status 1)"),
            Self::Exited(status) => write!(f, "QEMU ended with exit status {status}"),
            Self::Killed(signal) => write!(f, "signal {signal} ended QEMU"),
            Self::TimedOut => write!(f, "no end in time"),
        }
    }
}

/// What a case has come to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// What was expected has happened. The text, if any, is worth reporting.
    Pass(String),
    /// Something else has happened.
    Fail(String),
    /// It took longer than it may. On a loaded machine that says little, so it is tried once more, alone.
    TooSlow(String),
    /// Nothing was said either way: the machine died, hung, or never ran. A failure of its own kind,
    /// because the fault may lie outside of what the case asks about.
    NoVerdict(String),
    /// A signal ended the emulator, or it slept until it was asked what it does. QEMU 7.2 sometimes takes a guest's
    /// breakpoint for one of its own debugger, and then looks it up among the debugger's processes, of which there are
    /// none. That judges nobody, so the case is tried once more, alone, and it is said.
    EmulatorFailed(String),
    /// The case could not be tried here, for this reason.
    Skipped(String),
}

impl Verdict {
    /// The verdict of an image that reports by the exit device.
    pub fn of_ending(ending: Ending) -> Self {
        const PASSED: i32 = exit_status(PASS_CODE);
        const FAILED: i32 = exit_status(FAIL_CODE);
        match ending {
            Ending::Exited(PASSED) => Self::Pass(String::new()),
            Ending::Exited(FAILED) => Self::Fail("the image reports failure".into()),
            Ending::Killed(_) => Self::EmulatorFailed(ending.to_string()),
            other => Self::NoVerdict(other.to_string()),
        }
    }

    /// Whether the suite fails by it.
    pub fn is_failure(&self) -> bool {
        !matches!(self, Self::Pass(_) | Self::Skipped(_))
    }
}

#[cfg(test)]
mod tests {
    use super::{Ending, Verdict, exit_status};

    #[test]
    fn only_the_two_agreed_codes_are_verdicts() {
        assert_eq!((exit_status(0x10), exit_status(0x11)), (33, 35));
        assert_eq!(
            Verdict::of_ending(Ending::Exited(33)),
            Verdict::Pass(String::new())
        );
        assert!(matches!(
            Verdict::of_ending(Ending::Exited(35)),
            Verdict::Fail(_)
        ));
        for status in (0..=255).filter(|status| ![33, 35].contains(status)) {
            assert!(
                matches!(
                    Verdict::of_ending(Ending::Exited(status)),
                    Verdict::NoVerdict(_)
                ),
                "{status}"
            );
        }
        assert!(matches!(
            Verdict::of_ending(Ending::TimedOut),
            Verdict::NoVerdict(_)
        ));
        assert!(matches!(
            Verdict::of_ending(Ending::Killed(11)),
            Verdict::EmulatorFailed(_)
        ));
    }

    #[test]
    fn no_verdict_is_a_failure_and_a_skipped_case_is_not() {
        assert!(Verdict::Fail(String::new()).is_failure());
        assert!(Verdict::NoVerdict(String::new()).is_failure());
        assert!(Verdict::TooSlow(String::new()).is_failure());
        assert!(Verdict::EmulatorFailed(String::new()).is_failure());
        assert!(!Verdict::Pass(String::new()).is_failure());
        assert!(!Verdict::Skipped(String::new()).is_failure());
    }
}
