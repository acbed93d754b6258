//! A guest's ring as a [`Transport`].
//!
//! The guest can write every byte of it at any time. The daemon's own indices are kept outside and only
//! published to the ring; the guest's are read once for each use and checked.

use super::transport::{Broken, Positions, Transport};
use guest_abi::store_ring::{ConnectionState, RING_SIZE, StoreFeatures, StoreRing};
use std::mem::offset_of;

const MASK: u32 = RING_SIZE as u32 - 1;

/// A frame that is shared with a guest, by byte offsets in it.
pub trait RingMemory {
    /// Copies out of it.
    fn read(&self, offset: usize, into: &mut [u8]);
    /// Copies into it.
    fn write(&self, offset: usize, from: &[u8]);
    /// Reads an aligned number, before anything that is read after.
    fn load(&self, offset: usize) -> u32;
    /// Writes an aligned number, after everything that was written before, and before anything that is
    /// read after.
    fn store(&self, offset: usize, value: u32);
}

/// The event channel of a ring.
pub trait Doorbell {
    /// Wakes the guest.
    fn ring(&mut self);
}

/// See the module.
pub struct Ring<M, D> {
    memory: M,
    doorbell: D,
    positions: Positions,
    /// Up to where the guest knows that requests have been taken.
    released: u32,
    must_wake: bool,
}

impl<M: RingMemory, D: Doorbell> Ring<M, D> {
    /// Takes up a ring where it is.
    pub fn new(memory: M, doorbell: D) -> Self {
        let positions = Positions {
            taken: memory.load(offset_of!(StoreRing, req_cons)),
            sent: memory.load(offset_of!(StoreRing, rsp_prod)),
        };
        let features = StoreFeatures::RECONNECTION | StoreFeatures::ERROR;
        memory.store(offset_of!(StoreRing, server_features), features.bits());
        Self {
            memory,
            doorbell,
            positions,
            released: positions.taken,
            // Whatever the guest did before it knew of us has woken nobody.
            must_wake: true,
        }
    }
}

impl<M: RingMemory, D: Doorbell> Transport for Ring<M, D> {
    fn receive(&mut self, into: &mut [u8]) -> Result<usize, Broken> {
        let produced = self.memory.load(offset_of!(StoreRing, req_prod));
        let available = produced.wrapping_sub(self.positions.taken) as usize;
        if available > RING_SIZE {
            return Err(Broken::RingIndex);
        }
        let wanted = into.len().min(available);
        let start = (self.positions.taken & MASK) as usize;
        let (first, second) = into.split_at_mut(wanted.min(RING_SIZE - start));
        let second = second.get_mut(..wanted - first.len()).unwrap_or_default();
        self.memory.read(offset_of!(StoreRing, req) + start, first);
        self.memory.read(offset_of!(StoreRing, req), second);
        self.positions.taken = self.positions.taken.wrapping_add(wanted as u32);
        Ok(wanted)
    }

    fn send(&mut self, bytes: &[u8]) -> Result<usize, Broken> {
        let consumed = self.memory.load(offset_of!(StoreRing, rsp_cons));
        let used = self.positions.sent.wrapping_sub(consumed) as usize;
        if used > RING_SIZE {
            return Err(Broken::RingIndex);
        }
        let fits = bytes.len().min(RING_SIZE - used);
        let start = (self.positions.sent & MASK) as usize;
        let (first, rest) = bytes.split_at(fits.min(RING_SIZE - start));
        let second = rest.get(..fits - first.len()).unwrap_or_default();
        self.memory.write(offset_of!(StoreRing, rsp) + start, first);
        self.memory.write(offset_of!(StoreRing, rsp), second);
        if fits > 0 {
            self.positions.sent = self.positions.sent.wrapping_add(fits as u32);
            self.memory
                .store(offset_of!(StoreRing, rsp_prod), self.positions.sent);
            self.must_wake = true;
        }
        Ok(fits)
    }

    fn release_taken(&mut self) {
        if self.released != self.positions.taken {
            self.released = self.positions.taken;
            self.memory
                .store(offset_of!(StoreRing, req_cons), self.released);
            self.must_wake = true;
        }
    }

    fn finish_turn(&mut self) {
        if std::mem::take(&mut self.must_wake) {
            self.doorbell.ring();
        }
    }

    fn positions(&self) -> Option<Positions> {
        Some(self.positions)
    }

