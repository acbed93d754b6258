//! What guests choose, when the processor guesses.
//!
//! A processor may run ahead past a check that will fail: load with an index that is out of range, or read what
//! is another's, and leave a trace of it in its caches (CVE-2017-5753). Hence these rules:
//!
//! - An index from a guest passes through [`index`] or [`element`], whose result is in range even on such a path.
//!   What is found by such an index (a frame's entry, a vCPU, a port, a grant) needs no more.
//! - An address from a guest passes through [`outside`] where its memory is accessed (`arch/guest/access.rs`): on such a
//!   path it is nowhere in the hypervisor's part of the address space.
//! - Where a check decides whether the *contents* of memory are read that might be another's, and what is read
//!   becomes an address or an index, a [`barrier`] stands between: after "this frame is a table of yours in force" and
//!   before its old entry is read; after the right to a control operation is seen; before a frame is copied from.
//!
//! Interrupts are looked up by number in a tree, so a wrong number finds nothing.
#![forbid(unsafe_code)]

use crate::arch::speculation;
pub(crate) use crate::arch::speculation::{barrier, value_if};
use core::ops::Range;

/// `index` if it is below `len`. On a mispredicted path the value is 0 instead of out of range.
#[inline]
#[must_use]
pub fn index(index: usize, len: usize) -> Option<usize> {
    speculation::index(index, len)
}

/// `address`, if none of the `length` bytes from there on lies in `taken`; after the last address comes the first. On a
/// mispredicted path it is the last one of all. A range of more than half of all addresses is refused.
#[inline]
#[must_use]
pub fn outside(address: u64, length: u64, taken: Range<u64>) -> Option<u64> {
    if length > 1 << 63 {
        return None;
    }
    // They meet if the first byte lies in what is taken, or less than the length below it.
    let before = length.wrapping_sub(1);
    let offset = address.wrapping_sub(taken.start.wrapping_sub(before));
    let bound = taken.end.wrapping_sub(taken.start).wrapping_add(before);
    let (is_inside, address) = speculation::unless_below(offset, bound, address);
    (is_inside == 0).then_some(address)
}

/// Element `index` of `slice`, if there is one. On a mispredicted path it is the first.
#[inline]
#[must_use]
pub fn element<T>(slice: &[T], index: usize) -> Option<&T> {
    speculation::element(slice, index)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{barrier, element, index, outside, value_if};
    use crate::arch::speculation::{bounded, unless_below};
    use std::vec::Vec;

    /// Numbers around everything where arithmetic might go wrong.
    fn edges() -> Vec<u64> {
        let around = (0..64).map(|bit| 1u64 << bit).chain([0, 3 << 62]);
        let mut edges: Vec<u64> = around
            .flat_map(|at| [at.wrapping_sub(1), at, at.wrapping_add(1)])
            .collect();
        edges.sort_unstable();
        edges.dedup();
        edges
    }

    #[test]
    fn values_in_range_pass_and_others_do_not() {
        for len in edges() {
            for value in edges() {
                let (value, len) = (value as usize, len as usize);
                assert_eq!(index(value, len), (value < len).then_some(value));
            }
        }
    }

    #[test]
    fn what_a_guess_past_the_check_would_use_is_in_range() {
        for bound in edges() {
            for value in edges() {
                let (value, bound) = (value as usize, bound as usize);
                let expected = if value < bound { value } else { 0 };
                assert_eq!(bounded(value, bound), expected);
            }
        }
    }

    #[test]
    fn elements_are_those_of_the_slice() {
        let all: Vec<usize> = (0..300).collect();
        for len in [0, 1, 2, 255, 256, 300] {
            for at in edges() {
                let (slice, at) = (&all[..len], at as usize);
                assert_eq!(element(slice, at), slice.get(at));
            }
        }
    }

    #[test]
    fn an_address_below_a_bound_is_nobodys() {
        for bound in edges() {
            for offset in edges() {
                let expected = if offset < bound {
                    (u64::MAX, u64::MAX)
                } else {
                    (0, 0x1234)
                };
                assert_eq!(unless_below(offset, bound, 0x1234), expected);
            }
        }
    }

    #[test]
    fn what_is_outside_meets_no_byte_of_what_is_taken() {
        let taken = 0xffff_8000_0000_0000..0xffff_8800_0000_0000u64;
        let around = [0, 1 << 47, taken.start, taken.end];
        let addresses = around.into_iter().flat_map(|middle| {
            let edges = edges().into_iter().filter(|edge| edge >> 50 == 0);
            edges.flat_map(move |edge| [middle.wrapping_sub(edge), middle.wrapping_add(edge)])
        });
        for address in addresses {
            for length in edges().into_iter().filter(|&length| length != 0) {
                // The bytes up to the last address, and those from the first on.
                let end = u128::from(address) + u128::from(length);
                let meets = |from: u128, to: u128| {
                    from < u128::from(taken.end) && to > u128::from(taken.start)
                };
                let all = 1u128 << 64;
                let is_taken =
                    meets(address.into(), end.min(all)) || end > all && meets(0, end - all);
                let expected = (!is_taken && length <= 1 << 63).then_some(address);
                assert_eq!(
                    outside(address, length, taken.clone()),
                    expected,
                    "{address:#x} {length:#x}"
                );
            }
        }
    }

    #[test]
    fn a_value_is_there_if_its_condition_holds() {
        for value in edges() {
            assert_eq!((value_if(true, value), value_if(false, value)), (value, 0));
        }
    }

    #[test]
    fn a_barrier_returns() {
        barrier();
    }
}
