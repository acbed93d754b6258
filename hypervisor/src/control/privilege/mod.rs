//! Who may do which operation: the one table.
//!
//! Each operation of each hypercall that has several has a row, by exhaustive `match`: one that is added to the
//! interface does not compile before somebody has said here who may do it. What a domain may do cannot be found out in
//! another way: [`Rights`] answer to a [`Check`] of a row, and to nothing else.
//!
//! Not here is what is a matter of each frame, port or interrupt (grants, rights to device memory, event channels that
//! were offered), or of how much: for that it takes more than who asks. Hypercalls without operations (traps,
//! callbacks, descriptors, registers, timers, `iret`, `multicall`) are about the calling vCPU, and for everybody.
#![forbid(unsafe_code)]

mod control;
mod own;

pub use control::{UNKNOWN, domctl, platform, sysctl};
pub use own::{
    CACHES, CONSOLE, MACHINE_CHECKS, TABLES, event_channel, grant_table, memory, mmuext_of_others,
    physdev, sched, vcpu, version, virq,
};

use guest_abi::errno::Errno;
use guest_abi::ids::DomId;

/// What a caller has to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Check {
    /// Anybody: the operation is about the caller, or what others have let it do.
    Anyone,
    /// The domain that is meant.
    OnlyOneself,
    /// The domain that is meant, or one that controls others.
    Oneself,
    /// A domain that controls others, for another one.
    ControllerOfOthers,
    /// A domain that controls others.
    Controller,
    /// The domain that owns the hardware.
    Hardware,
}

/// Who an operation is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whom {
    /// The caller, or nobody in particular.
    Caller,
    /// Another domain.
    Other,
}

impl Check {
    /// Lets a caller through, or not.
    ///
    /// # Errors
    /// `EPERM` without the right.
    #[inline]
    pub const fn admit(self, rights: Rights, whom: Whom) -> Result<(), Errno> {
        let may = match (self, whom) {
            (Self::Anyone, _) | (Self::Oneself | Self::OnlyOneself, Whom::Caller) => true,
            (Self::ControllerOfOthers, Whom::Caller) | (Self::OnlyOneself, Whom::Other) => false,
            (Self::Oneself | Self::ControllerOfOthers, Whom::Other) | (Self::Controller, _) => {
                rights.is_controller
            }
            (Self::Hardware, _) => rights.owns_hardware,
        };
        if may { Ok(()) } else { Err(Errno::EPERM) }
    }
}

/// Whether there is such an operation here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Offer {
    /// There is.
    Yes,
    /// There is not, and this is the answer to those who might ask.
    No(Errno),
}

/// A row of a hypercall for control, where who may not ask does not learn what there is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rule {
    /// Who may ask.
    pub check: Check,
    /// What they get.
    pub offer: Offer,
}

impl Rule {
    /// Lets a caller through, or says why not.
    ///
    /// # Errors
    /// `EPERM` without the right; else what an operation that is not offered answers.
    pub const fn admit(self, rights: Rights) -> Result<(), Errno> {
        match (self.check.admit(rights, Whom::Caller), self.offer) {
            (Err(errno), _) | (Ok(()), Offer::No(errno)) => Err(errno),
            (Ok(()), Offer::Yes) => Ok(()),
        }
    }
}

/// A caller's rights.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rights {
    /// It controls other domains.
    is_controller: bool,
    /// It owns the hardware.
    owns_hardware: bool,
}

impl Rights {
    /// Of a domain: the first has all of them, the others have none.
    #[must_use]
    pub const fn of(domain: DomId) -> Self {
        Self {
            is_controller: domain.0 == 0,
            owns_hardware: domain.0 == 0,
        }
    }

