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

    /// The guest writes to memory that it has mapped for writing somewhere.
    fn guest_store(&mut self, domain: DomId) {
        let level = self.guest.rng.below(5);
        let mfn = self.guest.frame(domain, level);
        let (slot, value) = (self.guest.slot(), self.guest.entry(domain, level));
        self.store(domain, mfn, slot, value);
    }

    fn store(&mut self, domain: DomId, mfn: Mfn, slot: u16, value: u64) {
        let real = self
            .mm
            .get_writable_frame(mfn, domain, domain)
            .map(|reference| {
                self.machine.set_entry(mfn, slot, value);
                self.mm.put_writable_frame(reference);
            });
        let expected = self.plain_write(domain, mfn, |contents| {
            contents.insert(slot, value);
        });
        assert_eq!(real, expected, "{domain} stores to {mfn}");
    }

    /// The guest builds a branch of a tree of tables, and perhaps pins it.
    fn plant(&mut self, domain: DomId) {
        let branch: Vec<Mfn> = (0..5)
            .map(|level| self.guest.frame(domain, level))
            .collect();
        for level in 1..5 {
            let (table, target) = (branch[level], branch[level - 1]);
            let slot = self.guest.slot();
            let flags = pte::PRESENT | pte::WRITABLE | pte::USER | pte::ACCESSED;
            self.store(domain, table, slot, target.address() | flags);
        }
        if self.guest.rng.one_in(2) {
            self.pin_as(domain, branch[4], Level::L4);
        }
    }

    fn plain_write(
        &mut self,
        owner: DomId,
        mfn: Mfn,
        write: impl FnOnce(&mut std::collections::BTreeMap<u16, u64>),
    ) -> Result<(), MmError> {
        self.model.attempt(|model| {
            model.get(mfn, owner, Holder::NewEntry)?;
            model.get_typed(mfn, Type::Writable, Holder::NewEntry)?;
            write(&mut model.frames.get_mut(&mfn).unwrap().contents);
            model.put_typed(mfn, Holder::NewEntry);
            model.put(mfn, Holder::NewEntry);
            Ok(())
        })
    }

    fn pin(&mut self, domain: DomId) {
        let level = Level::ALL[self.guest.rng.below(4) as usize];
        let mfn = self.guest.frame(domain, level as u64);
        self.pin_as(domain, mfn, level);
    }

    fn pin_as(&mut self, domain: DomId, mfn: Mfn, level: Level) {
        let lock = &mut self.domains[usize::from(domain.0)];
        let real = repeat(|| self.mm.pin(&mut lock.locked(), mfn, level));
        let is_pinned = self
            .model
            .frames
            .get(&mfn)
            .is_some_and(|f| f.owner == Some(domain) && f.typed.contains(&Holder::Pin));
        let expected = if is_pinned {
            Err(MmError::AlreadyPinned)
        } else {
            self.model
                .attempt(|model| model.get_table(domain, mfn, level, Holder::Pin))
        };
        assert_eq!(real, expected, "{domain} pins {mfn} as {level:?}");
    }

    fn unpin(&mut self, domain: DomId) {
        let level = 1 + self.guest.rng.below(4);
        let mfn = self.guest.frame(domain, level);
        let lock = &mut self.domains[usize::from(domain.0)];
        let real = repeat(|| self.mm.unpin(&mut lock.locked(), mfn));
        let expected = match self.model.frames.get(&mfn) {
            None if mfn.0 >= FRAMES => Err(MmError::BadFrame),
            Some(f) if f.owner == Some(domain) && !f.general.is_empty() => {
                if f.typed.contains(&Holder::Pin) {
                    let level = f.typ.unwrap().level().unwrap();
                    self.model.put_table(mfn, level, Holder::Pin);
                    Ok(())
                } else {
                    Err(MmError::NotPinned)
                }
            }
            _ => Err(MmError::NotATable),
        };
        assert_eq!(real, expected, "{domain} unpins {mfn}");
    }

    fn get_root(&mut self, domain: DomId) {
        let mfn = self.guest.frame(domain, 4);
        let number = self.holder();
        let lock = &mut self.domains[usize::from(domain.0)];
        let real = repeat(|| self.mm.get_root(&mut lock.locked(), mfn));
        let by = Holder::Outside(number);
        let expected = self
            .model
            .attempt(|model| model.get_table(domain, mfn, Level::L4, by));
        match real {
            Ok(root) => {
                assert_eq!(expected, Ok(()));
                self.held.push((number, Held::Root(domain, root)));
            }
            Err(error) => assert_eq!(expected, Err(error), "{domain} loads {mfn}"),
        }
    }

    fn mmu_update(&mut self, domain: DomId) {
        let level = 1 + self.guest.rng.below(4);
        let mfn = self.guest.frame(domain, level);
        let slot = self.guest.slot();
        let frame_owner = match self.guest.rng.below(20) {
            0..2 if domain == DOM0 => DOM1,
            2 if domain == DOM0 => DomId::XEN,
            3 => DomId::IO,
            _ => domain,
        };
        let value = match self.guest.rng.below(3) {
            // A change of what is there.
            0 if mfn.0 < FRAMES => {
                let bits = pte::WRITABLE | pte::ACCESSED | pte::NO_EXECUTE | pte::USER | 1 << 10;
                self.machine.entry(mfn, slot) ^ (self.guest.rng.next() & bits)
            }
            _ => self.guest.entry(frame_owner, level),
        };
        let preserve = self.guest.rng.one_in(4);
        let address = mfn.address() | u64::from(slot) << 3;
        let request = Request {
            ptr: address | if preserve { 2 } else { 0 },
            val: value,
        };
        let parties = Parties::new(self.machine, domain, domain, frame_owner).unwrap();
        let lock = &mut self.domains[usize::from(domain.0)];
        let real = repeat(|| self.mm.mmu_update_one(&mut lock.locked(), parties, request));
        let is_own = self
            .model
            .frames
            .get(&mfn)
            .is_some_and(|frame| frame.owner == Some(domain) && !frame.general.is_empty());
        let expected = match self.model.is_table(mfn).filter(|_| is_own) {
            _ if !is_own => Err(MmError::BadFrame),
            Some(level) if level != Level::L1 && frame_owner != domain => Err(MmError::NotATable),
            Some(level) => {
                let old = self.machine_contents(mfn, slot);
                let kept = if preserve {
                    old & (pte::ACCESSED | pte::DIRTY)
                } else {
                    0
                };
                self.model.attempt(|model| {
                    model.update(domain, level, (mfn, slot), value, frame_owner)?;
                    if kept != 0 {
                        let contents = &mut model.frames.get_mut(&mfn).unwrap().contents;
                        *contents.get_mut(&slot).unwrap() |= kept;
                    }
                    Ok(())
                })
            }
            None => self
                .plain_write(domain, mfn, |contents| {
                    contents.insert(slot, value);
                })
                .map_err(MmError::for_table),
        };
        assert_eq!(
            real.map(|_| ()),
            expected,
            "{domain}: {mfn}[{slot}] = {value:#x}"
        );
    }

    /// The entry before the operation, as the model has it.
    fn machine_contents(&self, mfn: Mfn, slot: u16) -> u64 {
        self.model.frames[&mfn]
            .contents
            .get(&slot)
            .copied()
            .unwrap_or(0)
    }

    fn emulate(&mut self, domain: DomId) {
        let mfn = self.guest.frame(domain, 1);
        let slot = self.guest.slot();
        let size = [1, 4, 8, 8, 8][self.guest.rng.below(5) as usize];
        let part = EntryPart::new(
            u64::from(slot) * 8 + self.guest.rng.below(8 / size) * size,
            size,
        )
        .unwrap();
        let value = part.of(self.guest.entry(domain, 1));
        let lock = &mut self.domains[usize::from(domain.0)];
        let real = repeat(|| self.mm.emulate_store(&mut lock.locked(), mfn, part, value));
        let frame = self.model.frames.get(&mfn);
        let expected = match frame {
            None if mfn.0 >= FRAMES => Err(MmError::BadFrame),
            Some(frame) if frame.owner == Some(domain) => {
                if self.model.is_table(mfn) == Some(Level::L1) {
                    let new = part.merged(self.machine_contents(mfn, slot), value);
                    self.model
                        .attempt(|model| model.update(domain, Level::L1, (mfn, slot), new, domain))
                } else {
                    Err(MmError::NotATable)
                }
            }
            _ => Err(MmError::WrongOwner),
        };
        assert_eq!(
            real, expected,
            "{domain}: store of {value:#x} to {mfn}[{slot}] {part:?}"
        );
    }

    /// Somebody (a grant, a copy) references a frame.
    fn reference(&mut self, user: DomId) {
        let owner = self.guest.domain();
        let level = self.guest.rng.below(5);
        let mfn = self.guest.frame(owner, level);
        let number = self.holder();
        let by = Holder::Outside(number);
        let (real, expected) = if self.guest.rng.one_in(2) {
            let real = self.mm.get_frame(mfn, owner).map(Held::Page);
            (real, self.model.attempt(|model| model.get(mfn, owner, by)))
        } else {
            let real = self
                .mm
                .get_writable_frame(mfn, owner, user)
                .map(Held::Writable);
            let expected = self.model.attempt(|model| {
                model.get(mfn, owner, by)?;
                model.get_typed(mfn, Type::Writable, by).map(|_| ())
            });
            (real, expected)
        };
        match real {
            Ok(held) => {
                assert_eq!(expected, Ok(()));
                self.held.push((number, held));
            }
            Err(error) => assert_eq!(expected, Err(error), "{owner}'s {mfn}"),
        }
    }

    fn drop_held(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let index = self.guest.rng.below(self.held.len() as u64) as usize;
        let (number, held) = self.held.swap_remove(index);
        let by = Holder::Outside(number);
        match held {
            Held::Root(domain, root) => {
                let lock = &mut self.domains[usize::from(domain.0)];
                repeat(|| self.mm.finish_pending(&mut lock.locked())).unwrap();
                self.model.put_table(root.mfn(), Level::L4, by);
                self.mm.put_root(&mut lock.locked(), root);
            }
            Held::Page(reference) => {
                self.model.put(reference.mfn(), by);
                self.mm.put_frame(reference);
            }
            Held::Writable(reference) => {
                self.model.put_typed(reference.mfn(), by);
                self.model.put(reference.mfn(), by);
                self.mm.put_writable_frame(reference);
            }
            Held::Descriptors(domain, page) => {
                self.model.put_typed(page.mfn(), by);
                self.model.put(page.mfn(), by);
                self.mm
                    .put_descriptors(&mut self.domains[usize::from(domain.0)].locked(), page);
            }
        }
    }

    fn give_back_and_allocate(&mut self, domain: DomId) {
        let level = self.guest.rng.below(5);
        let mfn = self.guest.frame(domain, level);
        self.finish_pending();
        let real = if self.guest.rng.one_in(4) {
            // Taken, and given back untouched: an exchange that fails.
            self.mm
                .steal(mfn, domain)
                .map(|frame| frame.restore(self.machine.table))
                .err()
        } else {
            self.mm.give_back(mfn, domain).err().or_else(|| {
                let frame = self.model.frames.get_mut(&mfn).unwrap();
                assert!(frame.general.remove(&Holder::Allocation));
                assert!(frame.general.is_empty() && !frame.is_shared);
                self.allocate(domain);
                None
            })
        };
        let expected = match self.model.frames.get(&mfn) {
            None if mfn.0 >= FRAMES => Some(MmError::BadFrame),
            Some(frame) if frame.owner == Some(domain) && !frame.general.is_empty() => {
                let is_free = frame.general.len() == 1 && !frame.is_shared;
                (!is_free).then_some(MmError::InUse)
            }
            Some(frame) if frame.general.is_empty() && real.is_none() => None,
            _ => Some(MmError::WrongOwner),
        };
        assert_eq!(real, expected, "{domain} gives {mfn} back");
    }

    fn descriptors(&mut self, domain: DomId) {
        let mfn = self.guest.frame(domain, 0);
        let number = self.holder();
        let by = Holder::Outside(number);
        let lock = &mut self.domains[usize::from(domain.0)];
        let real = repeat(|| self.mm.get_descriptors(&mut lock.locked(), mfn));
        let expected = self.model.attempt(|model| {
            model.get(mfn, domain, by).map_err(MmError::for_table)?;
            if model
                .get_typed(mfn, Type::SegDesc, by)
                .map_err(MmError::for_table)?
            {
                let contents = &mut model.frames.get_mut(&mfn).unwrap().contents;
                for descriptor in contents.values_mut() {
                    *descriptor = descriptor::checked(*descriptor)?;
                }
            }
            Ok(())
        });
        match real {
            Ok(page) => {
                assert_eq!(expected, Ok(()));
                self.held.push((number, Held::Descriptors(domain, page)));
            }
            Err(error) => assert_eq!(expected, Err(error), "{domain}'s descriptors {mfn}"),
        }
    }

    fn clear_or_copy(&mut self, domain: DomId) {
        let (to, from) = (self.guest.frame(domain, 0), self.guest.frame(domain, 0));
        if to == from {
            return;
        }
        if self.guest.rng.one_in(2) {
            let real = self.mm.clear_page(to, domain, domain);
            let expected = self.plain_write(domain, to, |contents| contents.clear());
            assert_eq!(real, expected.map_err(MmError::for_table));
        } else {
            let real = self.mm.copy_page(to, from, domain, domain);
            let source = self.model.attempt(|model| {
                model.get(from, domain, Holder::NewEntry)?;
                model.put(from, Holder::NewEntry);
                Ok(())
            });
            let copy = self
                .model
                .frames
                .get(&from)
                .map_or(Default::default(), |f| f.contents.clone());
            let expected =
                source.and_then(|()| self.plain_write(domain, to, |contents| *contents = copy));
            assert_eq!(real, expected.map_err(MmError::for_table));
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
