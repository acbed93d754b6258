//! The rings that a guest has from its builder: to the store and to the console daemon.
//!
//! A guest of the tools runs here, not the first domain, which has none of them.

use crate::event;
use crate::hypercall::hypercall;
use crate::memory::{self, Frame};
use crate::start::start_info;
use core::mem::offset_of;
use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use guest_abi::console_ring::{ConsoleRing, OUT_SIZE};
use guest_abi::ids::{Mfn, PAGE_SIZE, Port, Vaddr};
use guest_abi::sched_op::SchedOp;
use guest_abi::store_ring::{RING_SIZE, StoreRing};
use guest_abi::store_wire::{MAX_PAYLOAD, MessageHeader, MessageType};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

/// Lets others run until something has happened, or a while has gone by.
pub(crate) fn rest() {
    let _ = hypercall!(SchedOp, SchedOp::Yield.number());
}

/// A frame of this domain that a daemon of the first one, or a driver there, works on as well.
#[derive(Clone, Copy)]
pub(crate) struct SharedFrame {
    va: Vaddr,
    port: Port,
}

impl SharedFrame {
    fn map(mfn: Mfn, port: Port) -> Self {
        let place = Frame::alloc();
        let outcome = memory::update_va_mapping(
            place.va(),
            memory::entry(mfn, memory::KERNEL_RW),
            guest_abi::mmu::UVMF_INVLPG,
        );
        assert_eq!(outcome, Ok(0), "the ring can't be mapped");
        Self {
            va: place.va(),
            port,
        }
    }

    /// A frame of this kernel's, which it grants to a back end.
    pub(crate) fn own(frame: Frame) -> Self {
        Self {
            va: frame.va(),
            port: Port(0),
        }
    }

    /// The byte at an offset.
    pub(crate) fn byte(&self, offset: usize) -> &'static AtomicU8 {
        assert!(offset < PAGE_SIZE);
        // SAFETY: the page stays mapped, and all accesses to it are atomic.
        unsafe { &*((self.va.0 + offset as u64) as *const AtomicU8) }
    }

    /// The number at an offset.
    pub(crate) fn word(&self, offset: usize) -> &'static AtomicU32 {
        assert!(offset.is_multiple_of(4) && offset <= PAGE_SIZE - 4);
        // SAFETY: aligned and within the page, which stays mapped; all accesses to it are atomic.
        unsafe { &*((self.va.0 + offset as u64) as *const AtomicU32) }
    }

    /// Tells the daemon to look.
    pub(crate) fn notify(&self) {
        assert_eq!(event::send(self.port), Ok(0));
    }
}

/// The guest's own console.
pub(crate) struct Console(SharedFrame);

impl Console {
    /// The ring that the builder has made.
    pub(crate) fn connect() -> Self {
        let info = start_info();
        Self(SharedFrame::map(info.console_mfn, info.console_evtchn))
    }

    /// Prints bytes, as many as fit into the ring. How many these are. If there is no room, others run first.
    pub(crate) fn put(&self, bytes: &[u8]) -> usize {
        let produced = self.0.word(offset_of!(ConsoleRing, out_prod));
        let consumed = self.0.word(offset_of!(ConsoleRing, out_cons));
        let at = produced.load(Ordering::Relaxed);
        let used = at.wrapping_sub(consumed.load(Ordering::Acquire)) as usize;
        let fits = bytes.len().min(OUT_SIZE.saturating_sub(used));
        for (index, &byte) in bytes[..fits].iter().enumerate() {
            let place = at.wrapping_add(index as u32) as usize % OUT_SIZE;
            let place = offset_of!(ConsoleRing, output) + place;
            self.0.byte(place).store(byte, Ordering::Relaxed);
        }
        produced.store(at.wrapping_add(fits as u32), Ordering::SeqCst);
        match fits {
            0 => rest(),
            _ => self.0.notify(),
        }
        fits
    }
}

/// Prints a line on the guest's own console, as much as fits.
pub(crate) fn print_on_console(text: &str) {
    let console = Console::connect();
    for part in [text.as_bytes(), b"\r\n"] {
        console.put(part);
    }
}

/// The connection to the store.
pub(crate) struct Store {
    /// The ring's frame.
    pub(crate) frame: SharedFrame,
    last_request: u32,
}

