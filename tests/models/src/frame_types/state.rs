//! What happens to the state in one step, whoever takes it.

use super::*;
use hypervisor::mm::typ::GetExclusive;

/// How taking a reference on a table has gone.
pub(super) enum Got {
    Done,
    Failed,
    Working(Work),
}

impl State {
    pub(super) fn new(entries: [[u8; ENTRIES as usize]; FRAMES]) -> Self {
        // Both have flushed since the time that is in a new word: no flush is made that is not owed.
        let processor = || Processor {
            flushed: FlushStamp(1),
            writable: 0,
            tables: 0,
            task: Task::Guest,
        };
        Self {
            words: [TypeWord::UNTYPED; FRAMES],
            residues: [0; FRAMES],
            entries,
            clock: FlushStamp(1),
            processors: [processor(), processor()],
            held: [0; FRAMES],
            is_root: false,
        }
    }

    pub(super) fn word(&mut self, frame: u8) -> &mut TypeWord {
        &mut self.words[usize::from(frame)]
    }

    pub(super) fn is_locked(&self) -> bool {
        self.processors
            .iter()
            .any(|processor| matches!(processor.task, Task::Locked { .. }))
    }

    /// Whether some table in force maps `frame` for writing.
    pub(super) fn is_mapped(&self, frame: u8) -> bool {
        (1..FRAMES as u8).any(|table| {
            self.words[usize::from(table)].is_table(Level::L1)
                && self.entries[usize::from(table)][0] == frame
        })
    }

    pub(super) fn can_write(&self, frame: u8) -> bool {
        self.processors
            .iter()
            .any(|processor| processor.writable & bit(frame) != 0)
    }

    /// Every processor remembers whatever it can.
    pub(super) fn remember(&mut self) {
        for frame in 0..FRAMES as u8 {
            let number = usize::from(frame);
            let is_writable = self.held[number] != 0 || self.is_mapped(frame);
            let is_table = self.words[number].is_table(level_of(frame));
            for processor in &mut self.processors {
                processor.writable |= if is_writable { bit(frame) } else { 0 };
                processor.tables |= if is_table { bit(frame) } else { 0 };
            }
        }
    }

    /// One step of a flush that processor `asking` makes. `None` if it was done before.
    pub(super) fn flush(
        &mut self,
        flaw: Flaw,
        asking: u8,
        mut flush: Flush,
        order: Order,
    ) -> Option<Flush> {
        let asking = usize::from(asking);
        let flushed = match order {
            Order::OtherFirst if flush.own && flush.other => {
                flush.other = false;
                1 - asking
            }
            _ if flush.own => {
                flush.own = false;
                asking
            }
            _ if flush.other => {
                flush.other = false;
                1 - asking
            }
            _ => return None,
        };
        let processor = &mut self.processors[flushed];
        if flaw != Flaw::NoFlush && !processor.flushed.is_after(flush.since) {
            self.clock.0 += 1;
            processor.flushed = self.clock;
            processor.writable = 0;
            processor.tables = 0;
        }
        Some(flush)
    }

    pub(super) fn put_writable(&mut self, flaw: Flaw, frame: u8) {
        let word = *self.word(frame);
        let now = if flaw == Flaw::NoStamp {
            word.stamp()
        } else {
            self.clock
        };
        *self.word(frame) = word.put(now).expect("a reference that is held");
    }

    pub(super) fn get_table(&mut self, frame: u8, level: Level) -> Got {
        let word = *self.word(frame);
        let work = |at, doing| {
            Got::Working(Work {
                frame,
                level,
                at,
                doing,
            })
        };
        match word.get_exclusive(level.typ()) {
            Err(_) | Ok(GetExclusive::DissolveFirst) => Got::Failed,
            Ok(GetExclusive::Granted(next)) => {
                *self.word(frame) = next;
                Got::Done
            }
            Ok(GetExclusive::Establish { next, owes_flush }) => {
                *self.word(frame) = next;
                if owes_flush {
                    work(0, Doing::Flush(Flush::for_use_in(word)))
                } else {
                    work(0, Doing::Validate)
                }
            }
            Ok(GetExclusive::Resume(working)) => {
                *self.word(frame) = working;
                work(self.residues[usize::from(frame)], Doing::Validate)
            }
            Ok(GetExclusive::Reverse) => work(self.residues[usize::from(frame)], Doing::Reverse),
        }
    }

    /// The word of a table that has gone out of force.
    pub(super) fn dissolved(&self, flaw: Flaw, word: TypeWord) -> TypeWord {
        word.dissolved(if flaw == Flaw::NoTableStamp {
            word.stamp()
        } else {
            self.clock
        })
    }

    /// Drops a reference on a table of level 1, which is one piece of work.
    pub(super) fn put_l1(&mut self, flaw: Flaw, frame: u8) {
        let word = *self.word(frame);
        if word.count() > 1 {
            *self.word(frame) = word.put(self.clock).expect("referenced");
            return;
        }
        let target = self.entries[usize::from(frame)][0];
        if target != NOTHING {
            self.put_writable(flaw, target);
        }
        *self.word(frame) = self.dissolved(flaw, word);
    }
}
