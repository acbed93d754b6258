//! Chance: a generator that can be replayed, and the values that hypercalls are tried with.

use super::arena;
use crate::memory::{self, SPARE};
use guest_abi::ids::{Mfn, Vaddr};

/// One vCPU's source of chance.
pub(super) struct Dice {
    state: u64,
    /// Nothing is spared any more, this kernel's own memory included.
    pub(super) is_wild: bool,
}

/// Addresses that are wrong in one way or another: nothing there, none of ours, none at all, at an edge.
const BAD_ADDRESSES: [u64; 12] = [
    0,
    1,
    0x1000,
    0x1_0000_0000,
    0x7fff_ffff_f000,
    0x7fff_ffff_fffc,
    0x0000_8000_0000_0000,
    0xffff_7fff_ffff_f000,
    Vaddr::HYPERVISOR_START.0 + 0x1000,
    Vaddr::HYPERVISOR_START.0 + 0x5000_0000_0000,
    Vaddr::HYPERVISOR_END.0 - 4,
    u64::MAX - 6,
];

/// Frames of devices: the screen, interrupt controllers, a timer. Those of the processor and of the
/// hypervisor must be refused.
const DEVICES: [u64; 5] = [0xb8, 0xfee00, 0xfec00, 0xfed00, 0xe0000];

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            is_wild: false,
        }
    }

    /// Any number (xorshift64*).
    pub(super) fn next(&mut self) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `limit`, which is not 0.
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 16) % limit
    }

    /// Whether one of `n` chances hits.
    pub(super) fn hits(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    /// A frame number: mostly one of the frames to play with.
    pub(super) fn mfn(&mut self) -> Mfn {
        let number = match self.below(40) {
            0..32 => arena::mfn(self),
            32 => self.pick(&DEVICES),
            // Anywhere in the machine, and a little beyond.
            33..37 => self.below(0x4_1000),
            37 => 0xff_ffff_ffff - self.below(2),
            38 => self.next() >> self.below(60),
            _ => self.below(4),
        };
        if self.is_wild || !arena::is_kernels(Mfn(number)) {
            Mfn(number)
        } else {
            Mfn(arena::mfn(self))
        }
    }

    /// The machine address of a word of a frame.
    pub(super) fn word_address(&mut self) -> u64 {
        let address = self.mfn().0 << 12 | self.below(512) << 3;
        match self.below(16) {
            0 => address | self.below(8),
            _ => address,
        }
    }

    /// A page-table entry.
    pub(super) fn entry(&mut self) -> u64 {
        let flags = match self.below(12) {
            0..3 => memory::KERNEL_RO,
            3..6 => memory::KERNEL_RW,
            6..9 => memory::TABLE,
            9 => 0,
            10 => memory::TABLE | 1 << self.below(12) | 1 << (52 + self.below(12)),
            _ => self.next() & 0xfff0_0000_0000_0fff,
        };
        let mfn = self.mfn();
        // Devices are mapped, but nothing may be written to one that is there.
        if DEVICES.contains(&mfn.0) && !self.is_wild {
            return mfn.address() & memory::FRAME_MASK | flags & !memory::WRITABLE;
        }
        mfn.0 << 12 & memory::FRAME_MASK | flags
    }

    /// An address: of a frame to play with, in tables that come and go, or a bad one.
    pub(super) fn pointer(&mut self) -> u64 {
        match self.below(16) {
            0..10 => arena::va(self).0 + self.below(512) * 8,
            10 => arena::va(self).0 + self.below(4096),
            // Ends in the next page.
            11 => arena::va(self).0 + 4096 - self.below(32),
            12..14 => SPARE.0 + (self.below(1 << 14) << 3),
            14 if self.is_wild => core::ptr::from_ref(self) as u64,
            _ => self.bad_address(),
        }
    }

    /// An address that nothing can be executed at.
    pub(super) fn bad_address(&mut self) -> u64 {
        self.pick(&BAD_ADDRESSES)
    }

    /// A count: mostly small, sometimes absurd.
    pub(super) fn count(&mut self) -> u64 {
        match self.below(10) {
            0..6 => self.below(6),
            6..8 => self.below(64),
            8 => self.below(5000),
            _ => self.pick(&[
                u64::MAX,
                1 << 31,
                1 << 63,
                u64::from(u32::MAX),
                u64::from(u32::MAX) + 1,
            ]),
        }
    }

    /// Any argument.
    pub(super) fn value(&mut self) -> u64 {
        match self.below(16) {
            0..4 => self.below(34),
            4..8 => self.pointer(),
            8 => self.mfn().0,
            9 => self.word_address(),
            10 => self.entry(),
            11 => 1 << self.below(64),
            12 => u64::MAX - self.below(16),
            13 => 0x7ff0 + self.below(16),
            14 => self.count(),
            _ => self.next(),
        }
    }
}
