//! A machine for the tests of this room: frames with counted references, page tables with stale
//! translations, entries that an adversary rewrites between two accesses.

use super::environment::*;
use super::table::GrantTable;
use crate::sync::Lock;
use crate::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use guest_abi::ids::{DomId, GrantRef, Mfn, Vaddr};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Translations that processors may still hold, of all domains together.
#[derive(Clone, Default)]
struct Stale(Arc<std::sync::atomic::AtomicUsize>);

impl Stale {
    fn add(&self, count: usize) {
        self.0.fetch_add(count, std::sync::atomic::Ordering::SeqCst);
    }

    fn remove(&self, count: usize) {
        self.0.fetch_sub(count, std::sync::atomic::Ordering::SeqCst);
    }

    /// I3. (With several processors at work, another one's may be on their way.)
    fn assert_none(&self) {
        let stale = self.0.load(std::sync::atomic::Ordering::SeqCst);
        assert!(cfg!(loom) || stale == 0, "I3: released before the flush");
    }
}

/// Entries with shared bits in the tests.
pub(super) const ENTRIES: usize = if cfg!(loom) { 2 } else { 1024 };
pub(super) const ENTRIES_PER_FRAME: u32 = if cfg!(loom) { 2 } else { 512 };

/// What the guest does to an entry just before the hypervisor's next access to it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Meddling {
    Nothing,
    Head(u32),
    Frame(u32),
}

pub(super) struct TestEntries {
    entries: Vec<(AtomicU32, AtomicU32)>,
    nr_frames: AtomicU32,
    /// One past the highest entry that the guest ever wrote: others can't be in use.
    written: AtomicU32,
    pub(super) meddling: Lock<VecDeque<Meddling>, 210>,
    /// Out of memory for more frames than this.
    pub(super) frames_available: AtomicU32,
    stale: Stale,
    writable: std::sync::Mutex<BTreeMap<u32, Writable>>,
}

/// What an entry was found to grant for writing.
#[derive(Default)]
struct Writable {
    /// The head that marked it as in use.
    marked: u32,
    /// The frames that were read after that, since nobody last wrote.
    frames: BTreeSet<u32>,
}

/// The mark of an entry that somebody writes by.
const WRITING: u32 = 1 << 4;

impl TestEntries {
    fn new(stale: Stale) -> Self {
        Self {
            stale,
            entries: (0..ENTRIES)
                .map(|_| (AtomicU32::new(0), AtomicU32::new(0)))
                .collect(),
            nr_frames: AtomicU32::new(0),
            written: AtomicU32::new(0),
            meddling: Lock::new(VecDeque::new()),
            frames_available: AtomicU32::new(u32::MAX),
            writable: std::sync::Mutex::default(),
        }
    }

    fn with_writable<R>(&self, gref: GrantRef, f: impl FnOnce(&mut Writable) -> R) -> R {
        let mut writable = self.writable.lock().expect("no panic");
        f(writable.entry(gref.0).or_default())
    }

    /// The guest writes an entry.
    pub(super) fn write(&self, gref: u32, flags: u16, grantee: u16, frame: u32) {
        self.written.fetch_max(gref + 1, Ordering::SeqCst);
        let (head, at) = &self.entries[gref as usize];
        at.store(frame, Ordering::SeqCst);
        head.store(
            u32::from(flags) | u32::from(grantee) << 16,
            Ordering::SeqCst,
        );
    }

    pub(super) fn head(&self, gref: u32) -> u32 {
        self.entries[gref as usize].0.load(Ordering::SeqCst)
    }

    /// The guest revokes, as it should: only if the entry is not in use, and by exchange.
    pub(super) fn revoke(&self, gref: u32) -> bool {
        let head = self.head(gref);
        head & 0x18 == 0 && self.exchange(gref, head, 0).is_ok()
    }

