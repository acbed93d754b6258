//! A domain as the grant room sees it, and that room's view of frames and page tables.
//!
//! Lock order here is that of [`crate::grant`]: its locks of rank `GRANT_TABLE` and `GRANT_HANDLES` are held
//! when memory is charged and allocated; none is when frames are referenced or page tables changed.
#![forbid(unsafe_code)]

use super::charge::{Charge, OverLimit};
use super::domains::{Domain, Domains};
use crate::arch::memory::{self, Machine, mm};
use crate::arch::shared::GrantFramePlace;
use crate::arch::tlb;
use crate::control::create::Plan;
use crate::grant::{
    Access, FrameError, Frames, GrantDomain, GrantDomains, GrantTable, HostMapping, HostTarget,
    MapError, Mapper, OutOfMemory, SharedEntries,
};
use crate::mm::error::MmError;
use crate::mm::granted::place_at;
use crate::mm::lock::PtLock;
use crate::mm::pte;
use crate::mm::reference::{FrameRef, Mm, WritableRef};
use crate::mm::walk::L1Place;
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use guest_abi::grant_table::ENTRIES_PER_FRAME_V1;
use guest_abi::ids::{DomId, GrantRef, Mfn, PAGE_SIZE, Vaddr};
use spin::Once;

/// The frames of one domain's table, which it maps and writes at any time.
pub(crate) struct GrantFrames {
    owner: DomId,
    /// Pays for them.
    charge: Arc<Charge>,
    /// In order; the first `count` are there. They grow only.
    frames: Box<[Once<(Mfn, GrantFramePlace)>]>,
    count: AtomicU32,
    /// They were given up.
    is_retired: AtomicBool,
}

/// A domain's grant table and its frames.
pub(crate) struct DomainGrants {
    table: GrantTable,
    frames: GrantFrames,
}

impl DomainGrants {
    /// A table without frames, which are charged to `charge`.
    pub(crate) fn new(owner: DomId, charge: Arc<Charge>, plan: &Plan) -> Result<Self, OutOfMemory> {
        Ok(Self {
            table: GrantTable::new(plan.max_grant_frames, plan.max_maptrack_frames)?,
            frames: GrantFrames {
                owner,
                charge,
                frames: (0..plan.max_grant_frames).map(|_| Once::new()).collect(),
                count: AtomicU32::new(0),
                is_retired: AtomicBool::new(false),
            },
        })
    }
}

impl GrantFrames {
    /// The frames, once: for whoever gives them up.
    pub(super) fn retire(&self) -> impl Iterator<Item = Mfn> {
        let is_first = !self.is_retired.swap(true, Ordering::AcqRel);
        let frames = self.frames.iter().filter(move |_| is_first);
        frames.map_while(|frame| frame.get().map(|(mfn, _)| *mfn))
    }

    /// Whether somebody gives them up, or has. Who does has said before that a frame is expected.
    pub(super) fn are_retired(&self) -> bool {
        self.is_retired.load(Ordering::Acquire)
    }

    /// The frame that holds an entry, and the entry's place in it.
    fn entry(&self, gref: GrantRef) -> (GrantFramePlace, usize) {
        let (frame, index) = (gref.0 / ENTRIES_PER_FRAME_V1, gref.0 % ENTRIES_PER_FRAME_V1);
        let place = self.frames.get(frame as usize).and_then(Once::get);
        // The room asks for entries that exist only.
        let (_, place) = place.expect("a grant entry that the table does not have");
        (*place, index as usize)
    }
}

impl SharedEntries for GrantFrames {
    fn load_head(&self, gref: GrantRef) -> u32 {
        let (place, index) = self.entry(gref);
        place.head(index).load(Ordering::SeqCst)
    }
    fn exchange_head(&self, gref: GrantRef, old: u32, new: u32) -> Result<(), u32> {
        let (place, index) = self.entry(gref);
        place
            .head(index)
            .compare_exchange(old, new, Ordering::SeqCst, Ordering::SeqCst)
            .map(|_| ())
    }
    fn clear_flags(&self, gref: GrantRef, bits: u16) {
        let (place, index) = self.entry(gref);
        place
            .head(index)
            .fetch_and(!u32::from(bits), Ordering::SeqCst);
    }
    fn load_frame(&self, gref: GrantRef) -> u32 {
        let (place, index) = self.entry(gref);
        place.frame(index).load(Ordering::SeqCst)
    }
    fn add_frame(&self) -> Result<(), OutOfMemory> {
        let count = self.count.load(Ordering::Relaxed);
        let next = self.frames.get(count as usize).ok_or(OutOfMemory)?;
        self.charge
            .add(PAGE_SIZE)
            .map_err(|OverLimit| OutOfMemory)?;
        let Some(frame) = memory::share_grant_frame(self.owner) else {
            self.charge.remove(PAGE_SIZE);
            return Err(OutOfMemory);
        };
        next.call_once(|| frame);
        self.count.store(count.saturating_add(1), Ordering::Release);
        Ok(())
    }
    fn frame(&self, index: u32) -> Option<Mfn> {
        let (mfn, _) = self.frames.get(index as usize)?.get()?;
        Some(*mfn)
    }
}

