//! What the hypervisor refuses, as people are told.

use nix::errno::Errno;
use std::fmt;

/// The hypervisor, or the kernel on the way to it, has refused an operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ControlError {
    /// What was tried, as the subject of a sentence: "pausing the domain".
    pub doing: &'static str,
    /// Why it was refused.
    pub errno: Errno,
}

impl ControlError {
    /// `doing` has failed.
    #[must_use]
    pub const fn new(doing: &'static str, errno: Errno) -> Self {
        Self { doing, errno }
    }

    /// Whether the hypervisor does not answer tools of this version.
    #[must_use]
    pub fn is_other_version(&self) -> bool {
        self.errno == Errno::EACCES
    }

    /// Whether there is no such domain.
    #[must_use]
    pub fn is_no_domain(&self) -> bool {
        self.errno == Errno::ESRCH
    }
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.errno {
            Errno::EACCES => write!(
                f,
                "{} is refused: these tools and the hypervisor are of different interface versions; \
                 install tools that belong to the running hypervisor",
                self.doing
            ),
            Errno::EPERM => write!(
                f,
                "{} is refused: only the first domain may do that",
                self.doing
            ),
            Errno::ENOSYS | Errno::EOPNOTSUPP => write!(
                f,
                "{} is not possible: the hypervisor does not offer it",
                self.doing
            ),
            Errno::ENOMEM => write!(
                f,
                "{} has failed: the machine has not enough free memory",
                self.doing
            ),
            errno => write!(f, "{} has failed: {}", self.doing, errno.desc()),
        }
    }
}

impl std::error::Error for ControlError {}