    fn exchange(&self, gref: u32, old: u32, new: u32) -> Result<(), u32> {
        let (head, _) = &self.entries[gref as usize];
        head.compare_exchange(old, new, Ordering::SeqCst, Ordering::SeqCst)
            .map(|_| ())
    }

    fn meddle(&self, gref: GrantRef) {
        assert!(
            gref.0 < self.nr_frames.load(Ordering::SeqCst) * ENTRIES_PER_FRAME,
            "{gref}"
        );
        self.written.fetch_max(gref.0 + 1, Ordering::SeqCst);
        let next = self.meddling.lock().pop_front();
        let (head, frame) = &self.entries[gref.0 as usize];
        match next {
            None | Some(Meddling::Nothing) => {}
            Some(Meddling::Head(value)) => head.store(value, Ordering::SeqCst),
            Some(Meddling::Frame(value)) => frame.store(value, Ordering::SeqCst),
        }
    }
}

impl SharedEntries for TestEntries {
    fn load_head(&self, gref: GrantRef) -> u32 {
        self.meddle(gref);
        self.head(gref.0)
    }

    fn exchange_head(&self, gref: GrantRef, old: u32, new: u32) -> Result<(), u32> {
        self.meddle(gref);
        self.exchange(gref.0, old, new)?;
        self.with_writable(gref, |writable| writable.marked = new);
        Ok(())
    }

    fn clear_flags(&self, gref: GrantRef, bits: u16) {
        self.stale.assert_none();
        if u32::from(bits) & WRITING != 0 {
            self.with_writable(gref, |writable| *writable = Writable::default());
        }
        self.entries[gref.0 as usize]
            .0
            .fetch_and(!u32::from(bits), Ordering::SeqCst);
    }

    fn load_frame(&self, gref: GrantRef) -> u32 {
        self.meddle(gref);
        let frame = self.entries[gref.0 as usize].1.load(Ordering::SeqCst);
        self.with_writable(gref, |writable| {
            if writable.marked & WRITING != 0 {
                writable.frames.insert(frame);
            }
        });
        frame
    }

    fn add_frame(&self) -> Result<(), OutOfMemory> {
        if self.nr_frames.load(Ordering::SeqCst) >= self.frames_available.load(Ordering::SeqCst) {
            return Err(OutOfMemory);
        }
        self.nr_frames.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn frame(&self, index: u32) -> Option<Mfn> {
        (index < self.nr_frames.load(Ordering::SeqCst)).then_some(Mfn(0x1000 + u64::from(index)))
    }
}

pub(super) struct TestDomain {
    id: DomId,
    grants: GrantTable,
    pub(super) entries: TestEntries,
    pub(super) charged: AtomicUsize,
    pub(super) charge_limit: AtomicUsize,
}

impl GrantDomain for TestDomain {
    type Entries = TestEntries;

    fn id(&self) -> DomId {
        self.id
    }

    fn grants(&self) -> &GrantTable {
        &self.grants
    }

    fn entries(&self) -> &TestEntries {
        &self.entries
    }

    fn charge(&self, bytes: usize) -> Result<(), OutOfMemory> {
        let limit = self.charge_limit.load(Ordering::SeqCst);
        if self.charged.fetch_add(bytes, Ordering::SeqCst) + bytes > limit {
            self.uncharge(bytes);
            return Err(OutOfMemory);
        }
        Ok(())
    }

