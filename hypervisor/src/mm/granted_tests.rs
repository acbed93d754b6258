//! Entries for granted frames among ordinary ones, in random order: every count equals what is found by walking and
//! what the test holds, and the granter's frames are free when the last mapping is gone.

use super::super::lock::PtDomain;
use super::super::model::policy;
use super::super::platform::PageTables;
use super::super::reference::Mm;
use super::super::test_guest::repeat;
use super::super::test_machine::{DOM0, DOM1, FRAMES, RAM_END, TestMachine, frame_entries};
use super::super::test_support::{Rng, cases};
use super::super::update::AccessedDirty;
use super::super::verify::{Outside, Tally};
use super::*;
use std::vec::Vec;

/// What the grant room would know: references that wait to be put into an entry, or came back from one.
#[derive(Default)]
struct Loose(Vec<(Mfn, bool)>);

impl Loose {
    fn get(&mut self, mm: &Mm<'_, TestMachine<'_>>, mfn: Mfn, is_writable: bool) -> bool {
        let is_there = if is_writable {
            mm.get_grantable_for_writing(mfn, DOM0, DOM1)
                .map(|reference| _ = reference.remember())
                .is_ok()
        } else {
            mm.get_grantable(mfn, DOM0)
                .map(|reference| _ = reference.remember())
                .is_ok()
        };
        if is_there {
            self.0.push((mfn, is_writable));
        }
        is_there
    }

    fn put_all(&mut self, mm: &Mm<'_, TestMachine<'_>>) {
        for (mfn, is_writable) in self.0.drain(..) {
            if is_writable {
                mm.put_writable_frame(WritableRef::recall(mfn));
            } else {
                mm.put_frame(FrameRef::recall(mfn));
            }
        }
    }

    fn outside(&self) -> impl Iterator<Item = Outside> + '_ {
        self.0.iter().map(|&(mfn, is_writable)| Outside {
            mfn,
            tally: Tally {
                general: 1,
                typed: u64::from(is_writable),
            },
        })
    }
}

fn entry_for(mfn: Mfn, is_writable: bool) -> u64 {
    let writable = if is_writable { pte::WRITABLE } else { 0 };
    mfn.address() | pte::PRESENT | pte::ACCESSED | writable
}

#[test]
fn counts_stay_exact_whatever_becomes_of_granted_entries() {
    let (mut installed, mut taken, mut replaced, mut refused) = (0, 0, 0, 0);
    for seed in 0..cases(150) {
        let entries = frame_entries();
        let machine = TestMachine::new(&entries);
        let mm = Mm::new(machine.table, &machine);
        let mut rng = Rng::new(seed);
        let mut granter = PtDomain::new(DOM0, policy(DOM0));
        let mut domain = PtDomain::new(DOM1, policy(DOM1));
        // Two tables of the grantee, pinned; a few frames of either; a table of the granter's.
        let tables = [(); 2].map(|()| machine.allocate(DOM1).unwrap());
        for table in tables {
            mm.pin(&mut domain.locked(), table, Level::L1).unwrap();
        }
        let own: Vec<Mfn> = (0..4).map(|_| machine.allocate(DOM1).unwrap()).collect();
        let theirs: Vec<Mfn> = (0..4).map(|_| machine.allocate(DOM0).unwrap()).collect();
        mm.pin(&mut granter.locked(), theirs[3], Level::L1).unwrap();
        let mut loose = Loose::default();
        for _ in 0..60 {
            let place = L1Place {
                // Now and then not a table at all, or the granter's.
                table: match rng.below(20) {
                    0 => own[0],
                    1 => theirs[3],
                    n => tables[(n % 2) as usize],
                },
                slot: Slot::new(rng.below(3)).unwrap(),
            };
            let mfn = theirs[rng.below(4) as usize];
            let is_writable = rng.one_in(2);
            let lock = &mut domain.locked();
            match rng.below(5) {
                0 | 1 => {
                    if loose.get(&mm, mfn, is_writable) {
                        let entry = entry_for(mfn, is_writable);
                        match mm.install_granted(lock, place, entry) {
                            Ok(()) => {
                                installed += 1;
                                loose.0.pop();
                            }
                            Err(_) => refused += 1,
                        }
                    }
                }
                2 => match mm.take_granted(lock, place, entry_for(mfn, is_writable)) {
                    Ok(()) => {
                        taken += 1;
                        loose.0.push((mfn, is_writable));
                        assert_eq!(mm.platform.read(place.table, place.slot), 0);
                    }
                    Err(_) => refused += 1,
                },
                3 => {
                    let source = L1Place {
                        table: tables[rng.below(2) as usize],
                        slot: Slot::new(rng.below(3)).unwrap(),
                    };
                    let wanted = entry_for(mfn, is_writable);
                    match mm.replace_granted(lock, place, wanted, source) {
                        Ok(()) => {
                            replaced += 1;
                            loose.0.push((mfn, is_writable));
                            assert_eq!(mm.platform.read(source.table, source.slot), 0);
                        }
                        Err(_) => refused += 1,
                    }
                }
                // The guest does what it likes with its entries.
                _ => {
                    let new = match rng.below(3) {
                        0 => 0,
                        1 => entry_for(own[rng.below(4) as usize], is_writable),
                        _ => mm.platform.read(place.table, place.slot) ^ pte::WRITABLE,
                    };
                    let keep = AccessedDirty::Replace;
                    let _ = mm.update_l1(lock, place.table, place.slot, new, keep, DOM1);
                }
            }
            if rng.one_in(4) {
                loose.put_all(&mm);
            }
            let mut scratch = vec![Tally::default(); FRAMES as usize];
            let mut report = |finding| panic!("seed {seed}: {finding}");
            let domains = [&granter, &domain].into_iter();
            mm.verify(domains, loose.outside(), &mut scratch, &mut report)
                .unwrap();
        }
        loose.put_all(&mm);
        for (domain, frames) in [&mut domain, &mut granter]
            .into_iter()
            .zip(machine.domains.iter().rev())
        {
            repeat(|| mm.relinquish(&mut domain.locked(), frames)).unwrap();
        }
        let free = machine.buddy.lock().unwrap().free_frames();
        assert_eq!(free, RAM_END - 1, "seed {seed}");
    }
    assert!(
        installed > 500 && taken > 50 && replaced > 20 && refused > 500,
        "{installed} installed, {taken} taken, {replaced} replaced, {refused} refused"
    );
}

#[test]
fn what_the_hypervisor_shares_is_not_granted() {
    let entries = frame_entries();
    let machine = TestMachine::new(&entries);
    let mm = Mm::new(machine.table, &machine);
    let block = machine.allocate_block().unwrap();
    let access = super::super::block::SharedAccess::ReadWrite;
    let shared = block.share_with(machine.table, DOM0, access);
    let refused = Err(MmError::WrongOwner);
    assert_eq!(mm.get_grantable(shared, DOM0).map(|_| ()), refused);
    let for_writing = mm.get_grantable_for_writing(shared, DOM0, DOM1);
    assert_eq!(for_writing.map(|_| ()), refused);
    assert_eq!(machine.table.get(shared).unwrap().reference_count(), 1);
}
