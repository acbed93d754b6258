//! Why an event-channel operation is refused.
#![forbid(unsafe_code)]

use core::fmt;
use guest_abi::errno::Errno;

/// A refusal. Nothing has changed when one is returned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EventError {
    /// The other domain does not exist.
    NoSuchDomain,
    /// The domain has no such vCPU.
    NoSuchVcpu,
    /// The port or number is out of range, or not in a state that allows this.
    Invalid,
    /// The interrupt is bound already.
    InUse,
    /// Every port that the domain may have is in use.
    NoPort,
    /// No memory for the port, or none that may be charged to the domain.
    NoMemory,
    /// The domain may not use this interrupt.
    NotPermitted,
    /// The hypervisor uses this interrupt itself.
    Busy,
}

impl From<EventError> for Errno {
    fn from(error: EventError) -> Self {
        match error {
            EventError::NoSuchDomain => Self::ESRCH,
            EventError::NoSuchVcpu => Self::ENOENT,
            EventError::Invalid => Self::EINVAL,
            EventError::InUse => Self::EEXIST,
            EventError::NoPort => Self::ENOSPC,
            EventError::NoMemory => Self::ENOMEM,
            EventError::NotPermitted => Self::EPERM,
            EventError::Busy => Self::EBUSY,
        }
    }
}

impl fmt::Display for EventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSuchDomain => "no such domain",
            Self::NoSuchVcpu => "no such vCPU",
            Self::Invalid => "port or number out of range or in the wrong state",
            Self::InUse => "interrupt bound already",
            Self::NoPort => "all event-channel ports in use",
            Self::NoMemory => "no memory for an event-channel port",
            Self::NotPermitted => "interrupt not permitted",
            Self::Busy => "interrupt used by the hypervisor",
        })
    }
}

impl core::error::Error for EventError {}