    fn uncharge(&self, bytes: usize) {
        self.charged.fetch_sub(bytes, Ordering::SeqCst);
    }
    fn last_use_ended(&self) {
        assert!(!self.grants.is_in_use(), "a use is left");
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Frame {
    pub(super) owner: u16,
    pub(super) references: u32,
    pub(super) writers: u32,
    pub(super) is_page_table: bool,
}

/// `(from, to, len)`.
pub(super) type CopyDone = ((Mfn, u16), (Mfn, u16), u16);

#[derive(Default)]
pub(super) struct TestFrames {
    pub(super) frames: InnerLock<BTreeMap<u64, Frame>>,
    pub(super) copies: InnerLock<Vec<CopyDone>>,
    stale: Stale,
}

/// A lock below all others.
pub(super) struct InnerLock<T>(Lock<T, 220>);

impl<T: Default> Default for InnerLock<T> {
    fn default() -> Self {
        Self(Lock::new(T::default()))
    }
}

impl<T> InnerLock<T> {
    pub(super) fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        f(&mut self.0.lock())
    }
}

impl Frames for TestFrames {
    fn get(&self, owner: DomId, frame: Mfn, access: Access) -> Result<(), FrameError> {
        self.frames.with(|frames| {
            let frame = frames
                .get_mut(&frame.0)
                .filter(|frame| frame.owner == owner.0);
            let frame = frame.ok_or(FrameError::NotOwned)?;
            if access == Access::Write {
                if frame.is_page_table {
                    return Err(FrameError::TypeConflict);
                }
                frame.writers += 1;
            }
            frame.references += 1;
            Ok(())
        })
    }

    fn put(&self, frame: Mfn, access: Access) {
        self.stale.assert_none();
        self.frames.with(|frames| {
            let frame = frames
                .get_mut(&frame.0)
                .expect("a frame with references exists");
            frame.references = frame.references.checked_sub(1).expect("a reference to put");
            if access == Access::Write {
                frame.writers = frame.writers.checked_sub(1).expect("a writer to put");
            }
        });
    }

    fn copy(&self, from: (Mfn, u16), to: (Mfn, u16), len: u16) {
        self.frames.with(|frames| {
            assert!(frames[&from.0.0].references > 0 && frames[&to.0.0].writers > 0);
        });
        self.copies.with(|copies| copies.push((from, to, len)));
    }
}

/// One domain's level-1 entries, by address (virtual ones and machine addresses alike).
#[derive(Default)]
pub(super) struct Tables {
    pub(super) present: BTreeMap<u64, (Mfn, Access)>,
    /// Translations that processors may still hold.
    pub(super) stale: Vec<(Mfn, Access)>,
    pub(super) flushes: u32,
}

/// Addresses that have a level-1 entry.
pub(super) fn is_mappable(address: u64) -> bool {
    (1..=8).contains(&(address >> 12)) && address & 7 == 0
}

#[derive(Default)]
pub(super) struct TestMapper {
    pub(super) tables: InnerLock<Tables>,
}

pub(super) struct BoundMapper<'a> {
    pub(super) frames: &'a TestFrames,
    pub(super) tables: &'a InnerLock<Tables>,
}

const fn key(target: HostTarget) -> u64 {
    match target {
        HostTarget::Address(Vaddr(address)) | HostTarget::Entry(address) => address,
    }
}

impl BoundMapper<'_> {
    /// The guest clears an entry by itself. (The room of memory sees to stale translations then.)
    pub(super) fn clear(&self, address: u64) {
        if let Some((frame, access)) = self.tables.with(|tables| tables.present.remove(&address)) {
            self.frames.put(frame, access);
        }
    }
}

impl Mapper for BoundMapper<'_> {
    fn create(&self, mapping: &HostMapping) -> Result<(), MapError> {
        let at = key(mapping.target);
        if !is_mappable(at) {
            return Err(MapError);
        }
        self.clear(at);
        self.tables
            .with(|tables| tables.present.insert(at, (mapping.frame, mapping.access)));
        Ok(())
    }

    fn destroy(&self, target: HostTarget, frame: Mfn, access: Access) -> Result<(), MapError> {
        self.tables.with(|tables| {
            if tables.present.get(&key(target)) != Some(&(frame, access)) {
                return Err(MapError);
            }
            tables.present.remove(&key(target));
            tables.stale.push((frame, access));
            self.frames.stale.add(1);
            Ok(())
        })
    }

    fn replace(
        &self,
        target: Vaddr,
        frame: Mfn,
        access: Access,
        source: Vaddr,
    ) -> Result<(), MapError> {
        if !is_mappable(source.0) || source == target {
            return Err(MapError);
        }
        self.destroy(HostTarget::Address(target), frame, access)?;
        self.tables.with(|tables| {
            if let Some(moved) = tables.present.remove(&source.0) {
                tables.present.insert(target.0, moved);
            }
        });
        Ok(())
    }

    fn flush(&self) {
        self.tables.with(|tables| {
            self.frames.stale.remove(tables.stale.len());
            tables.stale.clear();
            tables.flushes += 1;
        });
    }
}

