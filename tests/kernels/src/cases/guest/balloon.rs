//! Has as much memory as the tools say, from one moment to the next, and computes checksums of what lies in it: a kernel that
//! needs next to nothing itself can be brought down to any size.
//!
//! How many frames it has looked at, and in how many something else lay than what it had put there, is in the store, in
//! `data/checked` and `data/wrong`.

use super::super::prelude::*;
use super::device_attack::{keys::Keys, sleep};
use crate::chance::Chance;
use crate::memory::KERNEL_RW;
use crate::reservation::{extents, reserve};
use crate::shared_ring::print_on_console;
use crate::start::start_info;
use core::cell::UnsafeCell;
use guest_abi::memory_op::MemoryOp;
use guest_abi::mmu::UVMF_INVLPG;

/// Frames below this one, by the domain's own numbers, are the kernel's, what the builder has made, and what is mapped.
const FIRST: u64 = 4096;
/// Frames above that it can keep account of.
const MOST: usize = 65_536;
/// Frames of a call.
const BATCH: usize = 64;
/// Frames that are looked at between two looks at the target.
const LOOKS: u32 = 500;
/// Words of a frame that are written.
const WORDS: usize = 8;
const KIB_PER_FRAME: u64 = 4;

/// The machine's numbers of the frames that are had.
struct Held(UnsafeCell<[u32; MOST]>);

// SAFETY: the kernel has one vCPU, and only `Memory`, of which there is one, reaches it.
unsafe impl Sync for Held {}

static HELD: Held = Held(UnsafeCell::new([0; MOST]));

struct Memory {
    held: &'static mut [u32; MOST],
    count: usize,
    window: Frame,
    wrong: u32,
}

impl Memory {
    /// All that the builder has given.
    fn of_start() -> Self {
        let mut memory = Self {
            // SAFETY: this is called once.
            held: unsafe { &mut *HELD.0.get() },
            count: 0,
            window: Frame::alloc(),
            wrong: 0,
        };
        for pfn in FIRST..start_info().nr_pages {
            memory.take(Frame::of_pfn(Pfn(pfn)).mfn());
        }
        memory
    }

    fn show(&self, entry: u64) {
        let outcome = memory::update_va_mapping(self.window.va(), entry, UVMF_INVLPG);
        assert_eq!(outcome, Ok(0), "a frame can't be mapped");
    }

    fn word(index: usize, word: usize) -> u64 {
        ((index * WORDS + word) as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    /// Has a frame from now on.
    fn take(&mut self, mfn: Mfn) {
        self.show(memory::entry(mfn, KERNEL_RW));
        for word in 0..WORDS {
            // All over the frame.
            self.window.write(word * 73, Self::word(self.count, word));
        }
        self.held[self.count] = mfn.0 as u32;
        self.count += 1;
    }

    /// Looks at what lies in a frame.
    fn check(&mut self, index: usize) {
        self.show(memory::entry(Mfn(u64::from(self.held[index])), KERNEL_RW));
        let is_right =
            (0..WORDS).all(|word| self.window.read(word * 73) == Self::word(index, word));
        self.wrong += u32::from(!is_right);
    }

    /// Gives frames up or takes some, until there are so many, or no more are to be had now.
    fn have(&mut self, wanted: usize) {
        while self.count > wanted {
            let batch = (self.count - wanted).min(BATCH);
            let mut list = [0u64; BATCH];
            for mfn in &mut list[..batch] {
                self.count -= 1;
                self.check(self.count);
                *mfn = u64::from(self.held[self.count]);
            }
            self.show(0);
            let given = reserve(
                MemoryOp::DecreaseReservation,
                extents(&mut list[..batch], 0),
            );
            assert_eq!(given, Ok(batch as u64), "frames can't be given up");
        }
        while self.count < wanted {
            let batch = (wanted - self.count).min(BATCH);
            let mut list = [0u64; BATCH];
            for (offset, place) in list[..batch].iter_mut().enumerate() {
                *place = FIRST + (self.count + offset) as u64;
            }
            let got = reserve(MemoryOp::PopulatePhysmap, extents(&mut list[..batch], 0));
            let got =
                got.unwrap_or_else(|error| panic!("frames can't be taken: {error:?}")) as usize;
            list[..got].iter().for_each(|&mfn| self.take(Mfn(mfn)));
            if got < batch {
                break;
            }
        }
    }
}

pub(crate) fn run() {
    print_on_console("the guest runs");
    crate::clock::stop_periodic_timer();
    let mut keys = Keys::connect();
    let mut chance = Chance::new(1);
    let others = FIRST as usize;
    let mut all = Memory::of_start();
    let mut checked = 0u64;
    loop {
        if let Some(target_kib) = keys.number("memory/target") {
            let frames = (target_kib / KIB_PER_FRAME) as usize;
            all.have(frames.saturating_sub(others).min(MOST));
        }
        for _ in 0..LOOKS.min(all.count as u32) {
            all.check(chance.below(all.count as u64) as usize);
            checked += 1;
        }
        keys.set_number("data/checked", checked);
        keys.set_number("data/wrong", u64::from(all.wrong));
        sleep(20);
    }
}
