//! Frames given up while they are tables, pinned, half validated, mapped or referenced by others: the books stay
//! right, and when all have let go nothing is left of them.

use super::super::block::SharedAccess;
use super::super::lock::PtDomain;
use super::super::model::policy;
use super::super::pin::Root;
use super::super::reference::FrameRef;
use super::super::test_guest::{Guest, SLOTS, repeat};
use super::super::test_machine::{DOM1, FRAMES, RAM_END, TestMachine, frame_entries};
use super::super::test_support::{Rng, cases};
use super::super::typ::Level;
use super::super::update::AccessedDirty;
use super::super::verify::{Outside, Tally};
use super::*;
use crate::mm::platform::Slot;
use std::vec::Vec;

const TYPED: u64 = 60;

/// Every count equals what is found by walking.
fn verify(
    mm: &Mm<'_, TestMachine<'_>>,
    domain: &PtDomain,
    held: &[FrameRef],
    roots: &[Root],
    seed: u64,
) {
    let mut scratch = vec![Tally::default(); FRAMES as usize];
    let roots = roots.iter().map(|root| Outside {
        mfn: root.mfn(),
        tally: Tally {
            general: 1,
            typed: 1,
        },
    });
    let outside = held.iter().map(|reference| Outside {
        mfn: reference.mfn(),
        tally: Tally {
            general: 1,
            typed: 0,
        },
    });
    let mut report = |finding| panic!("seed {seed}: {finding}");
    let domains = core::iter::once(domain);
    mm.verify(domains, outside.chain(roots), &mut scratch, &mut report)
        .unwrap();
}

#[test]
fn nothing_is_left_of_frames_that_were_given_up() {
    let (mut given, mut refused, mut preempted, mut suspended) = (0, 0, 0, 0);
    for seed in 0..cases(40) {
        let entries = frame_entries();
        let machine = TestMachine::new(&entries);
        let mm = Mm::new(machine.table, &machine);
        let mut domain = PtDomain::new(DOM1, policy(DOM1));
        let mut guest = Guest {
            machine: &machine,
            rng: Rng::new(seed),
            shared: vec![Mfn(RAM_END)],
        };
        for _ in 0..TYPED {
            machine.allocate(DOM1).unwrap();
        }
        let mut held = Vec::new();
        let mut roots: Vec<Root> = Vec::new();
        for step in 0..300 {
            if guest.rng.one_in(4) {
                machine.yield_once(1 + guest.rng.below(6));
            }
            let level = 1 + guest.rng.below(4);
            let mfn = guest.frame(DOM1, level);
            let lock = &mut domain.locked();
            match guest.rng.below(100) {
                0..60 => {
                    let entry = guest.entry(DOM1, level);
                    let slot = SLOTS[guest.rng.below(SLOTS.len() as u64) as usize];
                    let slot = Slot::new(slot.into()).unwrap();
                    let keep = AccessedDirty::Replace;
                    let _ = mm.update_any(lock, mfn, slot, entry, keep, DOM1);
                }
                60..78 => {
                    let level = Level::ALL[level as usize - 1];
                    let _ = mm.pin(lock, mfn, level);
                }
                78..84 => {
                    let _ = mm.unpin(lock, mfn);
                }
                84..87 => held.extend(mm.get_frame(mfn, DOM1)),
                87..90 => {
                    // As a vCPU that is brought up takes them, which may have to come again.
                    let root = guest.frame(DOM1, 4);
                    roots.extend(mm.get_root(lock, root));
                    if guest.rng.one_in(2)
                        && let Some(root) = roots.pop()
                    {
                        suspended += u32::from(Mm::<TestMachine<'_>>::is_given_up(
                            machine.table.get(root.mfn()).unwrap(),
                        ));
                        mm.suspend_root(lock, root);
                    }
                }
                90..91 => {
                    if let Some(reference) = held.pop() {
                        mm.put_frame(reference);
                    }
                }
                _ => match mm.give_up(lock, mfn, &machine.domains[1]) {
                    Ok(()) => given += 1,
                    Err(Stop::Preempted) => preempted += 1,
                    Err(Stop::Failed(_)) => refused += 1,
                },
            }
            if step % 20 == 0 {
                verify(&mm, &domain, &held, &roots, seed);
            }
        }
        for reference in held.drain(..) {
            mm.put_frame(reference);
        }
        for root in roots.drain(..) {
            mm.put_root(&mut domain.locked(), root);
        }
        let frames = &machine.domains[1];
        machine.yield_every(1 + guest.rng.below(9));
        repeat(|| mm.relinquish(&mut domain.locked(), frames)).unwrap();
        verify(&mm, &domain, &held, &roots, seed);
        assert_eq!(frames.lock().unwrap().total(), 0, "seed {seed}");
        let free = machine.buddy.lock().unwrap().free_frames();
        assert_eq!(free, RAM_END - 1, "seed {seed}");
    }
    assert!(
        given > 100 && refused > 10 && preempted > 2 && suspended > 2,
        "{given} given up, {refused} refused, {preempted} preempted, {suspended} suspended when given up"
    );
}

#[test]
fn what_the_hypervisor_shares_is_not_the_domains_to_give() {
    let entries = frame_entries();
    let machine = TestMachine::new(&entries);
    let mm = Mm::new(machine.table, &machine);
    let mut domain = PtDomain::new(DOM1, policy(DOM1));
    let block = machine.allocate_block().unwrap();
    let shared = block.share_with(machine.table, DOM1, SharedAccess::ReadWrite);
    let own = machine.allocate(DOM1).unwrap();
    let frames = &machine.domains[1];
    let lock = &mut domain.locked();
    let refused = Err(Stop::Failed(MmError::WrongOwner));
    assert_eq!(mm.give_up(lock, shared, frames), refused);
    // Somebody else uses the frame: it stays, but can't be given up twice.
    let reference = mm.get_frame(own, DOM1).unwrap();
    assert_eq!(mm.give_up(lock, own, frames), Ok(()));
    assert_eq!(mm.give_up(lock, own, frames), refused);
    assert_eq!(
        mm.pin(lock, own, Level::L1),
        Err(Stop::Failed(MmError::NotATable))
    );
    assert_eq!(frames.lock().unwrap().total(), 1);
    mm.put_frame(reference);
    assert_eq!(frames.lock().unwrap().total(), 0);
}

#[test]
fn a_root_that_is_given_up_while_it_is_taken_leaves_nothing_when_it_is_suspended() {
    let entries = frame_entries();
    let machine = TestMachine::new(&entries);
    let mm = Mm::new(machine.table, &machine);
    let mut domain = PtDomain::new(DOM1, policy(DOM1));
    let frames = &machine.domains[1];
    let mfn = machine.allocate(DOM1).unwrap();
    let lock = &mut domain.locked();
    mm.pin(lock, mfn, Level::L4).unwrap();
    let root = mm.get_root(lock, mfn).unwrap();
    // Another vCPU's call, before the one that has taken it is preempted at its second root.
    mm.give_up(lock, mfn, frames).unwrap();
    mm.suspend_root(lock, root);
    mm.relinquish(lock, frames).unwrap();
    assert_eq!(frames.lock().unwrap().total(), 0);
}
