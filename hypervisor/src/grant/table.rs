//! A domain's grant table: the hypervisor's side of the shared entries, and its mapping handles.
#![forbid(unsafe_code)]

extern crate alloc;

use super::active::{Active, Kind, Pins};
use super::environment::{Access, GrantDomain, OutOfMemory, SharedEntries};
use super::handles::{Handle, Handles, Mapping};
use crate::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use crate::sync::{Lock, rank};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use guest_abi::errno::Errno;
use guest_abi::grant_op::GrantStatus;
use guest_abi::grant_table::{AccessFlags, ENTRIES_PER_FRAME_V1};
use guest_abi::ids::{DomId, GrantRef, Mfn};
use spin::once::Once;

/// Entries of one shared frame. (The model checker pays for each lock.)
const ENTRIES: usize = if cfg!(loom) {
    2
} else {
    ENTRIES_PER_FRAME_V1 as usize
};
/// Shared frames that a new table has.
const INITIAL_FRAMES: u32 = 1;
/// The only format offered.
const VERSION: u32 = 1;

type Entry = Lock<Active, { rank::GRANT_ENTRY }>;

/// A domain's grant table.
#[derive(Debug)]
pub struct GrantTable {
    /// Use of each entry, a bucket for each shared frame. Grow only; an entry's address stays.
    active: Box<[Once<Vec<Entry>>]>,
    /// Shared frames, all of them with their bucket.
    nr_frames: AtomicU32,
    /// Held while a frame is added.
    growth: Lock<(), { rank::GRANT_TABLE }>,
    /// Entries that are in use.
    nr_in_use: AtomicU32,
    /// The domain is being destroyed: no new uses.
    is_closed: AtomicBool,
    handles: Handles,
}

/// Why a table does not grow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GrowError {
    /// More frames than the domain may have.
    TooMany,
    /// No memory for it.
    NoMemory,
}

impl From<GrowError> for GrantStatus {
    fn from(_: GrowError) -> Self {
        Self::GeneralError
    }
}

impl fmt::Display for GrowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooMany => "more grant frames than the domain's limit",
            Self::NoMemory => "no memory for a grant frame",
        })
    }
}

/// One use of a grant, begun and to be [ended](Self::end).
#[must_use = "a use that is not ended keeps the grant for ever"]
#[derive(Debug)]
pub(super) struct Use {
    pub(super) gref: GrantRef,
    pub(super) access: Access,
    pub(super) kind: Kind,
}

impl Use {
    /// Ends the use. The caller has given up its reference on the frame before, and with it every way to
    /// reach the frame: from here on the granter may give it to somebody else.
    pub(super) fn end<D: GrantDomain>(self, granter: &D) {
        let table = granter.grants();
        let Some(entry) = table.entry(self.gref) else {
            return;
        };
        let mut active = entry.lock();
        active.unpin(granter.entries(), self.gref, self.access, self.kind);
        let is_last = !active.pins.any() && table.nr_in_use.fetch_sub(1, Ordering::AcqRel) == 1;
        drop(active);
        if is_last && table.is_closed.load(Ordering::SeqCst) {
            granter.last_use_ended();
        }
    }
}

impl GrantTable {
    /// A table without frames, for at most `max_frames` of them, and for handles in at most
    /// `max_maptrack_frames` frames. [`grow`](Self::grow) it to one frame before the domain is built.
    pub fn new(max_frames: u32, max_maptrack_frames: u32) -> Result<Self, OutOfMemory> {
        let mut active = Vec::new();
        active
            .try_reserve_exact(max_frames as usize)
            .map_err(|_| OutOfMemory)?;
        active.extend((0..max_frames).map(|_| Once::new()));
        Ok(Self {
            active: active.into_boxed_slice(),
            nr_frames: AtomicU32::new(0),
            growth: Lock::new(()),
            nr_in_use: AtomicU32::new(0),
            is_closed: AtomicBool::new(false),
            handles: Handles::new(max_maptrack_frames)?,
        })
    }

    /// The domain's handles on others' grants.
    pub(super) const fn handles(&self) -> &Handles {
        &self.handles
    }

    /// `GNTTABOP_query_size`: shared frames now and at most.
    #[must_use]
    pub fn size(&self) -> (u32, u32) {
        (
            self.nr_frames.load(Ordering::Acquire),
            self.active.len() as u32,
        )
    }

    /// Number of entries that exist.
    #[must_use]
    pub fn nr_entries(&self) -> usize {
        self.size().0 as usize * ENTRIES
    }

    /// Makes the table at least `nr_frames` large (and never empty).
    pub fn grow<D: GrantDomain>(&self, domain: &D, nr_frames: u32) -> Result<(), GrowError> {
        let wanted = nr_frames.max(INITIAL_FRAMES);
        if wanted as usize > self.active.len() {
            return Err(GrowError::TooMany);
        }
        let _growth = self.growth.lock();
        if self.is_closed.load(Ordering::SeqCst) {
            return Err(GrowError::NoMemory);
        }
        let mut now = self.nr_frames.load(Ordering::Acquire);
        while now < wanted {
            self.add_frame(domain, now)
                .map_err(|OutOfMemory| GrowError::NoMemory)?;
            now = now.saturating_add(1);
            self.nr_frames.store(now, Ordering::Release);
        }
        Ok(())
    }

