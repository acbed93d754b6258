//! How long a vCPU has been doing what.
//!
//! Each nanosecond since the vCPU was made is in exactly one of four sums or in the time since the last
//! change, so the sums and that time always add up to the vCPU's age.
#![forbid(unsafe_code)]

use super::guest_clock::AreaFault;
use guest_abi::time::{NR_RUN_STATES, RUNSTATE_UPDATE, RunState, RunstateInfo};
use zerocopy::FromZeros;

/// An area in which a guest wants to see its [`Runstate`]. Stores become visible in the order of the
/// calls.
pub trait RunstateArea {
    /// Writes `state_entry_time` alone.
    fn store_entry_time(&self, entry_time: u64) -> Result<(), AreaFault>;
    /// Writes everything, `state_entry_time` included.
    fn store_all(&self, info: &RunstateInfo) -> Result<(), AreaFault>;
}

/// A vCPU's account of its time. Times are system times in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Runstate {
    state: RunState,
    since_ns: u64,
    sums_ns: [u64; NR_RUN_STATES],
}

impl Runstate {
    /// A vCPU made now, which is off line.
    #[must_use]
    pub const fn new(now_ns: u64) -> Self {
        Self {
            state: RunState::Offline,
            since_ns: now_ns,
            sums_ns: [0; NR_RUN_STATES],
        }
    }

    /// What it does.
    #[must_use]
    pub const fn state(&self) -> RunState {
        self.state
    }

    /// Since when.
    #[must_use]
    pub const fn since_ns(&self) -> u64 {
        self.since_ns
    }

    /// It does something else from now on; says whether that is a change. A time before the last change
    /// (of a processor whose clock is a little behind) counts as that.
    pub fn change(&mut self, state: RunState, now_ns: u64) -> bool {
        if state == self.state {
            return false;
        }
        let now_ns = now_ns.max(self.since_ns);
        if let Some(sum) = self.sums_ns.get_mut(self.state.number() as usize) {
            *sum = sum.saturating_add(now_ns - self.since_ns);
        }
        self.state = state;
        self.since_ns = now_ns;
        true
    }

    /// Nanoseconds in each state, the present one up to now.
    #[must_use]
    pub fn sums_at(&self, now_ns: u64) -> [u64; NR_RUN_STATES] {
        let mut sums = self.sums_ns;
        if let Some(sum) = sums.get_mut(self.state.number() as usize) {
            *sum = sum.saturating_add(now_ns.saturating_sub(self.since_ns));
        }
        sums
    }

    /// `VCPUOP_get_runstate_info`: the sums include the present state up to now.
    #[must_use]
    pub fn info_at(&self, now_ns: u64) -> RunstateInfo {
        RunstateInfo {
            time: self.sums_at(now_ns),
            ..self.info()
        }
    }

    /// What the guest's area is given: the sums up to the last change.
    #[must_use]
    pub fn info(&self) -> RunstateInfo {
        let mut info = RunstateInfo::new_zeroed();
        info.state = self.state.number();
        info.state_entry_time = self.since_ns;
        info.time = self.sums_ns;
        info
    }

