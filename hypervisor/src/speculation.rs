//! Array indices from guests, when the processor guesses.
//!
//! A processor may run ahead past a bounds check that will fail, load with the bad index, and leave a
//! trace of what it read in its caches. An index from a guest therefore passes through [`index`], whose
//! result is in range even on a mispredicted path.
#![forbid(unsafe_code)]

/// `index` if it is below `len`. On a mispredicted path the value is 0 instead of out of range.
#[inline]
#[must_use]
pub fn index(index: usize, len: usize) -> Option<usize> {
    // The sign of the difference, spread over all bits: ones exactly if index < len (both are far below
    // 2^63). The compiler must not learn that, or it would drop the masking after the check.
    let mask =
        (core::hint::black_box(index).wrapping_sub(len) as isize >> (usize::BITS - 1)) as usize;
    (index < len).then_some(index & mask)
}

#[cfg(test)]
mod tests {
    use super::index;

    #[test]
    fn values_in_range_pass_and_others_do_not() {
        for len in [0, 1, 2, 128, 4096] {
            for value in [0, 1, 2, 127, 128, 4095, 4096, usize::MAX >> 1] {
                assert_eq!(index(value, len), (value < len).then_some(value));
            }
        }
        assert_eq!(index(usize::MAX, 4096), None);
    }
}
