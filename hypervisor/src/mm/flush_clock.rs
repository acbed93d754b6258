//! Who has flushed since when: the flush clock, and one processor asking others to flush.
//!
//! Three things here look as if they could be a little later or a little earlier, and could not:
//!
//! * A flush *begins* by advancing the clock, and its processor is credited with that reading only when it is
//!   over. A reading taken after the flush would also cover stamps read while it was going on, for which it
//!   came too soon.
//! * Who asks for a flush waits until the processor is credited with one that began after the request, or has
//!   put its guest away. That the request was taken is not enough: it may have been somebody else's, answered
//!   by a flush that had begun before ours was made.
//! * A processor says that a guest is about to run *before* the flush with which it begins, and that none runs
//!   any more *after* the one with which it ends. Who sees no guest there may rely on that flush.
//!
//! # The clock wraps
//!
//! Stamps have 32 bits and are compared within half of that range, so no processor that runs a guest may
//! be credited with a flush of 2^31 readings ago. A guest that only computes never flushes while
//! another advances the clock as fast as it can. Once every 2^28 readings [`Begun::is_lap`] says that all
//! that run one are to be asked. One that runs none is not asked, for however long: when it takes up a guest again
//! it is credited with a present reading first ([`Processor::enter_guest`]), as nothing of a guest's has come to it
//! since it flushed.
//!
//! Stamps that frames remember may be as old as they like: one that seems to lie in the future costs a flush that was
//! not needed. Two of those can't be compared with each other: which is the later is told by their ages
//! ([`FlushStamp::later`]).

#![forbid(unsafe_code)]

use super::tlb::FlushStamp;
use crate::sync::atomic::{AtomicBool, AtomicU32, Ordering, fence};
use crate::sync::{const_unless_modelled, model_fence};
use guest_abi::ids::DomId;

/// Readings between two moments at which every processor is asked to flush.
const LAP: u32 = 1 << 28;

/// The machine's flush clock.
#[derive(Debug)]
pub struct FlushClock(AtomicU32);

/// A flush that has begun and is not over.
#[must_use = "a processor is credited with a flush when it ends"]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Begun(FlushStamp);

impl Begun {
    /// Whether every processor that runs a guest is to be asked for a flush now, by whoever began this one.
    /// Nobody needs to wait for them.
    #[must_use]
    pub const fn is_lap(self) -> bool {
        self.0.0.is_multiple_of(LAP)
    }
}

/// What others may know about a processor's translation buffers.
#[derive(Debug)]
pub struct Processor {
    /// Clock reading with which its latest complete flush began. Written by the processor itself.
    flushed: AtomicU32,
    /// The domain of which a root is loaded, or about to be, as its number plus 1; 0 for none. Written by the
    /// processor itself.
    guest: AtomicU32,
    /// The domain of which a root was loaded before that, as long as its translations may be there; as `guest`.
    leaving: AtomicU32,
    /// Somebody wants a flush. Set by anybody, taken by the processor.
    asked: AtomicBool,
}

impl FlushClock {
    const_unless_modelled! {
        /// A clock that nobody has read yet, and that begins with `first`.
        pub fn new(first: u32) -> Self {
            Self(AtomicU32::new(first))
        }
    }

    /// The clock now, read after everything before.
    #[inline]
    pub fn stamp(&self) -> FlushStamp {
        fence(Ordering::SeqCst);
        FlushStamp(self.0.load(Ordering::SeqCst))
    }

    /// Begins a flush of the calling processor's buffers.
    #[inline]
    pub fn begin(&self) -> Begun {
        let at = self.0.fetch_add(1, Ordering::SeqCst).wrapping_add(1);
        model_fence();
        Begun(FlushStamp(at))
    }
}

impl Processor {
    const_unless_modelled! {
        /// A processor that runs no guest.
        #[expect(clippy::new_without_default, reason = "one for each processor, made by name")]
        pub fn new() -> Self {
            Self {
                flushed: AtomicU32::new(0),
                guest: AtomicU32::new(0),
                leaving: AtomicU32::new(0),
                asked: AtomicBool::new(false),
            }
        }
    }

    /// The flush is over. Another one may have begun and ended meanwhile, in an interrupt.
    #[inline]
    pub fn end(&self, begun: Begun) {
        let mut now = self.flushed.load(Ordering::Relaxed);
        while begun.0.is_after(FlushStamp(now)) {
            match self
                .flushed
                .compare_exchange(now, begun.0.0, Ordering::SeqCst, Ordering::Relaxed)
            {
                Ok(_) => return,
                Err(changed) => now = changed,
            }
        }
    }

    /// A root of `domain` is going to be loaded. Followed by a flush, then by [`Self::left_guest`].
    #[inline]
    pub fn enter_guest(&self, clock: &FlushClock, domain: DomId) {
        let before = self.guest.load(Ordering::Relaxed);
        if before == 0 {
            // No guest's translations have come here since the last one left, which may be longer ago than stamps can be compared.
            // Before anybody sees that there is one again.
            self.flushed.store(clock.stamp().0, Ordering::SeqCst);
        }
        // First: who looks meanwhile looks at the other one first, and finds the old domain in one of the two.
        self.leaving.store(before, Ordering::SeqCst);
        self.guest.store(u32::from(domain.0) + 1, Ordering::SeqCst);
        model_fence();
    }

