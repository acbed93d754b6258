//! Many operations of two domains, begun, interrupted, gone on with or forgotten, in any order.

use super::super::error::Stop;
use super::super::lock::PtDomain;
use super::super::mmu_update::{Parties, Request};
use super::super::model::policy;
use super::super::pin::Root;
use super::super::reference::{Mm, WritableRef};
use super::super::test_guest::{Guest, repeat};
use super::super::test_machine::{DOM0, DOM1, RAM_END, TestMachine, frame_entries};
use super::super::test_support::{Rng, cases};
use super::super::typ::{Level, Type, TypeWord};
use super::{RW, audit};
use guest_abi::ids::{DomId, Mfn};
use std::vec::Vec;

/// A call that was begun and may be gone on with.
#[derive(Clone, Copy, Debug)]
enum Call {
    Pin(DomId, Mfn, Level),
    Unpin(DomId, Mfn),
    Load(DomId, Mfn),
    Update(DomId, Request),
    Descriptors(DomId, Mfn),
}

struct Chaos<'t> {
    machine: &'t TestMachine<'t>,
    mm: Mm<'t, TestMachine<'t>>,
    domains: [PtDomain; 2],
    guest: Guest<'t>,
    calls: Vec<Call>,
    roots: Vec<(DomId, Root)>,
    writable: Vec<WritableRef>,
    seen: [u64; 4],
}

impl<'t> Chaos<'t> {
    fn begin(&mut self) {
        let domain = self.guest.domain();
        let level = 1 + self.guest.rng.below(4);
        let mfn = self.guest.frame(domain, level);
        let call = match self.guest.rng.below(10) {
            0..3 => Call::Pin(domain, mfn, Level::ALL[level as usize - 1]),
            3..5 => Call::Unpin(domain, mfn),
            5 => Call::Load(domain, self.guest.frame(domain, 4)),
            6 => Call::Descriptors(domain, mfn),
            _ => {
                let ptr = mfn.address() | u64::from(self.guest.slot()) << 3;
                Call::Update(
                    domain,
                    Request {
                        ptr,
                        val: self.guest.entry(domain, level),
                    },
                )
            }
        };
        self.calls.push(call);
    }

    fn go_on(&mut self) {
        if self.calls.is_empty() {
            return;
        }
        let index = self.guest.rng.below(self.calls.len() as u64) as usize;
        let call = self.calls[index];
        let (Call::Pin(domain, ..)
        | Call::Unpin(domain, _)
        | Call::Load(domain, _)
        | Call::Update(domain, _)
        | Call::Descriptors(domain, _)) = call;
        let lock = &mut self.domains[usize::from(domain.0)].locked();
        let result = match call {
            Call::Pin(_, mfn, level) => self.mm.pin(lock, mfn, level),
            Call::Unpin(_, mfn) => self.mm.unpin(lock, mfn),
            Call::Load(_, mfn) => self
                .mm
                .get_root(lock, mfn)
                .map(|root| self.roots.push((domain, root))),
            Call::Update(_, request) => {
                let parties = Parties::alone(domain);
                self.mm.mmu_update_one(lock, parties, request).map(|_| ())
            }
            Call::Descriptors(_, mfn) => self.mm.get_descriptors(lock, mfn).map(|page| {
                self.mm.put_descriptors(lock, page);
            }),
        };
        // Some guests never come back for the rest.
        if result != Err(Stop::Preempted) || self.guest.rng.one_in(6) {
            self.calls.swap_remove(index);
        }
    }

    fn step(&mut self) {
        self.machine
            .yield_every([0, 1, 1, 2, 3][self.guest.rng.below(5) as usize]);
        match self.guest.rng.below(20) {
            0..5 => self.begin(),
            5..12 => self.go_on(),
            12..16 => self.store(),
            16 => self.hold(),
            17 => self.let_go(),
            18 => self.walk(),
            _ => {
                let domain = self.guest.domain();
                let level = self.guest.rng.below(5);
                let mfn = self.guest.frame(domain, level);
                if self.mm.give_back(mfn, domain).is_ok() {
                    self.machine.allocate(domain);
                }
            }
        }
    }

    fn store(&mut self) {
        let domain = self.guest.domain();
        // From the bottom up, a branch; what is not plain memory stays as it is.
        let mut target = self.guest.frame(domain, 0);
        for level in 1..5 {
            let table = self.guest.frame(domain, level);
            let slot = self.guest.slot();
            let entry = match self.guest.rng.below(4) {
                0 => self.guest.entry(domain, level),
                _ => target.address() | RW,
            };
            if let Ok(page) = self.mm.get_writable_frame(table, domain, domain) {
                self.machine.set_entry(table, slot, entry);
                self.mm.put_writable_frame(page);
            }
            target = table;
        }
    }

