//! The operations, each done to the real thing and to the model.

use super::*;

impl Pair<'_> {
    /// The guest writes to memory that it has mapped for writing somewhere.
    pub(super) fn guest_store(&mut self, domain: DomId) {
        let level = self.guest.rng.below(5);
        let mfn = self.guest.frame(domain, level);
        let (slot, value) = (self.guest.slot(), self.guest.entry(domain, level));
        self.store(domain, mfn, slot, value);
    }

    pub(super) fn store(&mut self, domain: DomId, mfn: Mfn, slot: u16, value: u64) {
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
    pub(super) fn plant(&mut self, domain: DomId) {
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

    pub(super) fn plain_write(
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

    pub(super) fn pin(&mut self, domain: DomId) {
        let level = Level::ALL[self.guest.rng.below(4) as usize];
        let mfn = self.guest.frame(domain, level as u64);
        self.pin_as(domain, mfn, level);
    }

    pub(super) fn pin_as(&mut self, domain: DomId, mfn: Mfn, level: Level) {
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

    pub(super) fn unpin(&mut self, domain: DomId) {
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

    pub(super) fn get_root(&mut self, domain: DomId) {
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

    pub(super) fn mmu_update(&mut self, domain: DomId) {
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
    pub(super) fn machine_contents(&self, mfn: Mfn, slot: u16) -> u64 {
        self.model.frames[&mfn]
            .contents
            .get(&slot)
            .copied()
            .unwrap_or(0)
    }

    pub(super) fn emulate(&mut self, domain: DomId) {
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
    pub(super) fn reference(&mut self, user: DomId) {
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

    pub(super) fn drop_held(&mut self) {
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

    pub(super) fn give_back_and_allocate(&mut self, domain: DomId) {
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

    pub(super) fn descriptors(&mut self, domain: DomId) {
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

    pub(super) fn clear_or_copy(&mut self, domain: DomId) {
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
}
