//! The reference model: what frames, tables and counts ought to be, told in the slowest and plainest way.
//! A count is the size of a set of named holders; an operation that fails is undone by putting back
//! copies; nothing is ever interrupted, and nothing is ever flushed.

use super::error::MmError;
use super::platform::Slot;
use super::pte::{self, EntryPolicy};
use super::test_machine::{
    DOM0, FORBIDDEN_DEVICE, FRAMES, RAM_END, READ_ONLY_DEVICE, hypervisor_entry,
};
use super::typ::{Level, Type};
use guest_abi::ids::{DomId, Mfn};
use std::collections::{BTreeMap, BTreeSet};

/// Who holds a reference.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Holder {
    Allocation,
    Pin,
    /// A root, a grant, a descriptor table slot: number such and such of the test.
    Outside(u64),
    Entry(Mfn, u16),
    /// An entry on its way in.
    NewEntry,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct ModelFrame {
    pub(crate) owner: Option<DomId>,
    pub(crate) is_shared: bool,
    pub(crate) contents: BTreeMap<u16, u64>,
    pub(crate) general: BTreeSet<Holder>,
    pub(crate) typed: BTreeSet<Holder>,
    /// Meaningful while `typed` is not empty.
    pub(crate) typ: Option<Type>,
}

pub(crate) struct Model {
    pub(crate) frames: BTreeMap<Mfn, ModelFrame>,
    /// What the frames were (without contents) before the attempt that is under way.
    before: BTreeMap<Mfn, ModelFrame>,
}

pub(crate) fn policy(domain: DomId) -> EntryPolicy {
    if domain == DOM0 {
        EntryPolicy::WITH_DEVICES
    } else {
        EntryPolicy::ORDINARY
    }
}

impl Model {
    pub(crate) fn new() -> Self {
        let frames = (0..RAM_END)
            .map(|mfn| (Mfn(mfn), ModelFrame::default()))
            .collect();
        Self {
            frames,
            before: BTreeMap::new(),
        }
    }

    fn at(&mut self, mfn: Mfn) -> &mut ModelFrame {
        let frame = self.frames.get_mut(&mfn).unwrap();
        self.before.entry(mfn).or_insert_with(|| ModelFrame {
            general: frame.general.clone(),
            typed: frame.typed.clone(),
            contents: BTreeMap::new(),
            ..*frame
        });
        frame
    }

    pub(crate) fn is_table(&self, mfn: Mfn) -> Option<Level> {
        let frame = self.frames.get(&mfn)?;
        frame.typ.filter(|_| !frame.typed.is_empty())?.level()
    }

    pub(crate) fn allocated(&mut self, mfn: Mfn, owner: DomId) {
        let frame = ModelFrame {
            owner: Some(owner),
            general: [Holder::Allocation].into(),
            ..ModelFrame::default()
        };
        assert!(self.at(mfn).general.is_empty());
        *self.at(mfn) = frame;
    }

    pub(crate) fn shared(&mut self, mfn: Mfn, owner: DomId, typ: Type) {
        self.allocated(mfn, owner);
        let frame = self.at(mfn);
        (frame.is_shared, frame.typ) = (true, Some(typ));
        frame.typed = [Holder::Allocation].into();
    }

    /// Does `action`; if it fails, everything but contents is as before.
    pub(crate) fn attempt(
        &mut self,
        action: impl FnOnce(&mut Self) -> Result<(), MmError>,
    ) -> Result<(), MmError> {
        self.before.clear();
        let result = action(self);
        for (mfn, mut frame) in core::mem::take(&mut self.before) {
            if result.is_err() {
                let now = self.frames.get_mut(&mfn).unwrap();
                frame.contents = core::mem::take(&mut now.contents);
                *now = frame;
            }
        }
        result
    }

    pub(crate) fn get(&mut self, mfn: Mfn, owner: DomId, by: Holder) -> Result<(), MmError> {
        if mfn.0 >= FRAMES {
            return Err(MmError::BadFrame);
        }
        if !self.frames.contains_key(&mfn) {
            return Err(MmError::WrongOwner);
        }
        let frame = self.at(mfn);
        if frame.general.is_empty() || frame.owner != Some(owner) {
            return Err(MmError::WrongOwner);
        }
        assert!(frame.general.insert(by), "{mfn} is held by {by:?} already");
        Ok(())
    }

    pub(crate) fn put(&mut self, mfn: Mfn, by: Holder) {
        let frame = self.at(mfn);
        assert!(frame.general.remove(&by), "{mfn} is not held by {by:?}");
        assert!(!frame.general.is_empty() || frame.typed.is_empty());
    }

    pub(crate) fn get_typed(&mut self, mfn: Mfn, typ: Type, by: Holder) -> Result<bool, MmError> {
        let frame = self.at(mfn);
        let is_first = frame.typed.is_empty();
        if !is_first && frame.typ != Some(typ) {
            return Err(MmError::TypeConflict);
        }
        frame.typ = Some(typ);
        assert!(frame.typed.insert(by), "{mfn} is typed by {by:?} already");
        Ok(is_first)
    }

    pub(crate) fn put_typed(&mut self, mfn: Mfn, by: Holder) {
        assert!(
            self.at(mfn).typed.remove(&by),
            "{mfn} is not typed by {by:?}"
        );
    }

