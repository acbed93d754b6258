//! How many of a domain's vCPUs are up: the last one that goes down is known without a look at all of them, of which there
//! may be thousands.
#![forbid(unsafe_code)]

use super::run_state::{Change, RunState};

/// The number. It is behind a lock under which all of the domain's vCPUs go up and down: two that go at the same time must
/// not take each other for the one that stays.
#[derive(Debug, Default)]
pub struct NrUp(u32);

impl NrUp {
    /// Of a new domain.
    #[must_use]
    pub const fn none() -> Self {
        Self(0)
    }

    /// Does what may bring this vCPU up or take it down, and counts.
    pub fn count<T>(&mut self, vcpu: &RunState, change: impl FnOnce(&RunState) -> T) -> T {
        let was_up = vcpu.is_up();
        let result = change(vcpu);
        match (was_up, vcpu.is_up()) {
            (false, true) => self.0 = self.0.saturating_add(1),
            (true, false) => self.0 = self.0.saturating_sub(1),
            _ => {}
        }
        result
    }

    /// Takes this vCPU down if another one stays up.
    pub fn take_down(&mut self, vcpu: &RunState) -> Option<Change> {
        let others_up = self.0.saturating_sub(vcpu.is_up().into());
        (others_up != 0).then(|| self.count(vcpu, RunState::take_down).1)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::sched::setup::Setup;

    #[test]
    fn the_last_that_is_up_stays() {
        let [a, b, c] = [(); 3].map(|()| RunState::down());
        let mut up = NrUp::none();
        for vcpu in [&a, &b, &b, &c] {
            let _ = up.count(vcpu, RunState::up);
        }
        assert!(up.take_down(&b).is_some() && !b.is_up());
        // It is down already.
        assert!(up.take_down(&b).is_some());
        assert!(up.take_down(&a).is_some());
        assert!(up.take_down(&c).is_none() && c.is_up());
        // What is down is not the one that another stays for.
        assert!(up.take_down(&a).is_some());
        let _ = up.count(&a, RunState::up);
        assert!(up.take_down(&c).is_some());
        assert!(up.take_down(&a).is_none());
        // Tools take down the last, too.
        let _ = up.count(&a, RunState::take_down);
        assert!(up.take_down(&a).is_none());
    }

    #[test]
    fn what_does_not_come_up_is_not_counted() {
        let [a, b] = [(); 2].map(|()| RunState::down());
        let mut up = NrUp::none();
        let setup = Setup::new();
        assert!(up.count(&a, |run| setup.bring_up(run)).is_err());
        let _ = up.count(&b, RunState::up);
        assert!(up.take_down(&b).is_none());
    }

    #[test]
    fn it_is_what_counting_finds_whatever_happens() {
        let vcpus = [(); 4].map(|()| RunState::down());
        let mut up = NrUp::none();
        let mut state = 1_u64;
        for _ in 0..10_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005) + 1;
            let (what, which) = (state >> 60, (state >> 50) as usize % 4);
            let vcpu = &vcpus[which];
            let others = (0..4).filter(|&at| at != which && vcpus[at].is_up());
            let others_up = others.count();
            match what {
                0..6 => drop(up.count(vcpu, RunState::up)),
                6..8 => drop(up.count(vcpu, RunState::take_down)),
                8 => drop(vcpu.block()),
                9 => drop(vcpu.unblock()),
                _ => assert_eq!(up.take_down(vcpu).is_some(), others_up != 0),
            }
        }
    }
}
