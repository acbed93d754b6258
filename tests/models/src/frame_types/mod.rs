//! The type protocol of frames: two processors that run one domain, three frames, and everything that may
//! happen to their types at the same time, for as long as one likes.
//!
//! Frame 0 can become a table of level 2 with two entries, frames 1 and 2 tables of level 1 with one entry each;
//! all of them can be mapped for writing. What the entries say is given: `CONTENTS`. Whoever holds the
//! page-table lock pins or unpins a table, or uses frame 0 as a root or gives that up, in steps that may be
//! interrupted where the real code asks whether they should be; whatever stops leaves its residue. References for
//! writing are taken and dropped without the lock.
//!
//! The steps on the type word are `hypervisor::mm::typ`, the same functions that run in the hypervisor. The order
//! of the steps is that of `mm::table` and `mm::reference`.
//!
//! # Why it ends
//! The number of operations has no bound, and yet there are few enough states to see them all:
//!
//! * Processors always remember all translations and tables that they can (`State::remember`). What they remember
//!   changes nothing in the protocol, and no rule asks for more of it, so remembering less breaks no rule that this
//!   does not break.
//! * Of a time matters before which flushes it was, and where a word is compared, whether it is the same
//!   (`times`).
//! * It does not matter which of two processors is which, nor which one holds a reference.
//!
//! With one reference for writing at a time that begins to be taken on each frame, besides those of tables, that
//! makes 12,775,661 different states, up to about a hundred steps from the start: all of them are looked at, in a minute
//! of processor time and 1 GB. The checker tells states apart by hashes of 64 bits, so that it has taken one for
//! another, and missed it, has a probability of some millionths.
//!
//! # What it leaves out
//! Memory is sequentially consistent here (the `loom` models are about that). A frame has one level that it can be
//! a table of, so no residue of another type comes up, and there are two levels; a table of level 1 is
//! worked on in one step, but for its flush. Entries do not change, frames are neither freed nor foreign, general
//! references are not counted. What could not be cleared up or dropped at once may wait for ever, where the real code
//! finishes it before the next operation: that allows more, not less.

mod properties;
mod state;
mod steps;
mod times;

use hypervisor::mm::tlb::FlushStamp;
use hypervisor::mm::typ::{Level, TypeWord};
use stateright::{Model, Property};

/// Frames.
pub const FRAMES: usize = 3;
/// Processors.
pub const PROCESSORS: usize = 2;
/// Entries of a table of level 2.
const ENTRIES: u8 = 2;
/// No frame, in an entry.
const NOTHING: u8 = u8::MAX;

/// A way in which the protocol may be wrong, so that the checker has something to find.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Flaw {
    /// None: the protocol as it is.
    None,
    /// A type changes without the flush.
    NoFlush,
    /// A dropped reference does not leave the time at which it was dropped.
    NoStamp,
    /// A dropped reference for which the exchange has failed leaves the time that was read before that.
    StaleTime,
    /// A table that goes out of force does not leave the time at which it did.
    NoTableStamp,
    /// A frame whose validation has stopped can be mapped for writing.
    ResidueIgnored,
}

/// What a processor does.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Task {
    /// It runs the guest.
    Guest,
    /// It takes a reference for writing and has seen this word.
    Get { frame: u8, seen: TypeWord },
    /// It flushes for a reference for writing.
    Establish { frame: u8, flush: Flush },
    /// It drops a reference for writing and has seen this word, and then this time.
    Put {
        frame: u8,
        seen: TypeWord,
        now: Option<FlushStamp>,
    },
    /// It holds the page-table lock and works on a table, and perhaps on one below.
    Locked { wanted: Holder, stack: Vec<Work> },
}

/// Who wants a table.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Holder {
    /// A pin.
    Pin,
    /// A processor, as its root.
    Root,
}

/// A flush of all processors for which the use that ended at `since` may be remembered.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Flush {
    since: FlushStamp,
    /// Whether it is still to be seen to on the processor that asks for it.
    own: bool,
    /// Whether it is on the other.
    other: bool,
}

impl Flush {
    fn for_use_in(before: TypeWord) -> Self {
        Self {
            since: before.stamp(),
            own: true,
            other: true,
        }
    }
}

/// Work on a table.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Work {
    frame: u8,
    level: Level,
    /// The entry that is next.
    at: u8,
    doing: Doing,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Doing {
    /// Flushing for the type before.
    Flush(Flush),
    /// Taking the references of entries.
    Validate,
    /// Taking them again after a devalidation that had stopped.
    Reverse,
    /// Flushing for the page that the entry of a table of level 1 maps for writing.
    FlushPage(Flush),
    /// Dropping the references of entries, the last one first; `at` are left.
    Devalidate,
}

/// A processor.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Processor {
    flushed: FlushStamp,
    /// Bit n: the processor remembers a translation with which it can write to frame n.
    writable: u8,
    /// Bit n: the processor remembers frame n as a table.
    tables: u8,
    task: Task,
}