/// Domains 0, 1, 2, … with frames of their own: 16 times the domain's number and the three after it, the
/// last of the four a page table.
pub(super) struct TestMachine {
    pub(super) domains: TestDomains,
    pub(super) frames: TestFrames,
    pub(super) mappers: Vec<TestMapper>,
}

pub(super) struct TestDomains(pub(super) Vec<TestDomain>);

impl GrantDomains for TestDomains {
    type Domain = TestDomain;
    type Ref<'a> = &'a TestDomain;

    fn get(&self, id: DomId) -> Option<&TestDomain> {
        self.0.get(usize::from(id.0))
    }
}

impl TestMachine {
    pub(super) fn new(domains: u16, max_frames: u32, max_maptrack_frames: u32) -> Self {
        let frames = TestFrames::default();
        frames.frames.with(|all| {
            for (owner, at) in (0..domains).flat_map(|owner| (0..4).map(move |at| (owner, at))) {
                let frame = Frame {
                    owner,
                    references: 0,
                    writers: 0,
                    is_page_table: at == 3,
                };
                all.insert(u64::from(owner) * 16 + at, frame);
            }
        });
        let domain = |id| {
            let domain = TestDomain {
                id: DomId(id),
                grants: GrantTable::new(max_frames, max_maptrack_frames).expect("small"),
                entries: TestEntries::new(frames.stale.clone()),
                charged: AtomicUsize::new(0),
                charge_limit: AtomicUsize::new(usize::MAX),
            };
            domain.grants.grow(&domain, 0).expect("small");
            domain
        };
        Self {
            domains: TestDomains((0..domains).map(domain).collect()),
            frames,
            mappers: (0..domains).map(|_| TestMapper::default()).collect(),
        }
    }

    pub(super) fn domain(&self, id: u16) -> &TestDomain {
        &self.domains.0[usize::from(id)]
    }

