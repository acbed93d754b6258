//! A ring that a front end has made.

use crate::chance::Chance;
use crate::event;
use crate::memory::Frame;
use crate::shared_ring::SharedFrame;
use core::sync::atomic::Ordering;
use guest_abi::ids::{DomId, GrantRef, Port};
use guest_abi::ring::{ENTRIES_AT, REQ_EVENT_AT, REQ_PROD_AT, RSP_EVENT_AT, RSP_PROD_AT};

const INDICES: [usize; 4] = [REQ_PROD_AT, REQ_EVENT_AT, RSP_PROD_AT, RSP_EVENT_AT];

pub(super) struct Ring {
    pub(super) frame: Frame,
    pub(super) gref: GrantRef,
    shared: SharedFrame,
    entry_size: usize,
    /// Entries, a power of two.
    pub(super) entries: u32,
    /// Behind the last request.
    pub(super) produced: u32,
}

impl Ring {
    pub(super) fn new(frame: Frame, gref: GrantRef, entry_size: usize, entries: u32) -> Self {
        Self {
            frame,
            gref,
            shared: SharedFrame::own(frame),
            entry_size,
            entries,
            produced: 0,
        }
    }

    /// As it is at first. The back end must not have it mapped.
    pub(super) fn empty(&mut self) {
        for index in 0..512 {
            self.frame.write(index, 0);
        }
        self.word(REQ_EVENT_AT).store(1, Ordering::SeqCst);
        self.word(RSP_EVENT_AT).store(1, Ordering::SeqCst);
        self.produced = 0;
    }

    fn word(&self, at: usize) -> &core::sync::atomic::AtomicU32 {
        self.shared.word(at)
    }

    /// Puts a request into the next entry, or as much as an entry takes.
    pub(super) fn put(&mut self, request: &[u8]) {
        let place = ENTRIES_AT + (self.produced % self.entries) as usize * self.entry_size;
        for (offset, &byte) in request.iter().take(self.entry_size).enumerate() {
            self.shared
                .byte(place + offset)
                .store(byte, Ordering::Relaxed);
        }
        self.produced = self.produced.wrapping_add(1);
    }

    /// Lets the back end see all that was put.
    pub(super) fn publish(&self) {
        self.word(REQ_PROD_AT)
            .store(self.produced, Ordering::SeqCst);
    }

    /// Behind the last answer, as the ring says.
    pub(super) fn answered(&self) -> u32 {
        self.word(RSP_PROD_AT).load(Ordering::Acquire)
    }

    /// A byte of an answer.
    pub(super) fn answer_byte(&self, index: u32, offset: usize) -> u8 {
        let place = ENTRIES_AT + (index % self.entries) as usize * self.entry_size;
        self.shared.byte(place + offset).load(Ordering::Relaxed)
    }

    /// How many requests may be put.
    pub(super) fn room(&self) -> u32 {
        self.entries
            .saturating_sub(self.produced.wrapping_sub(self.answered()))
    }

    /// Says that there are requests far beyond the ring's end.
    pub(super) fn run_ahead(&self, chance: &mut Chance) {
        let ahead = match chance.below(3) {
            0 => self.entries + 1,
            1 => u32::MAX / 2,
            _ => chance.below(1 << 32) as u32,
        };
        self.word(REQ_PROD_AT)
            .store(self.produced.wrapping_add(ahead), Ordering::SeqCst);
    }

    /// Writes what the back end writes, and where it waits, while it reads.
    pub(super) fn move_indices(&self, chance: &mut Chance) {
        for _ in 0..200 {
            let at = INDICES[1 + chance.below(3) as usize];
            self.word(at)
                .store(chance.below(1 << 32) as u32, Ordering::SeqCst);
        }
        // An honest front end waits for its answers again.
        self.word(RSP_EVENT_AT)
            .store(self.produced, Ordering::SeqCst);
    }

    /// Changes entries while the back end reads them.
    pub(super) fn scribble(&self, chance: &mut Chance) {
        let bytes = self.entries as usize * self.entry_size;
        for _ in 0..500 {
            let at = ENTRIES_AT + chance.below(bytes as u64) as usize;
            self.shared
                .byte(at)
                .store(chance.below(256) as u8, Ordering::Relaxed);
        }
    }
}

/// A port that the back end connects to.
pub(super) fn new_port() -> Port {
    event::alloc_unbound(DomId::SELF, DomId::DOM0).unwrap_or_else(|error| panic!("{error:?}"))
}

/// Tells the back end to look, if there is one.
pub(super) fn notify(port: Port) {
    let _ = event::send(port);
}
