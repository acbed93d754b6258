//! Waiting for events: `SCHEDOP_block` and `SCHEDOP_poll`, and what ends them.
//!
//! Both sides do two things in opposite order, with a full barrier between:
//!
//! | the vCPU that waits | whoever sends |
//! |---|---|
//! | says that it waits | sets the pending bits |
//! | looks at the pending bits | looks who waits |
//!
//! So at least one of them sees the other, and no wake-up is lost. A wake-up too many is harmless: both
//! calls return to guests that look again.
//!
//! A vCPU that polls says so in two places, and the order matters: it blocks first and joins the pollers
//! second, whereas [`end`] removes it from the pollers first and unblocks it second. An `end` that comes
//! late, when the vCPU already waits anew, may therefore end that new wait (too early, harmless), but can
//! never leave a vCPU blocked and not among the pollers.
#![forbid(unsafe_code)]

extern crate alloc;

use super::domain::{EventDomain, SharedInfo};
use super::error::EventError;
use crate::sched::run_state::{Change, RunState};
use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::sync::model_fence;
use alloc::boxed::Box;
use alloc::vec::Vec;
use guest_abi::ids::{Port, VcpuId};

/// Ports that one poll may name.
pub const MAX_POLLED: usize = 128;

/// In [`Pollers::ports`]: the vCPU polls several ports, or none (it waits for its time-out). No port has this number;
/// 0 may be polled, and is never raised.
const ANY_PORT: u32 = u32::MAX;

/// What to do with a vCPU that asked to wait.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wait {
    /// There is nothing to wait for: return to the guest.
    Ready,
    /// It is blocked: give the processor away. With a time-out, arm its timer first; the timer calls
    /// [`end`].
    Sleep,
}

/// Which of a domain's vCPUs poll, and for what.
#[derive(Debug)]
pub struct Pollers {
    /// One bit for each vCPU.
    who: Box<[AtomicU64]>,
    /// For each vCPU that polls, its port or [`ANY_PORT`].
    ports: Box<[AtomicU32]>,
}

impl Pollers {
    /// For vCPUs below `max_vcpus`.
    pub(super) fn new(max_vcpus: u32) -> Result<Self, EventError> {
        let words = max_vcpus.div_ceil(u64::BITS) as usize;
        let mut who = Vec::new();
        who.try_reserve_exact(words)
            .map_err(|_| EventError::NoMemory)?;
        who.extend((0..words).map(|_| AtomicU64::new(0)));
        let mut ports = Vec::new();
        ports
            .try_reserve_exact(max_vcpus as usize)
            .map_err(|_| EventError::NoMemory)?;
        ports.extend((0..max_vcpus).map(|_| AtomicU32::new(ANY_PORT)));
        Ok(Self {
            who: who.into_boxed_slice(),
            ports: ports.into_boxed_slice(),
        })
    }

    pub(super) const fn bytes(max_vcpus: u32) -> usize {
        max_vcpus.div_ceil(u64::BITS) as usize * size_of::<AtomicU64>()
            + max_vcpus as usize * size_of::<AtomicU32>()
    }

    fn join(&self, vcpu: VcpuId, ports: &[Port]) {
        let (Some(port), Some(who)) = (self.ports.get(vcpu.0 as usize), self.word(vcpu)) else {
            return;
        };
        let wanted = match ports {
            [only] => only.0,
            _ => ANY_PORT,
        };
        port.store(wanted, Ordering::Relaxed);
        who.fetch_or(bit(vcpu), Ordering::SeqCst);
    }

    /// Whether the vCPU polled until now.
    fn leave(&self, vcpu: VcpuId) -> bool {
        let Some(who) = self.word(vcpu) else {
            return false;
        };
        // Mostly nobody polls, and reading is cheaper than a locked instruction.
        who.load(Ordering::SeqCst) & bit(vcpu) != 0
            && who.fetch_and(!bit(vcpu), Ordering::SeqCst) & bit(vcpu) != 0
    }

    /// Calls `wake` with each vCPU that polls for `port`, after removing it.
    #[inline]
    pub(super) fn notify(&self, port: Port, wake: impl Fn(VcpuId)) {
        // The pending bit was set before, by a locked instruction; this pairs with the waiter's.
        model_fence();
        for (index, word) in self.who.iter().enumerate() {
            // Mostly nobody polls.
            let pollers = word.load(Ordering::SeqCst);
            if pollers != 0 {
                self.notify_some(index as u32, pollers, port, &wake);
            }
        }
    }

    /// Calls `wake` with those of `pollers`, a word of [`Self::who`], that poll for `port`.
    #[cold]
    fn notify_some(&self, index: u32, mut pollers: u64, port: Port, wake: &impl Fn(VcpuId)) {
        while pollers != 0 {
            let vcpu = VcpuId(index * u64::BITS + pollers.trailing_zeros());
            pollers &= pollers - 1;
            let wanted = self
                .ports
                .get(vcpu.0 as usize)
                .map(|port| port.load(Ordering::Relaxed));
            if wanted.is_some_and(|wanted| wanted == ANY_PORT || wanted == port.0)
                && self.leave(vcpu)
            {
                wake(vcpu);
            }
        }
    }

    fn word(&self, vcpu: VcpuId) -> Option<&AtomicU64> {
        self.who.get((vcpu.0 / u64::BITS) as usize)
    }
}

const fn bit(vcpu: VcpuId) -> u64 {
    1 << (vcpu.0 % u64::BITS)
}

/// `SCHEDOP_block`: unmasks the vCPU's upcall and waits for an event, in one step as seen by the guest.
/// Called on the processor that runs the vCPU.
pub fn block<D: EventDomain>(domain: &D, vcpu: VcpuId, run: &RunState) -> Wait {
    let shared = domain.shared();
    shared.clear_upcall_mask(vcpu);
    // It runs, so it is not in a queue and the scheduler has nothing to hear until it is switched out.
    let _: Change = run.block();
    if shared.is_upcall_pending(vcpu) {
        let _: Change = run.unblock();
        return Wait::Ready;
    }
    Wait::Sleep
}

/// `SCHEDOP_poll`: waits until one of `ports` is pending, masked or not, or until an event may be
/// delivered. Called on the processor that runs the vCPU, with at most [`MAX_POLLED`] ports.
pub fn poll<D: EventDomain>(
    domain: &D,
    vcpu: VcpuId,
    run: &RunState,
    ports: &[Port],
) -> Result<Wait, EventError> {
    if ports.len() > MAX_POLLED
        || ports
            .iter()
            .any(|port| domain.ports().snapshot(*port).is_none())
    {
        return Err(EventError::Invalid);
    }
    let shared = domain.shared();
    let _: Change = run.block();
    domain.ports().pollers().join(vcpu, ports);
    model_fence();
    let is_deliverable = shared.is_upcall_pending(vcpu) && !shared.is_upcall_masked(vcpu);
    if is_deliverable || ports.iter().any(|port| shared.is_pending(*port)) {
        let _: Change = end(domain, vcpu, run);
        return Ok(Wait::Ready);
    }
    Ok(Wait::Sleep)
}

/// Ends a vCPU's wait, if it waits: an event came, its poll's time is over, or it is to look at
/// something. The only way in which a block or a poll ends. From any processor, interrupt handlers too.
pub fn end<D: EventDomain>(domain: &D, vcpu: VcpuId, run: &RunState) -> Change {
    domain.ports().pollers().leave(vcpu);
    run.unblock()
}
