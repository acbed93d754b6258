//! The real thing and the reference model driven side by side by random operations, interrupted at
//! random: same answers, same counts, same contents, and no processor that reaches what it must not.

use super::block::SharedAccess;
use super::descriptor::{self, DescriptorPage};
use super::emulate::EntryPart;
use super::error::MmError;
use super::frame::Frame;
use super::lock::PtDomain;
use super::mmu_update::{Parties, Request};
use super::model::{Holder, Model, policy};
use super::pin::Root;
use super::pte;
use super::reference::{FrameRef, Mm, WritableRef};
use super::test_guest::{Guest, repeat};
use super::test_machine::{DOM0, DOM1, FRAMES, RAM_END, TestMachine, frame_entries};
use super::test_support::{Rng, cases};
use super::typ::{Level, Type, TypeWord};
use super::verify::{Outside, Tally};
use guest_abi::ids::{DomId, Mfn};
use std::vec::Vec;

mod operations;

/// A reference that the test holds.
enum Held {
    Root(DomId, Root),
    Page(FrameRef),
    Writable(WritableRef),
    Descriptors(DomId, DescriptorPage),
}

struct Pair<'t> {
    machine: &'t TestMachine<'t>,
    mm: Mm<'t, TestMachine<'t>>,
    model: Model,
    domains: [PtDomain; 2],
    held: Vec<(u64, Held)>,
    next_holder: u64,
    guest: Guest<'t>,
}

impl<'t> Pair<'t> {
    fn new(machine: &'t TestMachine<'t>, seed: u64) -> Self {
        let mut pair = Self {
            machine,
            mm: Mm::new(machine.table, machine),
            model: Model::new(),
            domains: [DOM0, DOM1].map(|domain| PtDomain::new(domain, policy(domain))),
            held: Vec::new(),
            next_holder: 0,
            guest: Guest {
                machine,
                rng: Rng::new(seed),
                shared: Vec::new(),
            },
        };
        for _ in 0..70 {
            let owner = pair.guest.domain();
            pair.allocate(owner);
        }
        for owner in [DOM0, DOM1, DomId::XEN] {
            pair.share(owner);
        }
        pair
    }

    fn allocate(&mut self, owner: DomId) {
        if let Some(mfn) = self.machine.allocate(owner) {
            self.model.allocated(mfn, owner);
        }
    }

    fn share(&mut self, owner: DomId) {
        let Some(block) = self.machine.allocate_block() else {
            return;
        };
        let access = if owner == DomId::XEN {
            SharedAccess::ReadOnly
        } else {
            SharedAccess::ReadWrite
        };
        let typ = if owner == DomId::XEN {
            Type::None
        } else {
            Type::Writable
        };
        let mfn = block.share_with(self.machine.table, owner, access);
        self.model.shared(mfn, owner, typ);
        if owner != DomId::XEN {
            self.guest.shared.push(mfn);
        }
    }

    fn holder(&mut self) -> u64 {
        self.next_holder += 1;
        self.next_holder
    }

    fn step(&mut self) {
        self.machine
            .yield_every([0, 1, 2, 3, 7, 40][self.guest.rng.below(6) as usize]);
        let domain = self.guest.domain();
        match self.guest.rng.below(100) {
            0..6 => self.plant(domain),
            6..30 => self.guest_store(domain),
            30..38 => self.pin(domain),
            38..42 => self.unpin(domain),
            42..45 => self.get_root(domain),
            45..68 => self.mmu_update(domain),
            68..74 => self.emulate(domain),
            74..78 => self.reference(domain),
            78..85 => self.drop_held(),
            85..88 => self.give_back_and_allocate(domain),
            88..90 => self.descriptors(domain),
            90..92 => self.clear_or_copy(domain),
            _ => self.processor_walks(),
        }
    }

    /// A processor runs a guest on one of its roots, or goes on from a table in its cache.
    fn processor_walks(&mut self) {
        let processor = self.guest.rng.below(3) as usize;
        let nth = self.guest.rng.next();
        let roots: Vec<_> = self
            .held
            .iter()
            .filter_map(|(_, held)| match held {
                Held::Root(domain, root) => Some((*domain, root.mfn())),
                _ => None,
            })
            .collect();
        let (domain, start) = match self.machine.remembered_table(processor, nth) {
            Some((mfn, level)) if self.guest.rng.one_in(3) => (
                self.machine.table.get(mfn).unwrap().owner().domain(),
                (mfn, level),
            ),
            _ if roots.is_empty() => return,
            _ => {
                let (domain, root) = roots[nth as usize % roots.len()];
                (Some(domain), (root, Type::L4))
            }
        };
        let Some(domain) = domain else { return };
        let is_write = self.guest.rng.one_in(2);
        let rng = &mut self.guest.rng;
        for (mfn, slot, entry) in self.machine.walk(processor, domain, start, rng, is_write) {
            self.model
                .frames
                .get_mut(&mfn)
                .unwrap()
                .contents
                .insert(slot, entry);
        }
    }

