//! How subcommands fail: what is printed where, and the exit status.

use crate::xend::protocol::Fault;
use std::io;

/// What goes with an error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Usage {
    /// The help of the subcommand follows, on standard output.
    Shown,
    /// Nothing follows.
    NotShown,
}

/// Why a subcommand fails.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Failure {
    /// An error, and whether the usage follows.
    Error(String, Usage),
    /// A domain that does not exist.
    NoDomain(String),
    /// Nothing is printed but what was printed already.
    Quiet,
    /// The usage alone, on standard output.
    UsageOnly(String),
}

impl Failure {
    /// An error with the subcommand's usage.
    #[must_use]
    pub fn with_usage(text: impl Into<String>) -> Self {
        Self::Error(text.into(), Usage::Shown)
    }

    /// An error alone.
    #[must_use]
    pub fn error(text: impl Into<String>) -> Self {
        Self::Error(text.into(), Usage::NotShown)
    }

    /// The exit status.
    #[must_use]
    pub const fn status(&self) -> u8 {
        match self {
            Self::NoDomain(_) => 3,
            _ => 1,
        }
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::NoDomain(name) => Self::NoDomain(name),
            Fault::Text(text) => Self::with_usage(text),
        }
    }
}

/// `xend` is not reached.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::PermissionDenied {
            return Self::error("Most commands need root access. Please try again as root.");
        }
        // It could not run if it was started.
        if error.kind() == io::ErrorKind::Unsupported {
            return Self::error(error.to_string());
        }
        let reason = match error.raw_os_error() {
            Some(number) => nix::errno::Errno::from_raw(number).desc().to_owned(),
            None => error.to_string(),
        };
        Self::error(format!(
            "Unable to connect to xend: {reason}. Is xend running?"
        ))
    }
}
