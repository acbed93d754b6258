//! Moments that are different each time.

use crate::clock;

/// A source of chance.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `limit`, which is not 0 (xorshift64*).
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) % limit
    }

    /// Computes for less than `ns` nanoseconds, most often for much less.
    pub(crate) fn spin(&mut self, ns: u64) {
        let scale = self.below(8);
        let end = clock::now_ns() + self.below((ns >> scale) + 1);
        while clock::now_ns() < end {
            core::hint::spin_loop();
        }
    }
}