impl GrantDomain for Domain {
    type Entries = GrantFrames;

    fn id(&self) -> DomId {
        self.id
    }
    fn grants(&self) -> &GrantTable {
        &self.grants.table
    }
    fn entries(&self) -> &GrantFrames {
        &self.grants.frames
    }
    fn charge(&self, bytes: usize) -> Result<(), OutOfMemory> {
        self.charge.add(bytes).map_err(|OverLimit| OutOfMemory)
    }
    fn uncharge(&self, bytes: usize) {
        self.charge.remove(bytes);
    }
    fn last_use_ended(&self) {
        if self.is_ending() {
            self.give_up_grant_frames();
            Domains.reap(self.id);
        }
    }
}

impl GrantDomains for Domains {
    type Domain = Domain;
    type Ref<'a> = Arc<Domain>;

    fn get(&self, id: DomId) -> Option<Arc<Domain>> {
        self.find(id)
    }
}

/// The machine's frames, for what `user` does with grants.
pub(crate) struct GrantedFrames {
    pub(crate) user: DomId,
}

impl Frames for GrantedFrames {
    fn get(&self, owner: DomId, frame: Mfn, access: Access) -> Result<(), FrameError> {
        let result = match access {
            // The frame is remembered by whoever asks: an entry, a use, a copy.
            Access::Read => mm()
                .get_grantable(frame, owner)
                .map(|reference| _ = reference.remember()),
            Access::Write => mm()
                .get_grantable_for_writing(frame, owner, self.user)
                .map(|reference| _ = reference.remember()),
        };
        result.map_err(|error| match error {
            MmError::BadFrame | MmError::WrongOwner => FrameError::NotOwned,
            _ => FrameError::TypeConflict,
        })
    }

    fn put(&self, frame: Mfn, access: Access) {
        match access {
            Access::Read => mm().put_frame(FrameRef::recall(frame)),
            Access::Write => mm().put_writable_frame(WritableRef::recall(frame)),
        }
    }

    fn copy(&self, from: (Mfn, u16), to: (Mfn, u16), len: u16) {
        memory::copy_bytes(from, to, len);
    }
}

/// The page tables of the domain that calls, under the kernel root of the vCPU that calls.
pub(crate) struct CallersTables<'a> {
    pub(crate) domain: &'a Domain,
    pub(crate) root: Mfn,
}

impl CallersTables<'_> {
    /// Does `work` with the page-table lock and the place of `target`.
    fn at(
        &self,
        target: HostTarget,
        work: impl FnOnce(&Mm<'_, Machine>, &mut PtLock<'_>, L1Place) -> Result<(), MmError>,
    ) -> Result<(), MapError> {
        let result = self.domain.with_tables(|lock| {
            let mm = mm();
            let place = match target {
                HostTarget::Address(address) => mm.walk(lock, self.root, address)?,
                HostTarget::Entry(address) => place_at(address),
            };
            work(&mm, lock, place)
        });
        result.map_err(|_| MapError)
    }
}

/// The references of an entry for a granted frame.
const fn references(frame: Mfn, access: Access) -> u64 {
    let flags = match access {
        Access::Read => pte::PRESENT,
        Access::Write => pte::PRESENT | pte::WRITABLE,
    };
    frame.address() | flags
}

impl Mapper for CallersTables<'_> {
    fn create(&self, mapping: &HostMapping) -> Result<(), MapError> {
        let entry = references(mapping.frame, mapping.access)
            | pte::ACCESSED
            | pte::DIRTY
            | pte::NO_EXECUTE
            | if mapping.is_user { pte::USER } else { 0 }
            | u64::from(mapping.available_bits) << 9 & pte::AVAILABLE_LOW;
        self.at(mapping.target, |mm, lock, place| {
            mm.install_granted(lock, place, entry)
        })
    }

    fn destroy(&self, target: HostTarget, frame: Mfn, access: Access) -> Result<(), MapError> {
        self.at(target, |mm, lock, place| {
            mm.take_granted(lock, place, references(frame, access))
        })
    }

    fn replace(
        &self,
        target: Vaddr,
        frame: Mfn,
        access: Access,
        source: Vaddr,
    ) -> Result<(), MapError> {
        self.at(HostTarget::Address(target), |mm, lock, place| {
            let source = mm.walk(lock, self.root, source)?;
            mm.replace_granted(lock, place, references(frame, access), source)
        })
    }

    fn flush(&self) {
        tlb::flush_domain(self.domain.id());
    }
}