    /// The root that was loaded before the latest [`Self::enter_guest`] is no more, and a flush has ended since.
    #[inline]
    pub fn left_guest(&self) {
        self.leaving.store(0, Ordering::SeqCst);
    }

    /// No guest's root is loaded any more, and a flush has ended since the last one was.
    #[inline]
    pub fn leave_guest(&self) {
        self.guest.store(0, Ordering::SeqCst);
    }

    /// Whether it may hold translations by the tables of `domain`. Looked at after a [`FlushClock::stamp`], and
    /// with its meaning: translations from before that.
    #[inline]
    #[must_use]
    pub fn runs(&self, domain: DomId) -> bool {
        let wanted = u32::from(domain.0) + 1;
        self.guest.load(Ordering::SeqCst) == wanted || self.leaving.load(Ordering::SeqCst) == wanted
    }

    /// Whether it may hold translations from before `stamp`. Whatever took those translations away was done
    /// before the stamp now in hand was read, or before a [`FlushClock::stamp`] that followed.
    #[inline]
    #[must_use]
    pub fn is_suspect(&self, stamp: FlushStamp) -> bool {
        self.guest.load(Ordering::SeqCst) != 0
            && !FlushStamp(self.flushed.load(Ordering::SeqCst)).is_after(stamp)
    }

    /// Asks it to flush; an interrupt has to tell it.
    #[inline]
    pub fn ask(&self) {
        self.asked.store(true, Ordering::SeqCst);
        model_fence();
    }

    /// The processor itself looks whether it is asked to flush, which it then has to do.
    #[inline]
    #[must_use]
    pub fn take_request(&self) -> bool {
        self.asked.load(Ordering::Relaxed) && self.asked.swap(false, Ordering::SeqCst)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_read_during_a_flush_is_not_covered_by_it() {
        let (clock, processor) = (FlushClock::new(1), Processor::new());
        processor.enter_guest(&clock, DomId(1));
        let before = clock.stamp();
        let begun = clock.begin();
        let during = clock.stamp();
        assert!(processor.is_suspect(before), "it is not over");
        // Others flush meanwhile: the clock moves on, and that says nothing about this processor.
        let other = Processor::new();
        for _ in 0..3 {
            other.end(clock.begin());
        }
        processor.end(begun);
        assert!(!processor.is_suspect(before));
        assert!(processor.is_suspect(during));
        assert!(processor.is_suspect(clock.stamp()));
    }

    #[test]
    fn a_flush_that_ends_inside_another_counts() {
        let (clock, processor) = (FlushClock::new(1), Processor::new());
        processor.enter_guest(&clock, DomId(1));
        let outer = clock.begin();
        let between = clock.stamp();
        processor.end(clock.begin());
        processor.end(outer);
        assert!(!processor.is_suspect(between));
    }

    #[test]
    fn without_a_guest_nobody_is_suspect() {
        let (clock, processor) = (FlushClock::new(1), Processor::new());
        assert!(!processor.is_suspect(clock.stamp()));
        processor.enter_guest(&clock, DomId(0));
        assert!(processor.is_suspect(clock.stamp()));
        assert!(processor.runs(DomId(0)) && !processor.runs(DomId(1)));
        processor.end(clock.begin());
        processor.leave_guest();
        assert!(!processor.is_suspect(clock.stamp()) && !processor.runs(DomId(0)));
    }

    #[test]
    fn a_domain_is_left_when_the_flush_is_over() {
        let (clock, processor) = (FlushClock::new(1), Processor::new());
        processor.enter_guest(&clock, DomId(1));
        processor.left_guest();
        processor.enter_guest(&clock, DomId(2));
        assert!(processor.runs(DomId(1)) && processor.runs(DomId(2)));
        processor.end(clock.begin());
        assert!(processor.runs(DomId(1)));
        processor.left_guest();
        assert!(!processor.runs(DomId(1)) && processor.runs(DomId(2)));
    }

    /// Others flush while a processor runs no guest, or has not run one yet, so often that the clock has gone half round, or
    /// nearly round. It is suspect as soon as it may take up translations again.
    #[test]
    fn who_ran_no_guest_for_long_is_suspect_when_it_does() {
        for idle in [0, 1, LAP, 1 << 31, (1 << 31) + 10, 3 << 30, u32::MAX - 9] {
            for has_run in [false, true] {
                let (clock, processor) = (FlushClock::new(1), Processor::new());
                if has_run {
                    processor.enter_guest(&clock, DomId(1));
                    processor.end(clock.begin());
                    processor.left_guest();
                    processor.end(clock.begin());
                    processor.leave_guest();
                }
                clock.0.fetch_add(idle, Ordering::Relaxed);
                processor.enter_guest(&clock, DomId(1));
                let entering = clock.stamp();
                assert!(processor.is_suspect(entering), "{idle:#x}, entering");
                processor.end(clock.begin());
                processor.left_guest();
                assert!(!processor.is_suspect(entering), "{idle:#x}, flushed");
                assert!(processor.is_suspect(clock.stamp()), "{idle:#x}, running");
                processor.end(clock.begin());
                assert!(processor.is_suspect(clock.stamp()), "{idle:#x}, later");
            }
        }
    }

    #[test]
    fn everybody_is_asked_long_before_the_clock_has_gone_half_round() {
        let clock = FlushClock::new(1);
        clock.0.store(LAP - 2, Ordering::Relaxed);
        let laps: Vec<_> = (0..4).map(|_| clock.begin().is_lap()).collect();
        assert_eq!(laps, [false, true, false, false]);
        // A processor that answers each lap is never taken for one that has flushed when it has not.
        let processor = Processor::new();
        clock.0.store(u32::MAX - 1, Ordering::Relaxed);
        processor.enter_guest(&clock, DomId(1));
        for lap in 0..64_u32 {
            clock
                .0
                .store(lap.wrapping_mul(LAP).wrapping_sub(1), Ordering::Relaxed);
            let begun = clock.begin();
            assert!(begun.is_lap());
            processor.end(begun);
            clock.0.store(
                lap.wrapping_mul(LAP).wrapping_add(LAP - 1),
                Ordering::Relaxed,
            );
            assert!(processor.is_suspect(clock.stamp()));
        }
    }
}

/// Checked by `RUSTFLAGS="--cfg loom" cargo test -p hypervisor --lib flush_clock`.
#[cfg(all(test, loom))]
mod loom_models {
    use super::*;
    use crate::sync::spin_loop;
    use loom::sync::Arc;
    use loom::thread;

