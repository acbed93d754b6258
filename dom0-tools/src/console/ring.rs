//! The daemon's end of a console ring.
//!
//! The guest can write every byte of it at any time. The daemon's own indices are kept outside and only
//! published; the guest's are read once for each use and checked.

use crate::daemon::ring::{Doorbell, RingMemory};
use guest_abi::console_ring::{ConsoleRing, IN_SIZE, OUT_SIZE};
use std::mem::offset_of;

/// An index of the guest is one that it can't have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadIndex;

/// See the module.
pub struct ConsoleEnd<M, D> {
    memory: M,
    doorbell: D,
    /// Up to where output has been taken.
    taken: u32,
    /// Up to where input has been put.
    put: u32,
}

impl<M: RingMemory, D: Doorbell> ConsoleEnd<M, D> {
    /// Takes up a ring where it is: a former daemon has left its indices there.
    pub fn new(memory: M, mut doorbell: D) -> Self {
        let taken = memory.load(offset_of!(ConsoleRing, out_cons));
        let put = memory.load(offset_of!(ConsoleRing, in_prod));
        // Whatever the guest waits for has woken nobody yet.
        doorbell.ring();
        Self {
            memory,
            doorbell,
            taken,
            put,
        }
    }
}

/// What the daemon does with a console, whatever its ring is made of.
pub trait Console {
    /// Takes up to `most` bytes of output.
    ///
    /// # Errors
    ///
    /// [`BadIndex`] if the guest's index can't be.
    fn take_output(&mut self, most: usize) -> Result<Vec<u8>, BadIndex>;

    /// Bytes of input that there is room for.
    ///
    /// # Errors
    ///
    /// [`BadIndex`] if the guest's index can't be.
    fn input_room(&self) -> Result<usize, BadIndex>;

    /// Puts as much input as there is room for; returns how many bytes.
    ///
    /// # Errors
    ///
    /// [`BadIndex`] if the guest's index can't be.
    fn put_input(&mut self, bytes: &[u8]) -> Result<usize, BadIndex>;
}

impl<M: RingMemory, D: Doorbell> Console for ConsoleEnd<M, D> {
    fn take_output(&mut self, most: usize) -> Result<Vec<u8>, BadIndex> {
        let produced = self.memory.load(offset_of!(ConsoleRing, out_prod));
        let available = produced.wrapping_sub(self.taken) as usize;
        if available > OUT_SIZE {
            return Err(BadIndex);
        }
        let mut bytes = vec![0; available.min(most)];
        if bytes.is_empty() {
            return Ok(bytes);
        }
        let start = self.taken as usize % OUT_SIZE;
        let (first, second) = bytes.split_at_mut((OUT_SIZE - start).min(available.min(most)));
        let output = offset_of!(ConsoleRing, output);
        self.memory.read(output + start, first);
        self.memory.read(output, second);
        self.taken = self.taken.wrapping_add(bytes.len() as u32);
        self.memory
            .store(offset_of!(ConsoleRing, out_cons), self.taken);
        self.doorbell.ring();
        Ok(bytes)
    }

    fn input_room(&self) -> Result<usize, BadIndex> {
        let consumed = self.memory.load(offset_of!(ConsoleRing, in_cons));
        let used = self.put.wrapping_sub(consumed) as usize;
        IN_SIZE.checked_sub(used).ok_or(BadIndex)
    }

    fn put_input(&mut self, bytes: &[u8]) -> Result<usize, BadIndex> {
        let fits = bytes.len().min(self.input_room()?);
        if fits == 0 {
            return Ok(0);
        }
        let start = self.put as usize % IN_SIZE;
        let (first, rest) = bytes.split_at(fits.min(IN_SIZE - start));
        let second = rest.get(..fits - first.len()).unwrap_or_default();
        let input = offset_of!(ConsoleRing, input);
        self.memory.write(input + start, first);
        self.memory.write(input, second);
        self.put = self.put.wrapping_add(fits as u32);
        self.memory
            .store(offset_of!(ConsoleRing, in_prod), self.put);
        self.doorbell.ring();
        Ok(fits)
    }
}