    /// Any, for tests of what they are asked for.
    #[cfg(any(test, fuzzing))]
    #[must_use]
    pub const fn made_up(is_controller: bool, owns_hardware: bool) -> Self {
        Self {
            is_controller,
            owns_hardware,
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use guest_abi::domctl::DomctlOp;
    use guest_abi::event_channel::{EventChannelOp, Virq};
    use guest_abi::grant_op::GrantTableOp;
    use guest_abi::memory_op::MemoryOp;
    use guest_abi::mmu::MmuextOp;
    use guest_abi::physdev::PhysdevOp;
    use guest_abi::platform::PlatformOp;
    use guest_abi::sched_op::SchedOp;
    use guest_abi::sysctl::SysctlOp;
    use guest_abi::vcpu_op::VcpuOp;
    use guest_abi::version::VersionOp;

    const NOBODY: Rights = Rights::of(DomId(1));
    const FIRST: Rights = Rights::of(DomId(0));

    /// The checks of all operations there are of one hypercall.
    fn all<T: TryFrom<u32>>(check: impl Fn(T) -> Check) -> Vec<Check> {
        let operations = (0..2000).filter_map(|number| T::try_from(number).ok());
        operations.map(check).collect()
    }

    fn all_for_everybody() -> Vec<Check> {
        [
            vec![TABLES, CACHES, CONSOLE, MACHINE_CHECKS],
            all::<MmuextOp>(mmuext_of_others),
            all::<MemoryOp>(memory),
            all::<EventChannelOp>(event_channel),
            all::<Virq>(virq),
            all::<GrantTableOp>(grant_table),
            all::<SchedOp>(sched),
            all::<VcpuOp>(vcpu),
            all::<VersionOp>(version),
            all::<PhysdevOp>(physdev),
        ]
        .concat()
    }

    #[test]
    fn an_ordinary_domain_controls_nothing() {
        for number in 0..2000 {
            if let Ok(operation) = DomctlOp::try_from(number) {
                assert_eq!(domctl(operation).admit(NOBODY), Err(Errno::EPERM));
            }
            if let Ok(operation) = SysctlOp::try_from(number) {
                assert_eq!(sysctl(operation).admit(NOBODY), Err(Errno::EPERM));
            }
            if let Ok(operation) = PlatformOp::try_from(number) {
                assert_eq!(platform(operation).admit(NOBODY), Err(Errno::EPERM));
            }
        }
        assert_eq!(UNKNOWN.admit(NOBODY), Err(Errno::EPERM));
    }

    /// What is for everybody is about the caller; where another domain is meant, that one must have agreed, or the caller
    /// controls it.
    #[test]
    fn an_ordinary_domain_does_to_others_what_they_agree_to_only() {
        let checks = all_for_everybody();
        assert!(checks.len() > 100, "{}", checks.len());
        for check in checks {
            let to_others = check.admit(NOBODY, Whom::Other);
            assert_eq!(to_others.is_ok(), check == Check::Anyone, "{check:?}");
        }
        // Those that name a domain.
        for operation in [
            MemoryOp::IncreaseReservation,
            MemoryOp::DecreaseReservation,
            MemoryOp::PopulatePhysmap,
            MemoryOp::Exchange,
            MemoryOp::CurrentReservation,
            MemoryOp::MaximumReservation,
            MemoryOp::MaximumGpfn,
            MemoryOp::SetMemoryMap,
            MemoryOp::ClaimPages,
            MemoryOp::AcquireResource,
        ] {
            assert_ne!(memory(operation), Check::Anyone, "{operation:?}");
        }
        for operation in [
            EventChannelOp::AllocUnbound,
            EventChannelOp::Status,
            EventChannelOp::Reset,
        ] {
            assert_ne!(event_channel(operation), Check::Anyone, "{operation:?}");
        }
        for operation in [
            GrantTableOp::SetupTable,
            GrantTableOp::QuerySize,
            GrantTableOp::GetStatusFrames,
            GrantTableOp::GetVersion,
        ] {
            assert_ne!(grant_table(operation), Check::Anyone, "{operation:?}");
        }
        assert_ne!(sched(SchedOp::RemoteShutdown), Check::Anyone);
    }

    #[test]
    fn the_first_domain_may_do_what_there_is() {
        assert_eq!(domctl(DomctlOp::CreateDomain).admit(FIRST), Ok(()));
        assert_eq!(sysctl(SysctlOp::PhysInfo).admit(FIRST), Ok(()));
        assert_eq!(
            domctl(DomctlOp::CacheFlush).admit(FIRST),
            Err(Errno::ENOSYS)
        );
        assert_eq!(UNKNOWN.admit(FIRST), Err(Errno::ENOSYS));
        for check in all_for_everybody() {
            let whom = match check {
                Check::ControllerOfOthers => Whom::Other,
                _ => Whom::Caller,
            };
            assert_eq!(check.admit(FIRST, whom), Ok(()), "{check:?}");
        }
    }

    #[test]
    fn each_check_lets_through_whom_it_says() {
        let [tools, driver] = [(true, false), (false, true)].map(|(a, b)| Rights::made_up(a, b));
        // To itself and to others: an ordinary domain, one that controls, one that has the hardware.
        let of = |check: Check| {
            [NOBODY, tools, driver].map(|rights| {
                [Whom::Caller, Whom::Other].map(|whom| check.admit(rights, whom).is_ok())
            })
        };
        assert_eq!(of(Check::Anyone), [[true; 2]; 3]);
        assert_eq!(of(Check::OnlyOneself), [[true, false]; 3]);
        assert_eq!(
            of(Check::Oneself),
            [[true, false], [true, true], [true, false]]
        );
        assert_eq!(
            of(Check::ControllerOfOthers),
            [[false; 2], [false, true], [false; 2]]
        );
        assert_eq!(of(Check::Controller), [[false; 2], [true; 2], [false; 2]]);
        assert_eq!(of(Check::Hardware), [[false; 2], [false; 2], [true; 2]]);
    }

    #[test]
    fn hardware_is_another_right_than_control() {
        let tools = Rights::made_up(true, false);
        assert_eq!(
            platform(PlatformOp::SetTime64).admit(tools),
            Err(Errno::EPERM)
        );
        assert_eq!(domctl(DomctlOp::PauseDomain).admit(tools), Ok(()));
    }
}
