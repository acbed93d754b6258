//! Who takes which step when: the protocol's operations.

use super::state::Got;
use super::*;
use hypervisor::mm::typ::GetWritable;

impl FrameTypes {
    /// The next step of a processor that holds no lock.
    pub(super) fn step_unlocked(
        self,
        state: &mut State,
        processor: u8,
        task: Task,
        order: Order,
    ) -> Task {
        match task {
            Task::Get { frame, seen } => {
                let step = match (seen.get_writable(false), self.flaw) {
                    (Err(_), Flaw::ResidueIgnored) if seen.is_stopped() => seen
                        .dissolved(seen.stamp())
                        .get_writable(false)
                        .expect("idle"),
                    (Err(_), _) => return Task::Guest,
                    (Ok(step), _) => step,
                };
                let now = *state.word(frame);
                if now != seen {
                    return Task::Get { frame, seen: now };
                }
                let (GetWritable::Granted(next) | GetWritable::Establish(next)) = step;
                *state.word(frame) = next;
                if matches!(step, GetWritable::Granted(_)) {
                    state.held[usize::from(frame)] += 1;
                    return Task::Guest;
                }
                Task::Establish {
                    frame,
                    flush: Flush::for_use_in(seen),
                }
            }
            Task::Establish { frame, flush } => {
                if let Some(flush) = state.flush(self.flaw, processor, flush, order) {
                    return Task::Establish { frame, flush };
                }
                let word = *state.word(frame);
                *state.word(frame) = word.established();
                state.held[usize::from(frame)] += 1;
                Task::Guest
            }
            Task::Put {
                frame,
                seen,
                now: None,
            } => {
                let now = match self.flaw {
                    Flaw::NoStamp => seen.stamp(),
                    _ => state.clock,
                };
                Task::Put {
                    frame,
                    seen,
                    now: Some(now),
                }
            }
            Task::Put {
                frame,
                seen,
                now: Some(now),
            } => {
                let word = *state.word(frame);
                if word != seen {
                    return Task::Put {
                        frame,
                        seen: word,
                        now: (self.flaw == Flaw::StaleTime).then_some(now),
                    };
                }
                *state.word(frame) = seen.put(now).expect("a reference that is held");
                Task::Guest
            }
            task @ (Task::Guest | Task::Locked { .. }) => task,
        }
    }

    /// The next step of the processor that holds the lock. `None` if `stops` asks for what can't be here.
    pub(super) fn step_locked(
        self,
        state: &mut State,
        processor: u8,
        (wanted, mut stack): (Holder, Vec<Work>),
        order: Order,
        stops: bool,
    ) -> Option<Task> {
        let mut work = stack.pop()?;
        let frame = usize::from(work.frame);
        match work.doing {
            Doing::Flush(_) | Doing::FlushPage(_) if stops => return None,
            Doing::Flush(flush) => {
                if let Some(flush) = state.flush(self.flaw, processor, flush, order) {
                    work.doing = Doing::Flush(flush);
                } else {
                    state.words[frame] = state.words[frame].flushed();
                    work.doing = Doing::Validate;
                }
                stack.push(work);
            }
            Doing::FlushPage(flush) => {
                if let Some(flush) = state.flush(self.flaw, processor, flush, order) {
                    work.doing = Doing::FlushPage(flush);
                } else {
                    let word = state.word(state.entries[frame][0]);
                    *word = word.established();
                    work.doing = Doing::Validate;
                    work.at = ENTRIES;
                }
                stack.push(work);
            }
            Doing::Validate if work.level == Level::L1 => {
                return (!stops).then(|| self.validate_l1(state, wanted, stack, work));
            }
            Doing::Validate | Doing::Reverse => {
                return self.validate_l2(state, wanted, stack, work, stops);
            }
            Doing::Devalidate if work.at == 0 => {
                if stops {
                    return None;
                }
                // The last reference went with it, if there was one.
                if state.words[frame].is_dissolving() {
                    state.is_root = false;
                }
                state.words[frame] = state.dissolved(self.flaw, state.words[frame]);
                return Some(Task::Guest);
            }
            Doing::Devalidate => {
                work.at -= 1;
                let target = state.entries[frame][usize::from(work.at)];
                if target != NOTHING {
                    state.put_l1(self.flaw, target);
                }
                state.residues[frame] = work.at;
                if stops {
                    return (work.at > 0 && target != NOTHING).then_some(Task::Guest);
                }
                stack.push(work);
            }
        }
        Some(Task::Locked { wanted, stack })
    }

    fn validate_l1(
        self,
        state: &mut State,
        wanted: Holder,
        mut stack: Vec<Work>,
        mut work: Work,
    ) -> Task {
        let frame = usize::from(work.frame);
        let target = state.entries[frame][0];
        if work.at == 0 && target != NOTHING {
            let word = *state.word(target);
            match word.get_writable(false) {
                Err(_) => {
                    state.words[frame] = state.dissolved(self.flaw, state.words[frame]);
                    return self.fail(state, wanted, stack);
                }
                Ok(GetWritable::Granted(next)) => *state.word(target) = next,
                Ok(GetWritable::Establish(next)) => {
                    *state.word(target) = next;
                    work.doing = Doing::FlushPage(Flush::for_use_in(word));
                    stack.push(work);
                    return Task::Locked { wanted, stack };
                }
            }
        }
        state.words[frame] = state.words[frame].validated();
        self.succeed(state, wanted, stack, work.frame)
    }