    fn resume(&mut self, positions: Positions, unsent: usize) -> usize {
        // The former daemon put bytes into the ring after it had written down that it would.
        let in_ring = self.memory.load(offset_of!(StoreRing, rsp_prod));
        let sent = in_ring.wrapping_sub(positions.sent) as usize;
        let sent = sent.min(unsent);
        self.positions = Positions {
            taken: positions.taken,
            sent: positions.sent.wrapping_add(sent as u32),
        };
        self.released = self.positions.taken;
        let (taken, put) = (self.positions.taken, self.positions.sent);
        self.memory.store(offset_of!(StoreRing, req_cons), taken);
        self.memory.store(offset_of!(StoreRing, rsp_prod), put);
        self.must_wake = true;
        sent
    }

    fn take_reconnect(&mut self) -> bool {
        let state = self.memory.load(offset_of!(StoreRing, connection));
        if state != ConnectionState::Reconnect as u32 {
            return false;
        }
        self.positions = Positions::default();
        self.released = 0;
        for index in [
            offset_of!(StoreRing, req_cons),
            offset_of!(StoreRing, req_prod),
            offset_of!(StoreRing, rsp_cons),
            offset_of!(StoreRing, rsp_prod),
            offset_of!(StoreRing, error),
        ] {
            self.memory.store(index, 0);
        }
        let connected = ConnectionState::Connected as u32;
        self.memory
            .store(offset_of!(StoreRing, connection), connected);
        self.must_wake = true;
        true
    }

    fn fail(&mut self, why: Broken) {
        let error = why.ring_error() as u32;
        self.memory.store(offset_of!(StoreRing, error), error);
        self.doorbell.ring();
    }
}

pub mod in_memory {
    //! A frame whose guest is in the same process.

    use super::{Doorbell, RingMemory};
    use guest_abi::ids::PAGE_SIZE;
    use guest_abi::store_ring::{RING_SIZE, StoreRing};
    use std::cell::{Cell, RefCell};
    use std::mem::offset_of;
    use std::rc::Rc;

    /// The frame, and how often its guest has been woken.
    #[derive(Clone)]
    pub struct SharedFrame {
        bytes: Rc<RefCell<[u8; PAGE_SIZE]>>,
        wakes: Rc<Cell<u64>>,
    }

    impl Default for SharedFrame {
        fn default() -> Self {
            Self {
                bytes: Rc::new(RefCell::new([0; PAGE_SIZE])),
                wakes: Rc::default(),
            }
        }
    }

    impl RingMemory for SharedFrame {
        fn read(&self, offset: usize, into: &mut [u8]) {
            let bytes = self.bytes.borrow();
            if let Some(from) = bytes.get(offset..offset + into.len()) {
                into.copy_from_slice(from);
            }
        }

        fn write(&self, offset: usize, from: &[u8]) {
            let mut bytes = self.bytes.borrow_mut();
            if let Some(into) = bytes.get_mut(offset..offset + from.len()) {
                into.copy_from_slice(from);
            }
        }

        fn load(&self, offset: usize) -> u32 {
            let mut number = [0; 4];
            self.read(offset, &mut number);
            u32::from_le_bytes(number)
        }

        fn store(&self, offset: usize, value: u32) {
            self.write(offset, &value.to_le_bytes());
        }
    }

    impl Doorbell for SharedFrame {
        fn ring(&mut self) {
            self.wakes.set(self.wakes.get() + 1);
        }
    }

    impl SharedFrame {
        /// How often the guest has been woken.
        #[must_use]
        pub fn wakes(&self) -> u64 {
            self.wakes.get()
        }

        /// Puts as many bytes as there is room for, as a guest does; returns how many.
        pub fn guest_send(&self, bytes: &[u8]) -> usize {
            let produced = self.load(offset_of!(StoreRing, req_prod));
            let consumed = self.load(offset_of!(StoreRing, req_cons));
            let used = produced.wrapping_sub(consumed) as usize;
            let fits = bytes.len().min(RING_SIZE.saturating_sub(used));
            for (at, &byte) in bytes.iter().take(fits).enumerate() {
                let index = (produced as usize + at) % RING_SIZE;
                self.write(offset_of!(StoreRing, req) + index, &[byte]);
            }
            let produced = produced.wrapping_add(fits as u32);
            self.store(offset_of!(StoreRing, req_prod), produced);
            fits
        }

        /// Takes up to `most` bytes that have arrived, as a guest does: none if the indices are further apart than the
        /// ring is long.
        #[must_use]
        pub fn guest_receive(&self, most: usize) -> Vec<u8> {
            let produced = self.load(offset_of!(StoreRing, rsp_prod));
            let consumed = self.load(offset_of!(StoreRing, rsp_cons));
            let available = produced.wrapping_sub(consumed) as usize;
            if available > RING_SIZE {
                return Vec::new();
            }
            let taken = available.min(most);
            let mut bytes = vec![0; taken];
            for (at, byte) in bytes.iter_mut().enumerate() {
                let index = (consumed as usize + at) % RING_SIZE;
                self.read(
                    offset_of!(StoreRing, rsp) + index,
                    std::slice::from_mut(byte),
                );
            }
            let consumed = consumed.wrapping_add(taken as u32);
            self.store(offset_of!(StoreRing, rsp_cons), consumed);
            bytes
        }
    }
}