#[cfg(test)]
pub(super) mod testing {
    //! A guest's end of a console.

    use super::{ConsoleRing, IN_SIZE, OUT_SIZE, offset_of};
    use crate::daemon::ring::RingMemory;
    use crate::daemon::ring::in_memory::SharedFrame;

    /// Puts as much output as there is room for; returns how many bytes.
    pub(crate) fn guest_print(frame: &SharedFrame, bytes: &[u8]) -> usize {
        let produced = frame.load(offset_of!(ConsoleRing, out_prod));
        let consumed = frame.load(offset_of!(ConsoleRing, out_cons));
        let fits = bytes
            .len()
            .min(OUT_SIZE - produced.wrapping_sub(consumed) as usize);
        for (at, byte) in bytes.iter().take(fits).enumerate() {
            let index = (produced as usize + at) % OUT_SIZE;
            frame.write(offset_of!(ConsoleRing, output) + index, &[*byte]);
        }
        let produced = produced.wrapping_add(fits as u32);
        frame.store(offset_of!(ConsoleRing, out_prod), produced);
        fits
    }

    /// Takes all input that has come, as a guest does.
    pub(crate) fn guest_read(frame: &SharedFrame) -> Vec<u8> {
        let produced = frame.load(offset_of!(ConsoleRing, in_prod));
        let consumed = frame.load(offset_of!(ConsoleRing, in_cons));
        let mut bytes = vec![0; produced.wrapping_sub(consumed) as usize];
        for (at, byte) in bytes.iter_mut().enumerate() {
            let index = (consumed as usize + at) % IN_SIZE;
            let from = offset_of!(ConsoleRing, input) + index;
            frame.read(from, std::slice::from_mut(byte));
        }
        frame.store(offset_of!(ConsoleRing, in_cons), produced);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{guest_print, guest_read};
    use super::*;
    use crate::daemon::ring::in_memory::SharedFrame;

    fn connected() -> (SharedFrame, ConsoleEnd<SharedFrame, SharedFrame>) {
        let frame = SharedFrame::default();
        for index in [
            offset_of!(ConsoleRing, in_cons),
            offset_of!(ConsoleRing, in_prod),
            offset_of!(ConsoleRing, out_cons),
            offset_of!(ConsoleRing, out_prod),
        ] {
            frame.store(index, u32::MAX - 3000);
        }
        (frame.clone(), ConsoleEnd::new(frame.clone(), frame))
    }

    #[test]
    fn bytes_pass_both_ways_and_indices_wrap() {
        let (frame, mut console) = connected();
        let all: Vec<u8> = (0..10_000_u32).map(|number| number as u8).collect();
        let (mut printed, mut taken) = (0, Vec::new());
        while taken.len() < all.len() {
            printed += guest_print(&frame, &all[printed..]);
            taken.extend(console.take_output(1500).unwrap());
        }
        assert!(taken == all);
        let (mut put, mut read) = (0, Vec::new());
        while read.len() < all.len() {
            put += console.put_input(&all[put..]).unwrap();
            read.extend(guest_read(&frame));
        }
        assert!(read == all && frame.wakes() > 0);
    }

    #[test]
    fn indices_that_can_not_be_are_refused() {
        let (frame, mut console) = connected();
        frame.store(offset_of!(ConsoleRing, out_prod), 77);
        assert_eq!(console.take_output(10), Err(BadIndex));
        frame.store(offset_of!(ConsoleRing, in_cons), 77);
        assert_eq!(console.put_input(b"x"), Err(BadIndex));
    }

    #[test]
    fn a_later_daemon_goes_on_where_the_former_was() {
        let (frame, mut console) = connected();
        guest_print(&frame, b"first second");
        assert_eq!(console.take_output(6).unwrap(), b"first ");
        console.put_input(b"in").unwrap();
        let mut next = ConsoleEnd::new(frame.clone(), frame.clone());
        assert_eq!(next.take_output(100).unwrap(), b"second");
        next.put_input(b"put").unwrap();
        assert_eq!(guest_read(&frame), b"input");
    }
}