    pub(super) fn mapper(&self, id: u16) -> BoundMapper<'_> {
        BoundMapper {
            frames: &self.frames,
            tables: &self.mappers[usize::from(id)].tables,
        }
    }

    /// Calls `f` with a context for that domain.
    pub(super) fn as_domain<R>(
        &self,
        id: u16,
        f: impl FnOnce(Context<'_, TestDomains, TestFrames, BoundMapper<'_>>) -> R,
    ) -> R {
        let mapper = self.mapper(id);
        f(Context {
            domains: &self.domains,
            caller: self.domain(id),
            frames: &self.frames,
            mapper: &mapper,
        })
    }

    pub(super) fn frame(&self, frame: u64) -> Frame {
        self.frames.frames.with(|frames| frames[&frame])
    }

    /// Checks what must hold between any two operations; panics with the invariant's name.
    pub(super) fn check(&self) {
        self.check_uses();
        self.check_writers();
        self.check_references();
        self.check_reach();
    }

    /// I1: the uses of each grant are those of the handles that name it.
    fn check_uses(&self) {
        let mut by_handles: BTreeMap<(u16, u32, u16), [u32; 4]> = BTreeMap::new();
        for mapper in &self.domains.0 {
            mapper.grants.for_each_mapping(|_, mapping| {
                let at = (mapping.granter.0, mapping.gref.0, mapper.id.0);
                let uses = by_handles.entry(at).or_default();
                let write = usize::from(mapping.access == Access::Write);
                uses[write] += u32::from(mapping.has_host);
                uses[2 + write] += u32::from(mapping.has_device);
            });
        }
        let mut active = BTreeMap::new();
        for granter in &self.domains.0 {
            for gref in 0..granter.entries.written.load(Ordering::SeqCst) {
                if let Some((grantee, _, pins)) = granter.grants.usage(GrantRef(gref)) {
                    let uses = [
                        pins.host_read,
                        pins.host_write,
                        pins.device_read,
                        pins.device_write,
                    ];
                    active.insert((granter.id.0, gref, grantee.0), uses.map(u32::from));
                }
            }
        }
        assert_eq!(by_handles, active, "I1: uses by handles, and in the table");
    }

    /// I2: who writes to a frame does so because it was in an entry that allows it, at the time.
    fn check_writers(&self) {
        for granter in &self.domains.0 {
            for gref in (0..granter.entries.written.load(Ordering::SeqCst)).map(GrantRef) {
                let usage = granter.grants.usage(gref);
                let Some((_, frame, _)) = usage.filter(|(.., pins)| pins.any_write()) else {
                    continue;
                };
                let entries = &granter.entries;
                let is_granted = entries.with_writable(gref, |writable| {
                    writable
                        .frames
                        .iter()
                        .any(|&granted| u64::from(granted) == frame.0)
                });
                assert!(is_granted, "I2: frame {frame} was not granted for writing");
            }
        }
    }

    /// I4: a frame's references are those of level-1 entries and of device uses.
    fn check_references(&self) {
        let mut expected: BTreeMap<u64, (u32, u32)> = BTreeMap::new();
        let mut count = |frame: Mfn, access: Access| {
            let counts = expected.entry(frame.0).or_default();
            counts.0 += 1;
            counts.1 += u32::from(access == Access::Write);
        };
        for mapper in &self.mappers {
            mapper.tables.with(|tables| {
                tables
                    .present
                    .values()
                    .for_each(|(frame, access)| count(*frame, *access));
                assert!(
                    tables.stale.is_empty(),
                    "I3: a stale translation outlives the operation"
                );
            });
        }
        for mapper in &self.domains.0 {
            mapper.grants.for_each_mapping(|_, mapping| {
                if mapping.has_device {
                    let granter = self.domain(mapping.granter.0);
                    let (_, frame, _) = granter.grants.usage(mapping.gref).expect("in use");
                    count(frame, mapping.access);
                }
            });
        }
        self.frames.frames.with(|frames| {
            for (number, frame) in frames {
                let (references, writers) = expected.get(number).copied().unwrap_or_default();
                assert_eq!(
                    (frame.references, frame.writers),
                    (references, writers),
                    "I4: references of frame {number:#x}"
                );
            }
        });
    }

    /// I9: whoever can reach another's frame has a use that says so.
    pub(super) fn check_reach(&self) {
        for (id, mapper) in (0u16..).zip(&self.mappers) {
            let mut reach: BTreeMap<(u64, Access), u32> = BTreeMap::new();
            mapper.tables.with(|tables| {
                for (frame, access) in tables.present.values().chain(&tables.stale) {
                    *reach.entry((frame.0, *access)).or_default() += 1;
                }
            });
            for granter in &self.domains.0 {
                for gref in 0..granter.entries.written.load(Ordering::SeqCst) {
                    let usage = granter.grants.usage(GrantRef(gref));
                    if let Some((_, frame, pins)) = usage.filter(|(grantee, ..)| grantee.0 == id) {
                        for (access, uses) in [
                            (Access::Read, pins.host_read),
                            (Access::Write, pins.host_write),
                        ] {
                            if let Some(left) = reach.get_mut(&(frame.0, access)) {
                                *left = left.saturating_sub(u32::from(uses));
                            }
                        }
                    }
                }
            }
            for ((frame, access), unaccounted) in reach {
                assert_eq!(
                    unaccounted, 0,
                    "I9: d{id} reaches frame {frame:#x} ({access:?})"
                );
            }
        }
    }
}