    fn finish_pending(&mut self) {
        for domain in &mut self.domains {
            repeat(|| self.mm.finish_pending(&mut domain.locked())).unwrap();
        }
    }

    fn compare(&mut self, with_contents: bool) {
        self.finish_pending();
        self.machine.check_caches();
        for (&mfn, expected) in &self.model.frames {
            let frame: &Frame = self.machine.table.get(mfn).unwrap();
            let word = TypeWord::load(frame);
            assert_eq!(
                frame.reference_count(),
                expected.general.len() as u64,
                "{mfn} {word:?}"
            );
            if expected.general.is_empty() {
                continue;
            }
            assert_eq!(frame.owner().domain(), expected.owner, "{mfn}");
            assert_eq!(word.count(), expected.typed.len() as u64, "{mfn} {word:?}");
            assert_eq!(
                word.is_pinned(),
                expected.typed.contains(&Holder::Pin),
                "{mfn} {word:?}"
            );
            assert!(!word.is_partial(), "{mfn} {word:?}");
            if !expected.typed.is_empty() {
                assert_eq!(Some(word.typ()), expected.typ, "{mfn}");
                assert!(word.is_valid(), "{mfn} {word:?}");
            }
            if with_contents {
                for slot in 0..512 {
                    let expected = expected.contents.get(&slot).copied().unwrap_or(0);
                    assert_eq!(self.machine.entry(mfn, slot), expected, "{mfn}[{slot}]");
                }
            }
        }
    }

    fn verify(&self) {
        let mut scratch = vec![Tally::default(); FRAMES as usize];
        let outside = self.held.iter().map(|(_, held)| {
            let one = |mfn, typed| Outside {
                mfn,
                tally: Tally { general: 1, typed },
            };
            match held {
                Held::Root(_, root) => one(root.mfn(), 1),
                Held::Page(page) => one(page.mfn(), 0),
                Held::Writable(page) => one(page.mfn(), 1),
                Held::Descriptors(_, page) => one(page.mfn(), 1),
            }
        });
        let mut report = |finding| panic!("{finding}");
        self.mm
            .verify(self.domains.iter(), outside, &mut scratch, &mut report)
            .unwrap();
    }

    /// Both domains end; every frame comes back.
    fn teardown(&mut self) {
        while !self.held.is_empty() {
            self.drop_held();
        }
        for (index, domain) in self.domains.iter_mut().enumerate() {
            let frames = &self.machine.domains[index];
            repeat(|| self.mm.relinquish(&mut domain.locked(), frames)).unwrap();
        }
        for mfn in core::mem::take(&mut self.guest.shared) {
            self.mm.unshare(mfn);
        }
        for frames in &self.machine.domains {
            assert_eq!(frames.lock().unwrap().total(), 0);
        }
        // One is frame 0, the other the one that the hypervisor shares with its own pseudo domain.
        assert_eq!(
            self.machine.buddy.lock().unwrap().free_frames(),
            RAM_END - 2
        );
    }
}

fn drive(seed: u64, steps: u64) {
    let entries = frame_entries();
    let machine = TestMachine::new(&entries);
    let mut pair = Pair::new(&machine, seed);
    for step in 0..steps {
        pair.step();
        pair.compare(step % 64 == 0);
        if step % 256 == 0 {
            pair.verify();
        }
    }
    pair.compare(true);
    pair.verify();
    pair.teardown();
}

/// So many operations at least, 32000 unless `PARAVANE_MM_OPERATIONS` says how many: `make test` asks for a
/// million of an optimized build.
#[test]
fn random_operations_agree_with_the_reference_model() {
    /// Operations on one pair.
    const STEPS: u64 = 4000;
    let wanted: u64 = std::env::var("PARAVANE_MM_OPERATIONS").map_or(32_000, |number| {
        number.parse().expect("PARAVANE_MM_OPERATIONS is a number")
    });
    let pairs = cases(wanted.div_ceil(STEPS));
    let next = std::sync::atomic::AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if seed >= pairs {
                        return;
                    }
                    drive(seed, STEPS);
                }
            });
        }
    });
    std::println!("{} operations agree", pairs * STEPS);
}

/// That the random driver reaches what it is meant to reach; a test that can't fail is a defect.
#[test]
fn random_operations_reach_every_kind_of_state() {
    let entries = frame_entries();
    let machine = TestMachine::new(&entries);
    let mut pair = Pair::new(&machine, 77);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..6000 {
        pair.step();
        for frame in pair.model.frames.values() {
            if !frame.typed.is_empty() {
                seen.insert((frame.typ, frame.typed.len().min(3)));
            }
        }
        pair.finish_pending();
    }
    for typ in [
        Type::L1,
        Type::L2,
        Type::L3,
        Type::L4,
        Type::SegDesc,
        Type::Writable,
    ] {
        for count in 1..=2 {
            assert!(
                seen.contains(&(Some(typ), count)),
                "{typ:?} x{count} never came up: {seen:?}"
            );
        }
    }
    assert!(machine.flushes.load(std::sync::atomic::Ordering::Relaxed) > 100);
    pair.teardown();
}
