//! Mapping handles: what a domain has mapped of others' grants.
//!
//! A handle is one atomic word, and its state decides who may touch it:
//!
//! | state | meaning | leaves it by |
//! |---|---|---|
//! | `Free` | in the free list, names the next one there | allocation, under the list's lock |
//! | `Held` | in the hands of the one operation that made it so | that operation: `InUse` or `Free` |
//! | `InUse` | names a grant and the uses of it that remain | whoever exchanges it for `Held` |
//!
//! So at any moment at most one operation works on a handle, and what it learns from the word stays true
//! until it lets go. Two unmaps of one handle at once: one gets it, the other is told that there is no
//! such handle.
//!
//! Free handles wait in a queue, not a stack: a number that a guest still remembers by mistake then names
//! nothing for as long as possible.
#![forbid(unsafe_code)]

extern crate alloc;

use super::environment::{Access, GrantDomain, OutOfMemory};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Lock, rank};
use alloc::boxed::Box;
use alloc::vec::Vec;
use guest_abi::ids::{DomId, GrantRef};
use spin::once::Once;

/// Handles in a frame's worth of memory. (The model checker pays for each.)
const HANDLES_PER_FRAME: usize = if cfg!(loom) { 2 } else { 512 };

const STATE_MASK: u64 = 0b11;
const FREE: u64 = 0;
const HELD: u64 = 1;
const IN_USE: u64 = 2;
const HOST: u64 = 1 << 2;
const DEVICE: u64 = 1 << 3;
const WRITE: u64 = 1 << 4;
const BY_ENTRY: u64 = 1 << 5;
const GRANTER_SHIFT: u32 = 16;
const GREF_SHIFT: u32 = 32;

/// A handle's number. Never `u32::MAX`, which guests use for "none".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(transparent)]
pub struct Handle(pub u32);

impl Handle {
    /// Not a handle; ends the free list.
    const NONE: Self = Self(u32::MAX);
}

/// What a handle stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mapping {
    /// Whose grant.
    pub granter: DomId,
    /// Which.
    pub gref: GrantRef,
    /// How it was mapped.
    pub access: Access,
    /// A mapping for CPUs remains.
    pub has_host: bool,
    /// A mapping for devices remains.
    pub has_device: bool,
    /// The mapping for CPUs was named by the machine address of its entry.
    pub is_by_entry: bool,
}

impl Mapping {
    fn encode(self) -> u64 {
        let flag = |is_set: bool, bit: u64| if is_set { bit } else { 0 };
        IN_USE
            | flag(self.has_host, HOST)
            | flag(self.has_device, DEVICE)
            | flag(self.access == Access::Write, WRITE)
            | flag(self.is_by_entry, BY_ENTRY)
            | u64::from(self.granter.0) << GRANTER_SHIFT
            | u64::from(self.gref.0) << GREF_SHIFT
    }

    const fn decode(word: u64) -> Self {
        Self {
            granter: DomId((word >> GRANTER_SHIFT) as u16),
            gref: GrantRef((word >> GREF_SHIFT) as u32),
            access: if word & WRITE != 0 {
                Access::Write
            } else {
                Access::Read
            },
            has_host: word & HOST != 0,
            has_device: word & DEVICE != 0,
            is_by_entry: word & BY_ENTRY != 0,
        }
    }
}

/// A domain's handles.
#[derive(Debug)]
pub(super) struct Handles {
    /// Grow only; a word's address stays.
    buckets: Box<[Once<Vec<AtomicU64>>]>,
    /// Protects the links in free handles, and growth.
    free: Lock<FreeList, { rank::GRANT_HANDLES }>,
}

#[derive(Debug)]
struct FreeList {
    head: Handle,
    tail: Handle,
    nr_buckets: usize,
}

/// A handle in the hands of one operation, which puts it into use or frees it.
#[must_use = "a handle that is dropped is lost"]
#[derive(Debug)]
pub(super) struct Held<'a> {
    handles: &'a Handles,
    word: &'a AtomicU64,
    number: Handle,
}

impl Held<'_> {
    pub(super) const fn number(&self) -> Handle {
        self.number
    }

    /// Puts the handle (back) into use, or frees it if nothing remains mapped.
    pub(super) fn put(self, mapping: Mapping) {
        if mapping.has_host || mapping.has_device {
            self.word.store(mapping.encode(), Ordering::Release);
        } else {
            self.free();
        }
    }

    /// Gives the handle back.
    pub(super) fn free(self) {
        self.handles
            .append(&mut self.handles.free.lock(), self.number, self.word);
    }
}