    const MAPPED: u32 = 1;
    const GONE: u32 = 0;

    struct Machine {
        clock: FlushClock,
        guest: Processor,
        /// Two entries of a page table, one for each who takes one away.
        entries: [AtomicU32; 2],
        /// The frames behind them have a new use.
        is_reused: [AtomicBool; 2],
    }

    fn machine() -> Arc<Machine> {
        Arc::new(Machine {
            clock: FlushClock::new(1),
            guest: Processor::new(),
            entries: [AtomicU32::new(MAPPED), AtomicU32::new(MAPPED)],
            is_reused: [AtomicBool::new(false), AtomicBool::new(false)],
        })
    }

    /// Takes an entry away, asks for a flush and, if that is made soon, gives the frame a new use. (Waiting
    /// without end would be an endless model.)
    fn reuse(machine: &Machine, which: usize) {
        machine.entries[which].store(GONE, Ordering::Release);
        let stamp = machine.clock.stamp();
        if machine.guest.is_suspect(stamp) {
            machine.guest.ask();
            spin_loop();
        }
        if !machine.guest.is_suspect(stamp) {
            machine.is_reused[which].store(true, Ordering::Release);
        }
    }

    /// A processor that uses what it once found in the entries until it flushes.
    struct Buffers([Option<u32>; 2]);

    impl Buffers {
        fn flush(&mut self, machine: &Machine) {
            let begun = machine.clock.begin();
            self.0 = [None; 2];
            machine.guest.end(begun);
        }

        fn use_entry(&mut self, machine: &Machine, which: usize) {
            let is_reused = machine.is_reused[which].load(Ordering::Acquire);
            let entry = *self.0[which]
                .get_or_insert_with(|| machine.entries[which].load(Ordering::Relaxed));
            assert!(
                !(is_reused && entry == MAPPED),
                "a stale translation is used"
            );
        }

        fn interrupt(&mut self, machine: &Machine) {
            if machine.guest.take_request() {
                self.flush(machine);
            }
        }
    }

    #[test]
    fn a_frame_is_reused_when_no_processor_can_reach_it() {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(4);
        builder.check(|| {
            let machine = machine();
            let other = Arc::clone(&machine);
            let taker = thread::spawn(move || reuse(&other, 0));
            let mut buffers = Buffers([None; 2]);
            machine.guest.enter_guest(&machine.clock, DomId(1));
            buffers.flush(&machine);
            buffers.use_entry(&machine, 0);
            buffers.interrupt(&machine);
            buffers.use_entry(&machine, 0);
            buffers.flush(&machine);
            machine.guest.leave_guest();
            taker.join().expect("no panic");
            assert!(!machine.guest.is_suspect(machine.clock.stamp()));
        });
    }

    #[test]
    fn two_requests_at_once_are_both_answered() {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(|| {
            let machine = machine();
            let takers: Vec<_> = (0..2)
                .map(|which| {
                    let other = Arc::clone(&machine);
                    thread::spawn(move || reuse(&other, which))
                })
                .collect();
            let mut buffers = Buffers([None; 2]);
            machine.guest.enter_guest(&machine.clock, DomId(1));
            buffers.flush(&machine);
            buffers.use_entry(&machine, 0);
            buffers.use_entry(&machine, 1);
            buffers.interrupt(&machine);
            buffers.use_entry(&machine, 0);
            buffers.use_entry(&machine, 1);
            buffers.flush(&machine);
            machine.guest.leave_guest();
            for taker in takers {
                taker.join().expect("no panic");
            }
        });
    }
}