    pub(crate) fn get_table(
        &mut self,
        domain: DomId,
        mfn: Mfn,
        level: Level,
        by: Holder,
    ) -> Result<(), MmError> {
        self.get(mfn, domain, by).map_err(MmError::for_table)?;
        if !self
            .get_typed(mfn, level.typ(), by)
            .map_err(MmError::for_table)?
        {
            return Ok(());
        }
        for (slot, entry) in self.at(mfn).contents.clone() {
            if !pte::is_present(entry) || is_hypervisors(level, slot) {
                continue;
            }
            policy(domain).check(level, entry)?;
            let entry = pte::adjusted(level, entry);
            let by = Holder::Entry(mfn, slot);
            let entry = match level.below() {
                Some(below) => {
                    self.get_table(domain, pte::mfn(entry), below, by)?;
                    entry
                }
                None => self.get_page(domain, domain, entry, by)?,
            };
            self.at(mfn).contents.insert(slot, entry);
        }
        if level == Level::L4 {
            let slots = (256..272).map(|slot| (slot, hypervisor_entry(slot)));
            self.at(mfn).contents.extend(slots);
        }
        Ok(())
    }

    pub(crate) fn put_table(&mut self, mfn: Mfn, level: Level, by: Holder) {
        self.put_typed(mfn, by);
        if self.at(mfn).typed.is_empty() {
            for (slot, entry) in self.at(mfn).contents.clone() {
                if !pte::is_present(entry) || is_hypervisors(level, slot) {
                    continue;
                }
                let by = Holder::Entry(mfn, slot);
                match level.below() {
                    Some(below) => self.put_table(pte::mfn(entry), below, by),
                    None => self.put_page(entry, by),
                }
            }
        }
        self.put(mfn, by);
    }

    fn get_page(
        &mut self,
        domain: DomId,
        owner: DomId,
        entry: u64,
        by: Holder,
    ) -> Result<u64, MmError> {
        let mfn = pte::mfn(entry);
        match self.get(mfn, owner, by) {
            Ok(()) => {
                if self.at(mfn).is_shared && entry & pte::CACHE_ATTRIBUTES != 0 {
                    return Err(MmError::SharedCacheAttributes);
                }
                if pte::is_writable(entry) {
                    self.get_typed(mfn, Type::Writable, by)?;
                }
                Ok(entry)
            }
            Err(MmError::BadFrame) if mfn == pte::NO_FRAME => Err(MmError::BadFrame),
            // No memory at all: like a device that nobody may have.
            Err(MmError::BadFrame) if mfn.0 >= FRAMES + 4 => Err(MmError::NoIoRights),
            Err(error) if !(RAM_END + 2..FRAMES + 4).contains(&mfn.0) => Err(error),
            Err(_) if [domain, owner].iter().any(|&d| d != DOM0 && d != DomId::IO) => {
                Err(MmError::NoIoRights)
            }
            Err(_) if mfn == FORBIDDEN_DEVICE => Err(MmError::NoIoRights),
            Err(_) => {
                let read_only = if mfn == READ_ONLY_DEVICE {
                    pte::WRITABLE
                } else {
                    0
                };
                Ok(pte::device_attributes(entry) & !read_only)
            }
        }
    }

    fn put_page(&mut self, entry: u64, by: Holder) {
        let mfn = pte::mfn(entry);
        if mfn.0 >= RAM_END {
            return;
        }
        if pte::is_writable(entry) {
            self.put_typed(mfn, by);
        }
        self.put(mfn, by);
    }

    /// Changes an entry of a table in force.
    pub(crate) fn update(
        &mut self,
        domain: DomId,
        level: Level,
        place: (Mfn, u16),
        new: u64,
        frame_owner: DomId,
    ) -> Result<(), MmError> {
        let (table, slot) = place;
        if is_hypervisors(level, slot) {
            return Err(MmError::HypervisorSlot);
        }
        let old = self.at(table).contents.get(&slot).copied().unwrap_or(0);
        let mut new = new;
        if pte::is_present(new) {
            policy(domain).check(level, new)?;
            new = pte::adjusted(level, new);
            if pte::differ_only_in(pte::FLAGS_ONLY, old, new) {
                self.at(table).contents.insert(slot, new);
                return Ok(());
            }
            match level.below() {
                Some(below) => self.get_table(domain, pte::mfn(new), below, Holder::NewEntry)?,
                None => new = self.get_page(domain, frame_owner, new, Holder::NewEntry)?,
            }
        }
        self.at(table).contents.insert(slot, new);
        if pte::is_present(old) {
            let by = Holder::Entry(table, slot);
            match level.below() {
                Some(below) => self.put_table(pte::mfn(old), below, by),
                None => self.put_page(old, by),
            }
        }
        if pte::is_present(new) && pte::mfn(new).0 < RAM_END {
            let target = self.at(pte::mfn(new));
            for set in [&mut target.general, &mut target.typed] {
                if set.remove(&Holder::NewEntry) {
                    set.insert(Holder::Entry(table, slot));
                }
            }
        }
        Ok(())
    }
}

fn is_hypervisors(level: Level, slot: u16) -> bool {
    pte::is_hypervisor_slot(level, Slot::new(slot.into()).unwrap())
}
