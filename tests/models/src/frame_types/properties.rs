//! What must hold in every state, and what must happen in some, so that the model is known to get there.

use super::*;
use hypervisor::mm::typ::Type;

pub(super) fn all() -> Vec<Property<FrameTypes>> {
    vec![
        Property::always(
            "nobody can write to a table in force",
            |_, state: &State| {
                (0..FRAMES as u8).all(|frame| {
                    let word = state.words[usize::from(frame)];
                    let is_table =
                        word.is_valid() && word.count() != 0 && word.typ().level().is_some();
                    !is_table || !state.can_write(frame)
                })
            },
        ),
        Property::always(
            "nobody writes while entries are checked",
            |_, state: &State| {
                state
                    .processors
                    .iter()
                    .all(|processor| match &processor.task {
                        Task::Locked { stack, .. } => stack.iter().all(|work| {
                            matches!(work.doing, Doing::Flush(_)) || !state.can_write(work.frame)
                        }),
                        _ => true,
                    })
            },
        ),
        Property::always(
            "nobody walks through a page that is written to",
            |_, state: &State| {
                (0..FRAMES).all(|frame| {
                    let word = state.words[frame];
                    let is_writable =
                        word.typ() == Type::Writable && word.is_valid() && word.count() != 0;
                    !is_writable
                        || state
                            .processors
                            .iter()
                            .all(|processor| processor.tables & bit(frame as u8) == 0)
                })
            },
        ),
        Property::always("every count is what is there", |_, state: &State| {
            let is_at_rest = state
                .processors
                .iter()
                .all(|processor| processor.task == Task::Guest);
            !is_at_rest || are_counts_exact(state)
        }),
        Property::sometimes("validation stops", |_, state: &State| {
            state.words[0].is_stopped()
        }),
        Property::sometimes("devalidation stops", |_, state: &State| {
            state.words[0].is_dissolving() && !state.is_locked()
        }),
        Property::sometimes("devalidation is reversed", |_, state: &State| {
            state.processors.iter().any(|processor| {
                    matches!(&processor.task, Task::Locked { stack, .. } if stack.iter().any(|work| work.doing == Doing::Reverse))
                })
        }),
        Property::sometimes("a tree is in force and maps a page", |_, state: &State| {
            state.words[0].is_table(Level::L2)
                && (0..FRAMES as u8).any(|frame| state.is_mapped(frame))
        }),
        Property::sometimes(
            "a page of another type is established",
            |_, state: &State| {
                state
                    .processors
                    .iter()
                    .any(|processor| matches!(processor.task, Task::Establish { .. }))
            },
        ),
    ]
}

/// At rest: every type count is the number of its reasons.
fn are_counts_exact(state: &State) -> bool {
    let mut expected: [u64; FRAMES] = std::array::from_fn(|frame| {
        u64::from(state.words[frame].is_pinned()) + u64::from(state.held[frame])
    });
    expected[0] += u64::from(state.is_root);
    for frame in 0..FRAMES {
        let word = state.words[frame];
        let holds = match word.typ() {
            Type::L1 | Type::L2 if word.is_partial() => state.residues[frame],
            Type::L1 if word.is_valid() && word.count() != 0 => 1,
            Type::L2 if word.is_valid() && word.count() != 0 => ENTRIES,
            _ => 0,
        };
        for &target in state.entries[frame].iter().take(usize::from(holds)) {
            if target != NOTHING {
                expected[usize::from(target)] += 1;
            }
        }
    }
    (0..FRAMES).all(|frame| state.words[frame].count() == expected[frame])
}
