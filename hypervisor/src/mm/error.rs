//! Why a memory operation did not happen.

#![forbid(unsafe_code)]

use guest_abi::errno::Errno;

/// Refusals. All are the guest's fault or bad luck, except [`MmError::NotReferenced`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MmError {
    /// A table entry has a bit that its level does not allow: a reserved one, a page size, a cache
    /// attribute without the right to it.
    BadFlags,
    /// An entry or argument names a frame that the machine does not have, or that can't be what it is
    /// meant to be.
    BadFrame,
    /// The frame belongs to somebody else, or to nobody.
    WrongOwner,
    /// The frame is in use as something else.
    TypeConflict,
    /// The frame can't be the table that an entry or argument says it is: it is in use as something
    /// else, or not the domain's own.
    NotATable,
    /// The frame is half way through a change of type that its owner was interrupted in.
    Residue,
    /// The frame has as many references as can be counted.
    TooManyReferences,
    /// Device memory without the right to it.
    NoIoRights,
    /// A cache attribute other than write-back for memory that the hypervisor shares.
    SharedCacheAttributes,
    /// One of the root slots that belong to the hypervisor.
    HypervisorSlot,
    /// To be pinned, but it is.
    AlreadyPinned,
    /// To be unpinned, but it is not.
    NotPinned,
    /// To be taken away, but referenced by somebody, or not the owner's to give.
    InUse,
    /// An operation on another domain without the privilege.
    NotPrivileged,
    /// A request of an unknown kind.
    UnknownRequest,
    /// A segment descriptor that could raise privilege.
    BadDescriptor,
    /// No page-table entry where one is needed.
    NotMapped,
    /// A reference is dropped that nobody holds: a bug of the hypervisor.
    NotReferenced,
}

impl MmError {
    /// The same refusal where a table was wanted, which is another error to the guest.
    #[must_use]
    pub(super) const fn for_table(self) -> Self {
        match self {
            Self::WrongOwner | Self::TypeConflict => Self::NotATable,
            other => other,
        }
    }

    /// What the guest gets to see.
    #[must_use]
    pub const fn errno(self) -> Errno {
        match self {
            Self::BadFlags
            | Self::BadFrame
            | Self::NotATable
            | Self::HypervisorSlot
            | Self::AlreadyPinned
            | Self::NotPinned
            | Self::BadDescriptor
            | Self::NotMapped
            | Self::NotReferenced => Errno::EINVAL,
            Self::WrongOwner
            | Self::TypeConflict
            | Self::Residue
            | Self::TooManyReferences
            | Self::InUse => Errno::EBUSY,
            Self::NoIoRights | Self::NotPrivileged => Errno::EPERM,
            Self::SharedCacheAttributes => Errno::EACCES,
            Self::UnknownRequest => Errno::ENOSYS,
        }
    }
}

/// Why work ended without being done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stop {
    /// The processor is wanted for something else: make the same call again, it resumes where it
    /// stopped.
    Preempted,
    /// It can't be done.
    Failed(MmError),
}

impl From<MmError> for Stop {
    fn from(error: MmError) -> Self {
        Self::Failed(error)
    }
}