/// Everything there is.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct State {
    words: [TypeWord; FRAMES],
    residues: [u8; FRAMES],
    entries: [[u8; ENTRIES as usize]; FRAMES],
    clock: FlushStamp,
    processors: [Processor; PROCESSORS],
    /// References for writing on each frame that were taken without the lock, all of them with a mapping.
    held: [u8; FRAMES],
    /// Whether frame 0 is in use as a root.
    is_root: bool,
}

/// What may happen next.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Action {
    /// A processor begins to take a reference for writing.
    Get(u8, u8),
    /// A processor begins to drop one.
    Put(u8, u8),
    /// A processor pins a frame as its level.
    Pin(u8, u8),
    /// A processor unpins a frame.
    Unpin(u8, u8),
    /// A processor begins to use frame 0 as a root.
    UseRoot(u8),
    /// A processor gives that up.
    GiveUpRoot(u8),
    /// A processor takes the next step of what it does.
    Step(u8),
    /// The same, and is then interrupted, if it may be there.
    StepAndStop(u8),
    /// A processor that flushes sees to the other processor before it sees to itself.
    StepOther(u8),
}

/// The protocol.
#[derive(Clone, Copy, Debug)]
pub struct FrameTypes {
    /// What is wrong with it.
    pub flaw: Flaw,
    /// Another reference for writing on a frame begins to be taken while there are fewer than this, besides those
    /// of tables. Two processors that begin at the same time may get one more.
    pub references: u8,
}

fn level_of(frame: u8) -> Level {
    if frame == 0 { Level::L2 } else { Level::L1 }
}

fn bit(frame: u8) -> u8 {
    1 << frame
}

/// What the tables hold. Frame 0 refers to both others, to the last one alone, or to one of them twice; tables of
/// level 1 map nothing, the other one, or frame 0, for writing.
const CONTENTS: [[[u8; ENTRIES as usize]; FRAMES]; 3] = [
    [[1, 2], [NOTHING; 2], [NOTHING; 2]],
    [[NOTHING, 1], [2, NOTHING], [NOTHING; 2]],
    [[1, 1], [2, NOTHING], [0, NOTHING]],
];

/// Which processor is flushed first.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    OwnFirst,
    OtherFirst,
}

/// Whether a flush has been seen to nowhere yet.
fn flushes_both(task: &Task) -> bool {
    let flush = match task {
        Task::Establish { flush, .. } => Some(flush),
        Task::Locked { stack, .. } => match stack.last().map(|work| &work.doing) {
            Some(Doing::Flush(flush) | Doing::FlushPage(flush)) => Some(flush),
            _ => None,
        },
        _ => None,
    };
    flush.is_some_and(|flush| flush.own && flush.other)
}

impl Model for FrameTypes {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        CONTENTS
            .iter()
            .map(|entries| State::new(*entries))
            .collect()
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for processor in 0..PROCESSORS as u8 {
            if processor == 1 && state.processors[0] == state.processors[1] {
                continue; // Nothing that the other does not do too.
            }
            let task = &state.processors[usize::from(processor)].task;
            if *task != Task::Guest {
                actions.push(Action::Step(processor));
                if matches!(task, Task::Locked { .. }) {
                    actions.push(Action::StepAndStop(processor));
                }
                if flushes_both(task) {
                    actions.push(Action::StepOther(processor));
                }
                continue;
            }
            for frame in 0..FRAMES as u8 {
                let held = state.held[usize::from(frame)];
                if held < self.references {
                    actions.push(Action::Get(processor, frame));
                }
                if held != 0 {
                    actions.push(Action::Put(processor, frame));
                }
                if !state.is_locked() {
                    actions.extend([
                        Action::Pin(processor, frame),
                        Action::Unpin(processor, frame),
                    ]);
                }
            }
            if !state.is_locked() {
                actions.push(if state.is_root {
                    Action::GiveUpRoot(processor)
                } else {
                    Action::UseRoot(processor)
                });
            }
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        let (Action::Get(processor, _)
        | Action::Put(processor, _)
        | Action::Pin(processor, _)
        | Action::Unpin(processor, _)
        | Action::UseRoot(processor)
        | Action::GiveUpRoot(processor)
        | Action::Step(processor)
        | Action::StepAndStop(processor)
        | Action::StepOther(processor)) = action;
        let order = match action {
            Action::StepOther(_) => Order::OtherFirst,
            _ => Order::OwnFirst,
        };
        let stops = matches!(action, Action::StepAndStop(_));
        let number = usize::from(processor);
        let task = std::mem::replace(&mut state.processors[number].task, Task::Guest);
        let next = match task {
            Task::Guest => self.begin(&mut state, action)?,
            Task::Locked { wanted, stack } => {
                self.step_locked(&mut state, processor, (wanted, stack), order, stops)?
            }
            task => self.step_unlocked(&mut state, processor, task, order),
        };
        state.processors[number].task = next;
        state.remember();
        state.normalize();
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all()
    }
}