/// An answer.
pub(crate) struct Answer {
    /// What kind of message it is.
    pub(crate) header: MessageHeader,
    /// Its content.
    pub(crate) payload: [u8; MAX_PAYLOAD as usize],
}

impl Answer {
    /// The content, as long as it is.
    pub(crate) fn content(&self) -> &[u8] {
        &self.payload[..self.header.len as usize]
    }

    /// Whether the request was refused.
    pub(crate) fn is_error(&self) -> bool {
        self.header.message_type == MessageType::Error as u32
    }
}

impl Store {
    /// The ring that the builder has made.
    pub(crate) fn connect() -> Self {
        Self {
            frame: SharedFrame::map(start_info().store_mfn, start_info().store_evtchn),
            last_request: 0,
        }
    }

    /// Puts bytes into the ring, as many as fit. How many these are.
    pub(crate) fn put(&self, bytes: &[u8]) -> usize {
        let produced = self.frame.word(offset_of!(StoreRing, req_prod));
        let consumed = self.frame.word(offset_of!(StoreRing, req_cons));
        let at = produced.load(Ordering::Relaxed);
        let used = at.wrapping_sub(consumed.load(Ordering::Acquire)) as usize;
        let fits = bytes.len().min(RING_SIZE.saturating_sub(used));
        for (index, &byte) in bytes[..fits].iter().enumerate() {
            let place = at.wrapping_add(index as u32) as usize % RING_SIZE;
            let place = offset_of!(StoreRing, req) + place;
            self.frame.byte(place).store(byte, Ordering::Relaxed);
        }
        produced.store(at.wrapping_add(fits as u32), Ordering::SeqCst);
        fits
    }

    fn put_all(&self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let put = self.put(bytes);
            bytes = &bytes[put..];
            if put == 0 {
                rest();
            } else {
                self.frame.notify();
            }
        }
    }

    fn take_all(&self, mut into: &mut [u8]) {
        let consumed = self.frame.word(offset_of!(StoreRing, rsp_cons));
        let produced = self.frame.word(offset_of!(StoreRing, rsp_prod));
        while !into.is_empty() {
            let at = consumed.load(Ordering::Relaxed);
            let there = produced.load(Ordering::Acquire).wrapping_sub(at) as usize;
            assert!(there <= RING_SIZE, "the store's index is wrong");
            let count = into.len().min(there);
            for (index, byte) in into[..count].iter_mut().enumerate() {
                let place = at.wrapping_add(index as u32) as usize % RING_SIZE;
                let place = offset_of!(StoreRing, rsp) + place;
                *byte = self.frame.byte(place).load(Ordering::Relaxed);
            }
            into = &mut into[count..];
            if count == 0 {
                rest();
            } else {
                consumed.store(at.wrapping_add(count as u32), Ordering::SeqCst);
                self.frame.notify();
            }
        }
    }

    /// The header of the next request.
    pub(crate) fn header(
        &mut self,
        kind: MessageType,
        transaction: u32,
        len: usize,
    ) -> MessageHeader {
        self.last_request += 1;
        MessageHeader {
            message_type: kind as u32,
            req_id: self.last_request,
            tx_id: transaction,
            len: len as u32,
        }
    }

    /// Sends a request and waits for its answer. Events before it are dropped.
    pub(crate) fn ask(
        &mut self,
        kind: MessageType,
        transaction: u32,
        payload: &[&[u8]],
        answer: &mut Answer,
    ) {
        let len = payload.iter().map(|part| part.len()).sum();
        let header = self.header(kind, transaction, len);
        self.put_all(header.as_bytes());
        for part in payload {
            self.put_all(part);
        }
        loop {
            let mut bytes = [0; size_of::<MessageHeader>()];
            self.take_all(&mut bytes);
            answer.header = MessageHeader::read_from_bytes(&bytes)
                .unwrap_or_else(|_| MessageHeader::new_zeroed());
            assert!(answer.header.len <= MAX_PAYLOAD, "too long an answer");
            self.take_all(&mut answer.payload[..answer.header.len as usize]);
            if answer.header.message_type != MessageType::WatchEvent as u32 {
                assert_eq!(answer.header.req_id, self.last_request, "another's answer");
                return;
            }
        }
    }
}