    /// Writes the guest's area. With `has_update_flag` (the guest enabled that assist), other vCPUs can
    /// read it consistently: a mark is set in the entry time before anything else changes, and taken off
    /// after everything has.
    pub fn publish(
        &self,
        area: &impl RunstateArea,
        has_update_flag: bool,
    ) -> Result<(), AreaFault> {
        let info = self.info();
        if !has_update_flag {
            return area.store_all(&info);
        }
        let marked = info.state_entry_time | RUNSTATE_UPDATE;
        area.store_entry_time(marked)?;
        area.store_all(&RunstateInfo {
            state_entry_time: marked,
            ..info
        })?;
        area.store_entry_time(info.state_entry_time)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use core::cell::RefCell;
    use proptest::prelude::*;

    struct Area(RefCell<Vec<RunstateInfo>>);

    impl Area {
        fn new() -> Self {
            Self(RefCell::new(vec![RunstateInfo::new_zeroed()]))
        }

        fn push(&self, change: impl FnOnce(&mut RunstateInfo)) {
            let mut history = self.0.borrow_mut();
            let mut now = *history.last().expect("never empty");
            change(&mut now);
            history.push(now);
        }
    }

    impl RunstateArea for Area {
        fn store_entry_time(&self, entry_time: u64) -> Result<(), AreaFault> {
            self.push(|info| info.state_entry_time = entry_time);
            Ok(())
        }

        fn store_all(&self, info: &RunstateInfo) -> Result<(), AreaFault> {
            self.push(|now| *now = *info);
            Ok(())
        }
    }

    #[test]
    fn a_reader_sees_the_old_or_the_new_or_the_mark() {
        let mut runstate = Runstate::new(100);
        let area = Area::new();
        assert_eq!(runstate.publish(&area, true), Ok(()));
        let old = runstate.info();
        assert!(runstate.change(RunState::Running, 250));
        assert_eq!(runstate.publish(&area, true), Ok(()));
        let new = runstate.info();
        assert_ne!(old, new);
        for seen in area.0.borrow().iter().skip(3) {
            let is_marked = seen.state_entry_time & RUNSTATE_UPDATE != 0;
            assert!(is_marked || *seen == old || *seen == new);
        }
        assert_eq!(*area.0.borrow().last().expect("never empty"), new);
    }

    #[test]
    fn without_the_assist_no_mark_is_ever_seen() {
        let mut runstate = Runstate::new(1);
        let area = Area::new();
        assert!(runstate.change(RunState::Blocked, 3));
        assert_eq!(runstate.publish(&area, false), Ok(()));
        assert_eq!(area.0.borrow().len(), 2);
        assert_eq!(area.0.borrow()[1], runstate.info());
    }

    #[test]
    fn the_present_state_counts_when_asked_and_not_in_the_area() {
        let mut runstate = Runstate::new(0);
        assert!(runstate.change(RunState::Running, 10));
        assert_eq!(runstate.info().time, [0, 0, 0, 10]);
        assert_eq!(runstate.info_at(25).time, [15, 0, 0, 10]);
        assert_eq!(runstate.info_at(25).state_entry_time, 10);
        assert!(!runstate.change(RunState::Running, 30));
        assert_eq!(runstate.info().state_entry_time, 10);
    }

    proptest! {
        #[test]
        fn every_nanosecond_is_counted_once(
            start in any::<u32>(),
            steps in proptest::collection::vec((0usize..4, 0u64..1_000_000), 0..50)
        ) {
            let start = u64::from(start);
            let mut runstate = Runstate::new(start);
            let mut now = start;
            let mut expected = [0; 4];
            for (state, after) in steps {
                expected[runstate.state().number() as usize] += after;
                now += after;
                runstate.change(RunState::ALL[state], now);
                prop_assert_eq!(runstate.sums_at(now), expected);
                prop_assert_eq!(expected.iter().sum::<u64>(), now - start);
            }
        }

        #[test]
        fn clocks_that_disagree_a_little_never_make_time_negative(
            times in proptest::collection::vec((0usize..4, 1_000u64..2_000), 1..40)
        ) {
            let mut runstate = Runstate::new(1_000);
            let mut latest = 1_000;
            for (state, now) in times {
                let before = runstate.sums_at(latest);
                runstate.change(RunState::ALL[state], now);
                let after = runstate.sums_at(now);
                prop_assert!(before.iter().sum::<u64>() <= after.iter().sum::<u64>().max(before.iter().sum()));
                latest = latest.max(runstate.since_ns());
                prop_assert_eq!(runstate.sums_at(latest).iter().sum::<u64>(), latest - 1_000);
            }
        }
    }
}