    fn validate_l2(
        self,
        state: &mut State,
        wanted: Holder,
        mut stack: Vec<Work>,
        mut work: Work,
        stops: bool,
    ) -> Option<Task> {
        let frame = usize::from(work.frame);
        if work.at == ENTRIES {
            if stops {
                return None;
            }
            state.words[frame] = state.words[frame].validated();
            if work.doing == Doing::Reverse {
                // The reference of whoever gave up is theirs again; now for ours.
                return match state.get_table(work.frame, work.level) {
                    Got::Done => Some(self.succeed(state, wanted, stack, work.frame)),
                    Got::Failed | Got::Working(_) => unreachable!("it is in force"),
                };
            }
            return Some(self.succeed(state, wanted, stack, work.frame));
        }
        let target = state.entries[frame][usize::from(work.at)];
        if target == NOTHING {
            work.at += 1;
        } else {
            match state.get_table(target, Level::L1) {
                Got::Failed => {
                    stack.push(work);
                    return (!stops).then(|| self.fail(state, wanted, stack));
                }
                Got::Working(below) => {
                    stack.extend([work, below]);
                    return (!stops).then_some(Task::Locked { wanted, stack });
                }
                Got::Done => work.at += 1,
            }
        }
        if stops {
            return (work.at < ENTRIES && target != NOTHING).then(|| {
                stop(state, work);
                Task::Guest
            });
        }
        stack.push(work);
        Some(Task::Locked { wanted, stack })
    }

    /// A table that was wanted is in force.
    fn succeed(self, state: &mut State, wanted: Holder, mut stack: Vec<Work>, frame: u8) -> Task {
        match (stack.last_mut(), wanted) {
            (None, Holder::Pin) => {
                let word = *state.word(frame);
                *state.word(frame) = word.pinned();
                Task::Guest
            }
            (None, Holder::Root) => {
                state.is_root = true;
                Task::Guest
            }
            (Some(above), _) => {
                above.at += 1;
                Task::Locked { wanted, stack }
            }
        }
    }

    /// A table that was wanted can't be had: what was done for the one above is undone.
    fn fail(self, state: &mut State, wanted: Holder, mut stack: Vec<Work>) -> Task {
        let Some(mut above) = stack.pop() else {
            return Task::Guest;
        };
        let was_reversed = above.doing == Doing::Reverse;
        stop(state, above);
        if was_reversed {
            return Task::Guest;
        }
        above.doing = Doing::Devalidate;
        stack.push(above);
        Task::Locked { wanted, stack }
    }

    /// The first step of an operation. `None` if it is refused.
    pub(super) fn begin(self, state: &mut State, action: Action) -> Option<Task> {
        match action {
            Action::Get(_, frame) => Some(Task::Get {
                frame,
                seen: *state.word(frame),
            }),
            Action::Put(_, frame) => {
                // The mapping goes first; only then is the reference dropped.
                state.held[usize::from(frame)] -= 1;
                Some(Task::Put {
                    frame,
                    seen: *state.word(frame),
                    now: None,
                })
            }
            Action::Pin(_, frame) if state.word(frame).is_pinned() => None,
            Action::Pin(_, frame) => self.take(state, Holder::Pin, frame),
            Action::UseRoot(_) => self.take(state, Holder::Root, 0),
            Action::Unpin(_, frame) => {
                let word = *state.word(frame);
                if !word.is_pinned() {
                    return None;
                }
                if word.count() > 1 {
                    *state.word(frame) = word.unpinned();
                }
                Some(self.drop_table(state, Holder::Pin, frame))
            }
            Action::GiveUpRoot(_) => Some(self.drop_table(state, Holder::Root, 0)),
            Action::Step(_) | Action::StepAndStop(_) | Action::StepOther(_) => None,
        }
    }

    fn take(self, state: &mut State, wanted: Holder, frame: u8) -> Option<Task> {
        match state.get_table(frame, level_of(frame)) {
            Got::Failed => None,
            Got::Done => Some(self.succeed(state, wanted, Vec::new(), frame)),
            Got::Working(work) => Some(Task::Locked {
                wanted,
                stack: vec![work],
            }),
        }
    }

    fn drop_table(self, state: &mut State, wanted: Holder, frame: u8) -> Task {
        let word = *state.word(frame);
        if frame != 0 {
            state.put_l1(self.flaw, frame);
            return Task::Guest;
        }
        if word.count() > 1 {
            *state.word(frame) = word.put(state.clock).expect("referenced");
            if wanted == Holder::Root {
                state.is_root = false;
            }
            return Task::Guest;
        }
        let at = if word.is_partial() {
            state.residues[0]
        } else {
            ENTRIES
        };
        *state.word(0) = word.dissolving();
        state.residues[0] = at;
        let work = Work {
            frame,
            level: Level::L2,
            at,
            doing: Doing::Devalidate,
        };
        Task::Locked {
            wanted,
            stack: vec![work],
        }
    }
}

/// Leaves the residue of a validation that stops before entry `work.at`.
fn stop(state: &mut State, work: Work) {
    let frame = usize::from(work.frame);
    state.residues[frame] = work.at;
    if work.doing != Doing::Reverse {
        state.words[frame] = state.words[frame].stopped();
    }
}