    fn add_frame<D: GrantDomain>(&self, domain: &D, index: u32) -> Result<(), OutOfMemory> {
        let once = self.active.get(index as usize).ok_or(OutOfMemory)?;
        // A bucket may be here already, from an attempt that found no memory for the shared frame.
        if once.get().is_none() {
            let bytes = ENTRIES * size_of::<Entry>();
            domain.charge(bytes)?;
            let mut bucket = Vec::new();
            if bucket.try_reserve_exact(ENTRIES).is_err() {
                domain.uncharge(bytes);
                return Err(OutOfMemory);
            }
            bucket.resize_with(ENTRIES, || Lock::new(Active::IDLE));
            once.call_once(|| bucket);
        }
        domain.entries().add_frame()
    }

    /// `GNTTABOP_setup_table`: grows the table if need be. The frames to list are
    /// [`SharedEntries::frame`] of 0 to `nr_frames`.
    pub fn set_up<D: GrantDomain>(&self, domain: &D, nr_frames: u32) -> GrantStatus {
        match self.grow(domain, nr_frames) {
            Ok(()) => GrantStatus::Okay,
            Err(error) => error.into(),
        }
    }

    /// `GNTTABOP_get_version`, and what `GNTTABOP_set_version` reports as in effect.
    #[must_use]
    pub const fn version(&self) -> u32 {
        VERSION
    }

    /// `GNTTABOP_set_version`: the format is version 1 and stays so.
    pub const fn set_version(&self, wanted: u32) -> Result<(), Errno> {
        match wanted {
            VERSION => Ok(()),
            2 => Err(Errno::ENOSYS),
            _ => Err(Errno::EINVAL),
        }
    }

    /// `GNTTABOP_get_status_frames`: a table of version 1 has none.
    #[must_use]
    pub const fn status_frames(&self, nr_frames: u32) -> GrantStatus {
        if nr_frames == 0 {
            GrantStatus::Okay
        } else {
            GrantStatus::GeneralError
        }
    }

    /// Refuses new uses of this table's grants, and new frames, from now on: the domain is being destroyed. When it
    /// returns, every use that has begun is counted.
    pub fn close_for_good(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
        drop(self.growth.lock());
        for gref in (0..self.nr_entries() as u32).map(GrantRef) {
            if let Some(entry) = self.entry(gref) {
                drop(entry.lock());
            }
        }
    }

    fn entry(&self, gref: GrantRef) -> Option<&Entry> {
        let index = crate::speculation::index(gref.0 as usize, self.nr_entries())?;
        self.active
            .get(index / ENTRIES)?
            .get()?
            .get(index % ENTRIES)
    }

    /// Begins a use of a grant of `granter` for each of `kinds`, which has one or two. The caller turns
    /// the frame number into a reference next, and ends the uses if it can't.
    pub(super) fn begin<D: GrantDomain>(
        granter: &D,
        gref: GrantRef,
        grantee: DomId,
        access: Access,
        kinds: &[Kind],
        refused_flags: AccessFlags,
    ) -> Result<Mfn, GrantStatus> {
        let table = granter.grants();
        let entry = table.entry(gref).ok_or(GrantStatus::BadGntref)?;
        let mut active = entry.lock();
        // Under the lock, which `close_for_good` takes after it has closed.
        if table.is_closed.load(Ordering::SeqCst) {
            return Err(GrantStatus::GeneralError);
        }
        let was_in_use = active.pins.any();
        let frame = active.pin(
            granter.entries(),
            gref,
            grantee,
            access,
            kinds,
            refused_flags,
        )?;
        if !was_in_use {
            table.nr_in_use.fetch_add(1, Ordering::Relaxed);
        }
        Ok(frame)
    }

    /// Whether some grant is in use. A domain of which this is true must not be freed, dead or not, and
    /// its number not be given to another: handles name it by number.
    #[must_use]
    pub fn is_in_use(&self) -> bool {
        self.nr_in_use.load(Ordering::Acquire) != 0
    }

    /// How many entries somebody uses.
    #[must_use]
    pub fn uses(&self) -> u32 {
        self.nr_in_use.load(Ordering::Relaxed)
    }

    /// How many handles there are, in use or free. They grow only.
    #[must_use]
    pub fn nr_handles(&self) -> u32 {
        self.handles.limit()
    }

    /// The frame of a grant in which the caller has a use.
    pub(super) fn frame_in_use(&self, gref: GrantRef) -> Option<Mfn> {
        let active = *self.entry(gref)?.lock();
        debug_assert!(active.pins.any(), "{gref} is not in use");
        active.pins.any().then_some(Mfn(u64::from(active.frame)))
    }

    /// Calls `each` with what the domain's handles stand for, those left out that an operation works on.
    /// For checks and dumps.
    pub fn for_each_mapping(&self, mut each: impl FnMut(Handle, Mapping)) {
        for number in (0..self.handles.limit()).map(Handle) {
            if let Some(mapping) = self.handles.mapping(number) {
                each(number, mapping);
            }
        }
    }

    /// Who uses a grant, which frame, and how much. For checks and dumps.
    #[must_use]
    pub fn usage(&self, gref: GrantRef) -> Option<(DomId, Mfn, Pins)> {
        let active = *self.entry(gref)?.lock();
        active
            .pins
            .any()
            .then(|| (active.grantee, Mfn(u64::from(active.frame)), active.pins))
    }
}