#[cfg(test)]
mod tests {
    use super::in_memory::SharedFrame;
    use super::*;

    fn connected() -> (SharedFrame, Ring<SharedFrame, SharedFrame>) {
        let frame = SharedFrame::default();
        // Indices that wrap in the middle of the test.
        for index in [
            offset_of!(StoreRing, req_cons),
            offset_of!(StoreRing, req_prod),
            offset_of!(StoreRing, rsp_cons),
            offset_of!(StoreRing, rsp_prod),
        ] {
            frame.store(index, u32::MAX - 1500);
        }
        (frame.clone(), Ring::new(frame.clone(), frame))
    }

    #[test]
    fn bytes_arrive_in_order_and_indices_wrap() {
        let (frame, mut ring) = connected();
        let bytes: Vec<u8> = (0..5000_u32).map(|number| number as u8).collect();
        let (mut put, mut taken, mut back) = (0, Vec::new(), Vec::new());
        while back.len() < bytes.len() {
            put += frame.guest_send(&bytes[put..]);
            let mut buffer = [0; 700];
            let received = ring.receive(&mut buffer).unwrap();
            taken.extend_from_slice(&buffer[..received]);
            let echoed = ring.positions.sent.wrapping_add(1501) as usize;
            ring.send(&taken[echoed..]).unwrap();
            ring.release_taken();
            ring.finish_turn();
            back.extend(frame.guest_receive(300));
        }
        assert!(back == bytes && frame.wakes() > 0);
    }

    #[test]
    fn what_is_not_released_is_not_lost() {
        let (frame, mut ring) = connected();
        frame.guest_send(b"request");
        let mut buffer = [0; 64];
        assert_eq!(ring.receive(&mut buffer), Ok(7));
        assert_eq!(ring.receive(&mut buffer), Ok(0));
        let mut next = Ring::new(frame.clone(), frame.clone());
        assert_eq!(next.receive(&mut buffer), Ok(7));
        next.release_taken();
        let mut next = Ring::new(frame.clone(), frame);
        assert_eq!(next.receive(&mut buffer), Ok(0));
    }

    #[test]
    fn indices_that_can_not_be_are_refused() {
        let (frame, mut ring) = connected();
        let taken = ring.positions.taken;
        frame.store(
            offset_of!(StoreRing, req_prod),
            taken.wrapping_add(RING_SIZE as u32 + 1),
        );
        assert_eq!(ring.receive(&mut [0; 8]), Err(Broken::RingIndex));
        frame.store(
            offset_of!(StoreRing, rsp_cons),
            ring.positions.sent.wrapping_add(1),
        );
        assert_eq!(ring.send(b"x"), Err(Broken::RingIndex));
        ring.fail(Broken::RingIndex);
        assert_eq!(frame.load(offset_of!(StoreRing, error)), 2);
    }

    #[test]
    fn the_daemons_own_indices_are_not_the_guests_to_set() {
        let (frame, mut ring) = connected();
        frame.guest_send(b"request");
        frame.store(offset_of!(StoreRing, req_cons), 12345);
        let mut buffer = [0; 64];
        assert_eq!(ring.receive(&mut buffer), Ok(7));
        ring.release_taken();
        assert_eq!(
            frame.load(offset_of!(StoreRing, req_cons)),
            ring.positions.taken
        );
    }

    #[test]
    fn a_guest_gets_a_new_connection_when_it_asks() {
        let (frame, mut ring) = connected();
        frame.guest_send(b"half a mess");
        ring.receive(&mut [0; 4]).unwrap();
        assert!(!ring.take_reconnect());
        frame.store(offset_of!(StoreRing, connection), 1);
        assert!(ring.take_reconnect());
        assert_eq!(frame.load(offset_of!(StoreRing, connection)), 0);
        assert_eq!(ring.receive(&mut [0; 4]), Ok(0));
        assert_eq!(frame.load(offset_of!(StoreRing, server_features)), 3);
    }

    #[test]
    fn a_connection_resumes_in_the_middle_of_an_answer() {
        let (frame, mut ring) = connected();
        let before = ring.positions().unwrap();
        ring.send(b"first half,").unwrap();
        let mut next = Ring::new(frame.clone(), frame.clone());
        assert_eq!(next.resume(before, b"first half, second".len()), 11);
        next.send(b" second").unwrap();
        assert_eq!(frame.guest_receive(100), b"first half, second");
    }
}
