//! Which states are the same.

use super::*;
use std::hash::{DefaultHasher, Hash, Hasher};

impl State {
    /// Makes states that differ in nothing that can ever matter the same one.
    pub(super) fn normalize(&mut self) {
        for frame in 0..FRAMES {
            if !self.words[frame].is_partial() {
                self.residues[frame] = 0;
            }
        }
        self.forget_times();
        self.renumber_times();
        // Which of the processors is which.
        let order = |processor: &Processor| {
            let mut hasher = DefaultHasher::new();
            processor.hash(&mut hasher);
            hasher.finish()
        };
        if order(&self.processors[0]) > order(&self.processors[1]) {
            self.processors.swap(0, 1);
        }
    }

    /// All that is asked of the time in a word is which processors have flushed since; and who is about to
    /// exchange the word asks whether it is the same. So the times in the other words become the earliest ones
    /// with the same answer.
    fn forget_times(&mut self) {
        let flushed = self
            .processors
            .each_ref()
            .map(|processor| processor.flushed);
        let earliest = |time: FlushStamp| {
            let not_after = flushed.iter().filter(|flushed| !flushed.is_after(time));
            FlushStamp(not_after.map(|flushed| flushed.0).max().unwrap_or(0))
        };
        for frame in 0..FRAMES {
            let is_compared = self.processors.iter().any(|processor| {
                matches!(processor.task, Task::Get { frame: of, .. } | Task::Put { frame: of, .. }
                    if usize::from(of) == frame)
            });
            if !is_compared {
                let word = &mut self.words[frame];
                *word = word.stamped(earliest(word.stamp()));
            }
        }
        for processor in &mut self.processors {
            match &mut processor.task {
                Task::Establish { flush, .. } => flush.since = earliest(flush.since),
                Task::Locked { stack, .. } => {
                    for work in stack {
                        if let Doing::Flush(flush) | Doing::FlushPage(flush) = &mut work.doing {
                            flush.since = earliest(flush.since);
                        }
                    }
                }
                Task::Guest | Task::Get { .. } | Task::Put { .. } => {}
            }
        }
    }

    /// Times mean nothing but their order: gives them the smallest numbers that have the same one. 0 is earlier
    /// than all flushes.
    fn renumber_times(&mut self) {
        // Bit n: there is a time n. They were renumbered after the step before, so all are small.
        let mut times = 1_u64;
        self.for_each_time(|time| times |= 1 << time.0);
        self.for_each_time(|time| time.0 = (times & ((1 << time.0) - 1)).count_ones());
    }

    fn for_each_time(&mut self, mut visit: impl FnMut(&mut FlushStamp)) {
        fn visit_word(word: &mut TypeWord, visit: &mut impl FnMut(&mut FlushStamp)) {
            let mut time = word.stamp();
            visit(&mut time);
            *word = word.stamped(time);
        }
        visit(&mut self.clock);
        for word in &mut self.words {
            visit_word(word, &mut visit);
        }
        for processor in &mut self.processors {
            visit(&mut processor.flushed);
            match &mut processor.task {
                Task::Guest => {}
                Task::Get { seen, .. } => visit_word(seen, &mut visit),
                Task::Put { seen, now, .. } => {
                    visit_word(seen, &mut visit);
                    now.iter_mut().for_each(&mut visit);
                }
                Task::Establish { flush, .. } => visit(&mut flush.since),
                Task::Locked { stack, .. } => {
                    for work in stack {
                        if let Doing::Flush(flush) | Doing::FlushPage(flush) = &mut work.doing {
                            visit(&mut flush.since);
                        }
                    }
                }
            }
        }
    }
}
