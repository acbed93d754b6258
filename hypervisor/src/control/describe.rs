//! What is said of a domain.
#![forbid(unsafe_code)]

use super::life::Stage;
use guest_abi::domctl_domain::{
    DomainInfoFlags, INVALID_MAX_VCPU_ID, NO_SHUTDOWN_REASON, SHUTDOWN_REASON_SHIFT,
};

/// What a vCPU does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VcpuFacts {
    /// It is up.
    pub is_up: bool,
    /// It waits for an event.
    pub is_blocked: bool,
    /// A processor runs it.
    pub is_running: bool,
    /// For how long it has run, in ns.
    pub cpu_time_ns: u64,
}

/// The sum of a domain's vCPUs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VcpuSum {
    flags: DomainInfoFlags,
    /// Those that are up.
    pub nr_online: u32,
    /// The highest number, or a value that says that there is none.
    pub max_id: u32,
    /// How long all have run, in ns; it wraps.
    pub cpu_time_ns: u64,
}

impl Default for VcpuSum {
    fn default() -> Self {
        Self {
            flags: DomainInfoFlags::BLOCKED,
            nr_online: 0,
            max_id: INVALID_MAX_VCPU_ID,
            cpu_time_ns: 0,
        }
    }
}

impl VcpuSum {
    /// Adds a vCPU.
    pub fn add(&mut self, id: u32, vcpu: VcpuFacts) {
        self.max_id = id;
        self.cpu_time_ns = self.cpu_time_ns.wrapping_add(vcpu.cpu_time_ns);
        if !vcpu.is_up {
            return;
        }
        self.nr_online = self.nr_online.saturating_add(1);
        if !vcpu.is_blocked {
            self.flags.remove(DomainInfoFlags::BLOCKED);
        }
        if vcpu.is_running {
            self.flags.insert(DomainInfoFlags::RUNNING);
        }
    }
}

/// What of a domain's state its flags show.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DomainFacts {
    /// How far its life has come.
    pub stage: Stage,
    /// Tools have paused it.
    pub is_paused: bool,
    /// A debugger handles its breakpoints.
    pub is_debugged: bool,
    /// It runs the store.
    pub is_store: bool,
    /// Why it has ended.
    pub shutdown_reason: Option<u32>,
}

/// A domain's flags.
#[must_use]
pub fn flags(domain: DomainFacts, vcpus: &VcpuSum) -> DomainInfoFlags {
    let mut flags = if vcpus.nr_online == 0 {
        DomainInfoFlags::empty()
    } else {
        vcpus.flags
    };
    flags.set(DomainInfoFlags::DYING, domain.stage == Stage::Dead);
    flags.set(DomainInfoFlags::SHUTDOWN, domain.shutdown_reason.is_some());
    flags.set(DomainInfoFlags::PAUSED, domain.is_paused);
    flags.set(DomainInfoFlags::DEBUGGED, domain.is_debugged);
    flags.set(DomainInfoFlags::XS_DOMAIN, domain.is_store);
    let reason = domain.shutdown_reason.unwrap_or(NO_SHUTDOWN_REASON) & NO_SHUTDOWN_REASON;
    flags | DomainInfoFlags::from_bits_retain(reason << SHUTDOWN_REASON_SHIFT)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const ALIVE: DomainFacts = DomainFacts {
        stage: Stage::Alive,
        is_paused: false,
        is_debugged: false,
        is_store: false,
        shutdown_reason: None,
    };

    fn vcpu(is_blocked: bool, is_running: bool) -> VcpuFacts {
        VcpuFacts {
            is_up: true,
            is_blocked,
            is_running,
            cpu_time_ns: 10,
        }
    }

    #[test]
    fn blocked_is_a_domain_of_which_no_vcpu_could_run() {
        let mut sum = VcpuSum::default();
        sum.add(0, vcpu(true, false));
        sum.add(1, vcpu(true, false));
        assert!(flags(ALIVE, &sum).contains(DomainInfoFlags::BLOCKED));
        sum.add(2, vcpu(false, true));
        let flags = flags(ALIVE, &sum);
        assert!(!flags.contains(DomainInfoFlags::BLOCKED));
        assert!(flags.contains(DomainInfoFlags::RUNNING));
        assert_eq!((sum.nr_online, sum.max_id, sum.cpu_time_ns), (3, 2, 30));
    }

    #[test]
    fn a_domain_without_vcpus_is_neither_blocked_nor_running() {
        let sum = VcpuSum::default();
        assert_eq!(sum.max_id, INVALID_MAX_VCPU_ID);
        assert_eq!(flags(ALIVE, &sum).bits(), NO_SHUTDOWN_REASON << 16);
    }

    #[test]
    fn the_reason_is_in_the_upper_half() {
        let facts = DomainFacts {
            shutdown_reason: Some(3),
            is_paused: true,
            stage: Stage::Dead,
            ..ALIVE
        };
        let flags = flags(facts, &VcpuSum::default());
        assert_eq!(flags.bits() >> 16, 3);
        assert!(flags.contains(
            DomainInfoFlags::DYING | DomainInfoFlags::SHUTDOWN | DomainInfoFlags::PAUSED
        ));
    }
}