    fn hold(&mut self) {
        let (owner, user) = (self.guest.domain(), self.guest.domain());
        let level = self.guest.rng.below(5);
        let mfn = self.guest.frame(owner, level);
        self.writable
            .extend(self.mm.get_writable_frame(mfn, owner, user));
    }

    fn let_go(&mut self) {
        if self.guest.rng.one_in(2) {
            if let Some(page) = self.writable.pop() {
                self.mm.put_writable_frame(page);
            }
        } else if let Some((domain, root)) = self.roots.pop() {
            let lock = &mut self.domains[usize::from(domain.0)].locked();
            repeat(|| self.mm.finish_pending(lock)).unwrap();
            self.mm.put_root(lock, root);
        }
    }

    fn walk(&mut self) {
        let processor = self.guest.rng.below(3) as usize;
        let nth = self.guest.rng.next();
        let remembered = self.machine.remembered_table(processor, nth);
        let start = match remembered.filter(|_| nth.is_multiple_of(3)) {
            Some((mfn, level)) => (
                self.machine.table.get(mfn).unwrap().owner().domain(),
                (mfn, level),
            ),
            None if self.roots.is_empty() => return,
            None => {
                let (domain, root) = &self.roots[nth as usize % self.roots.len()];
                (Some(*domain), (root.mfn(), Type::L4))
            }
        };
        let (Some(domain), table) = start else { return };
        let rng = &mut self.guest.rng;
        self.machine
            .walk(processor, domain, table, rng, nth.is_multiple_of(2));
    }

    fn audit(&mut self) {
        let outside = self.roots.iter().map(|(_, root)| (root.mfn(), 1));
        let outside = outside.chain(self.writable.iter().map(|page| (page.mfn(), 1)));
        audit(&self.mm, self.domains.iter(), outside);
        for mfn in 0..RAM_END {
            let word = TypeWord::load(self.machine.table.get(Mfn(mfn)).unwrap());
            self.seen[0] += u64::from(word.is_stopped());
            self.seen[1] += u64::from(word.is_dissolving());
            self.seen[2] += u64::from(word.is_dissolving() && word.is_pinned());
        }
        self.seen[3] += self
            .domains
            .iter()
            .filter(|domain| !domain.pending.is_empty())
            .count() as u64;
    }
}

fn chaos(seed: u64, steps: u64) -> [u64; 4] {
    let entries = frame_entries();
    let machine = TestMachine::new(&entries);
    let mut chaos = Chaos {
        machine: &machine,
        mm: Mm::new(machine.table, &machine),
        domains: [DOM0, DOM1].map(|domain| PtDomain::new(domain, policy(domain))),
        guest: Guest {
            machine: &machine,
            rng: Rng::new(seed),
            shared: vec![Mfn(3)],
        },
        calls: Vec::new(),
        roots: Vec::new(),
        writable: Vec::new(),
        seen: [0; 4],
    };
    for _ in 0..75 {
        let owner = chaos.guest.domain();
        machine.allocate(owner);
    }
    for _ in 0..steps {
        chaos.step();
        chaos.audit();
    }
    // The end of both domains, with calls under way; interrupted at every point.
    machine.yield_every(1);
    while !chaos.roots.is_empty() || !chaos.writable.is_empty() {
        chaos.let_go();
    }
    for (index, domain) in chaos.domains.iter_mut().enumerate() {
        repeat(|| {
            chaos
                .mm
                .relinquish(&mut domain.locked(), &machine.domains[index])
        })
        .unwrap();
    }
    for frames in &machine.domains {
        assert_eq!(frames.lock().unwrap().total(), 0);
    }
    assert_eq!(machine.buddy.lock().unwrap().free_frames(), RAM_END - 1);
    chaos.seen
}

#[test]
fn half_done_operations_leave_the_books_exact_and_every_frame_comes_back() {
    let mut seen = [0; 4];
    for seed in 0..cases(4) {
        for (total, more) in seen.iter_mut().zip(chaos(seed, 2000)) {
            *total += more;
        }
    }
    assert!(
        seen.iter().all(|&times| times > 20),
        "states that hardly came up: {seen:?}"
    );
}

#[test]
#[ignore = "long"]
fn half_done_operations_leave_the_books_exact_for_long() {
    for seed in 0..cases(16) {
        chaos(10_000 + seed, 10_000);
    }
}