impl Handles {
    /// None, and at most `max_frames` frames of them.
    pub(super) fn new(max_frames: u32) -> Result<Self, OutOfMemory> {
        // The number NONE must stay unused.
        let most = (Handle::NONE.0 as usize) / HANDLES_PER_FRAME;
        let max_frames = (max_frames as usize).min(most);
        let mut buckets = Vec::new();
        buckets
            .try_reserve_exact(max_frames)
            .map_err(|_| OutOfMemory)?;
        buckets.extend((0..max_frames).map(|_| Once::new()));
        Ok(Self {
            buckets: buckets.into_boxed_slice(),
            free: Lock::new(FreeList {
                head: Handle::NONE,
                tail: Handle::NONE,
                nr_buckets: 0,
            }),
        })
    }

    /// Takes a free handle.
    pub(super) fn allocate<D: GrantDomain>(&self, domain: &D) -> Result<Held<'_>, OutOfMemory> {
        let mut free = self.free.lock();
        if free.head == Handle::NONE {
            self.grow(&mut free, domain)?;
        }
        let number = free.head;
        let word = self.word(number).ok_or(OutOfMemory)?;
        // No order needed: free words change under this lock only.
        free.head = Handle((word.load(Ordering::Relaxed) >> GREF_SHIFT) as u32);
        if free.head == Handle::NONE {
            free.tail = Handle::NONE;
        }
        word.store(HELD, Ordering::Relaxed);
        Ok(Held {
            handles: self,
            word,
            number,
        })
    }

    /// Takes a handle that is in use away from everybody else, to work on it.
    pub(super) fn hold(&self, number: Handle) -> Option<(Held<'_>, Mapping)> {
        let word = self.word(number)?;
        let now = word.load(Ordering::Acquire);
        if now & STATE_MASK != IN_USE {
            return None;
        }
        // If it changes right now, then by an operation that has it.
        word.compare_exchange(now, HELD, Ordering::Acquire, Ordering::Relaxed)
            .ok()?;
        Some((
            Held {
                handles: self,
                word,
                number,
            },
            Mapping::decode(now),
        ))
    }

    /// One past the highest number in existence.
    pub(super) fn limit(&self) -> u32 {
        (self.free.lock().nr_buckets * HANDLES_PER_FRAME) as u32
    }

    /// What a handle stands for now. For checks and dumps.
    pub(super) fn mapping(&self, number: Handle) -> Option<Mapping> {
        let word = self.word(number)?.load(Ordering::Acquire);
        (word & STATE_MASK == IN_USE).then(|| Mapping::decode(word))
    }

    fn word(&self, number: Handle) -> Option<&AtomicU64> {
        let index =
            crate::speculation::index(number.0 as usize, self.buckets.len() * HANDLES_PER_FRAME)?;
        self.buckets
            .get(index / HANDLES_PER_FRAME)?
            .get()?
            .get(index % HANDLES_PER_FRAME)
    }

    fn grow<D: GrantDomain>(&self, free: &mut FreeList, domain: &D) -> Result<(), OutOfMemory> {
        let once = self.buckets.get(free.nr_buckets).ok_or(OutOfMemory)?;
        let bytes = HANDLES_PER_FRAME * size_of::<AtomicU64>();
        domain.charge(bytes)?;
        let mut bucket = Vec::new();
        if bucket.try_reserve_exact(HANDLES_PER_FRAME).is_err() {
            domain.uncharge(bytes);
            return Err(OutOfMemory);
        }
        bucket.resize_with(HANDLES_PER_FRAME, || AtomicU64::new(HELD));
        let first = (free.nr_buckets * HANDLES_PER_FRAME) as u32;
        let words = once.call_once(|| bucket);
        free.nr_buckets += 1;
        for (number, word) in (first..).zip(words) {
            self.append(free, Handle(number), word);
        }
        Ok(())
    }

    fn append(&self, free: &mut FreeList, number: Handle, word: &AtomicU64) {
        let link = |next: Handle| FREE | u64::from(next.0) << GREF_SHIFT;
        word.store(link(Handle::NONE), Ordering::Release);
        match self.word(free.tail) {
            Some(tail) => tail.store(link(number), Ordering::Relaxed),
            None => free.head = number,
        }
        free.tail = number;
    }
}
