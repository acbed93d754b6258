//! Whom a processor takes from others.
#![forbid(unsafe_code)]

use super::Credit;
use super::queue::{Among, Cpu, is_before};
use super::unit::Unit;
use crate::sched::SchedVcpu;
use crate::sched::cpu_set::CpuId;
use crate::sync::atomic::Ordering;

/// Why a processor that has found nothing to run looks again though nobody asks it to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct LooksAgain {
    /// Somebody's caches are warm elsewhere.
    pub(super) when_cold: bool,
    /// Not all were looked at.
    pub(super) at_once: bool,
}

impl<V: SchedVcpu<Unit>> Credit<V> {
    /// Takes somebody who is owed more than one that has been charged `own`, by more than
    /// `patience_ns` of its running, from another processor.
    pub(super) fn relieve(&self, cpu: CpuId, now_ns: u64, own: u64, patience_ns: u64) -> Option<V> {
        let is_owed_more = |unit: &Unit, key: u64| {
            let more = own.wrapping_sub(key) as i64;
            let patience = i64::try_from(unit.share.charge(patience_ns)).unwrap_or(i64::MAX);
            more > patience && unit.likes(cpu)
        };
        let has_such = |peer: &Cpu<V>| {
            peer.nr_movable.load(Ordering::Relaxed) != 0
                && is_before(peer.first.load(Ordering::Relaxed), own)
        };
        self.others(cpu)
            .filter(|(_, peer)| has_such(peer))
            .find_map(|(victim, _)| {
                self.take_from(victim, Among::All, cpu, now_ns, is_owed_more)
                    .0
            })
    }

    /// Takes somebody that was woken, and waits for a processor that runs such a one already.
    pub(super) fn help_urgent(&self, cpu: CpuId, now_ns: u64) -> Option<V> {
        self.others(cpu)
            .filter(|(_, peer)| peer.nr_urgent.load(Ordering::Relaxed) != 0)
            .find_map(|(victim, _)| {
                self.take_from(victim, Among::Urgent, cpu, now_ns, |_, _| true)
                    .0
            })
    }

    /// Takes a vCPU that waits for `victim`, for `cpu` to run. Says whether not all were looked at.
    fn take_from(
        &self,
        victim: CpuId,
        among: Among,
        cpu: CpuId,
        now_ns: u64,
        wanted: impl FnMut(&Unit, u64) -> bool,
    ) -> (Option<V>, bool) {
        let Some(mut locked) = self.lock(victim) else {
            return (None, false);
        };
        let before_ns = locked.queue.first_parked_ns();
        let claimed = locked.queue.claim_among(among, cpu, now_ns, wanted);
        if locked.queue.first_parked_ns() != before_ns {
            // Somebody was parked there: if that processor sleeps, it does not know when to wake for it.
            self.has_parked.set(victim);
        }
        let is_unfinished = core::mem::take(&mut locked.queue.is_unfinished);
        if let Some(vcpu) = &claimed {
            vcpu.unit().set_home(cpu);
        }
        (claimed, is_unfinished)
    }

    /// Takes any vCPU that waits for another processor, first one that likes to run here.
    pub(super) fn help(
        &self,
        cpu: CpuId,
        now_ns: u64,
        again: &mut LooksAgain,
    ) -> Option<(V, CpuId)> {
        let delay_ns = self.migration_delay_ns.load(Ordering::Relaxed);
        for takes_all in [false, true] {
            for (victim, state) in self.others(cpu) {
                if !state.needs_help() {
                    continue;
                }
                let (taken, is_unfinished) =
                    self.take_from(victim, Among::All, cpu, now_ns, |unit, _| {
                        let ran_ns = unit.charged_ns.load(Ordering::Relaxed);
                        let is_warm = delay_ns != 0 && now_ns < ran_ns.saturating_add(delay_ns);
                        again.when_cold |= is_warm;
                        !is_warm && (takes_all || unit.likes(cpu))
                    });
                again.at_once |= is_unfinished;
                if let Some(vcpu) = taken {
                    return Some((vcpu, victim));
                }
            }
        }
        None
    }
}
