//! LZMA's arithmetic coding: bits whose probabilities are learned while they are decoded.
//!
//! Everything here is called for every bit of a kernel's file, some eighty million times. So it is inlined into the
//! one loop that uses it, the coder's two words stay in registers, and no index needs a check: a table has a power of
//! two of entries, and its index is cut to that.
#![forbid(unsafe_code)]

/// Below this, the range is extended by a byte of input.
const LEAST_RANGE: u32 = 1 << 24;
/// Probabilities are in units of 1 / 2^11.
const PROBABILITY_BITS: u32 = 11;
/// How quickly they are learned: by 1 / 2^5 of what is missing.
const LEARNING: u32 = 5;
/// Bytes with which input begins.
const START: usize = 5;
/// A bit of which nothing is known.
pub(super) const EVEN: u16 = 1 << (PROBABILITY_BITS - 1);

/// The coder, at some place of one chunk of input.
#[derive(Clone, Copy)]
pub(super) struct RangeDecoder<'a> {
    input: &'a [u8],
    /// The next byte of input. May be behind its end, where zeroes are read: [`is_finished`](Self::is_finished) tells.
    at: usize,
    range: u32,
    code: u32,
}

impl<'a> RangeDecoder<'a> {
    /// Input begins with a zero and the first four bytes of the code. `None`: it does not.
    pub(super) fn new(input: &'a [u8]) -> Option<Self> {
        let [0, code @ ..] = *input.first_chunk::<START>()? else {
            return None;
        };
        Some(Self {
            input,
            at: START,
            range: u32::MAX,
            code: u32::from_be_bytes(code),
        })
    }

    /// Whether exactly all of the input has been used.
    pub(super) fn is_finished(mut self) -> bool {
        self.extend();
        self.at == self.input.len() && self.code == 0
    }

    #[inline(always)]
    fn extend(&mut self) {
        if self.range < LEAST_RANGE {
            let byte = self.input.get(self.at).copied().unwrap_or(0);
            self.at = self.at.wrapping_add(1);
            self.range <<= 8;
            self.code = self.code << 8 | u32::from(byte);
        }
    }

    /// A bit, 0 or 1, and what is learned from it.
    #[inline(always)]
    pub(super) fn bit(&mut self, probability: &mut u16) -> u32 {
        self.extend();
        let of_zero = u32::from(*probability);
        let bound = (self.range >> PROBABILITY_BITS).wrapping_mul(of_zero);
        if self.code < bound {
            self.range = bound;
            let missing = (1_u32 << PROBABILITY_BITS).wrapping_sub(of_zero);
            *probability = of_zero.wrapping_add(missing >> LEARNING) as u16;
            0
        } else {
            self.range = self.range.wrapping_sub(bound);
            self.code = self.code.wrapping_sub(bound);
            *probability = of_zero.wrapping_sub(of_zero >> LEARNING) as u16;
            1
        }
    }

    /// A number of `bits` bits, the highest first. The table has `2^bits` entries.
    #[inline(always)]
    pub(super) fn number<const N: usize>(&mut self, bits: u32, table: &mut [u16; N]) -> u32 {
        let mut symbol = 1;
        for _ in 0..bits {
            symbol = symbol << 1 | self.bit(entry(table, symbol));
        }
        symbol & !(1 << bits)
    }

    /// A number of `bits` bits, the lowest first. The table's first entry is the one with index `first` + 1.
    #[inline(always)]
    pub(super) fn reversed<const N: usize>(
        &mut self,
        bits: u32,
        table: &mut [u16; N],
        first: u32,
    ) -> u32 {
        let (mut symbol, mut value) = (1, 0);
        for place in 0..bits {
            let bit = self.bit(entry(table, first.wrapping_add(symbol)));
            symbol = symbol << 1 | bit;
            value |= bit << place;
        }
        value
    }

    /// A number of `bits` bits that are as likely 0 as 1.
    #[inline(always)]
    pub(super) fn even(&mut self, bits: u32) -> u32 {
        let mut value = 0;
        for _ in 0..bits {
            self.extend();
            self.range >>= 1;
            let bit = u32::from(self.code >= self.range);
            self.code = self.code.wrapping_sub(self.range & bit.wrapping_neg());
            value = value << 1 | bit;
        }
        value
    }
}

/// An entry of a table whose length is a power of two.
#[inline(always)]
pub(super) fn entry<T, const N: usize>(table: &mut [T; N], index: u32) -> &mut T {
    const { assert!(N.is_power_of_two()) };
    &mut table[index as usize & (N - 1)]
}
