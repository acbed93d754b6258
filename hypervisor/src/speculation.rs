//! What guests choose, when the processor guesses.
//!
//! A processor may run ahead past a check that will fail: load with an index that is out of range, or read what
//! is another's, and leave a trace of it in its caches (CVE-2017-5753). Hence these rules:
//!
//! - An index from a guest passes through [`index`] or [`element`], whose result is in range even on such a path.
//!   What is found by such an index (a frame's entry, a vCPU, a port, a grant) needs no more.
//! - Where a check decides whether the *contents* of memory are read that might be another's, and what is read
//!   becomes an address or an index, a [`barrier`] stands between: after "this frame is a table of yours in force" and
//!   before its old entry is read; after the right to a control operation is seen; before a frame is copied from.
//!
//! Not masked yet: numbers of vCPUs and of interrupts, and addresses in guest memory.
#![forbid(unsafe_code)]

use crate::arch::speculation;
pub(crate) use crate::arch::speculation::{barrier, value_if};

/// `index` if it is below `len`. On a mispredicted path the value is 0 instead of out of range.
#[inline]
#[must_use]
pub fn index(index: usize, len: usize) -> Option<usize> {
    speculation::index(index, len)
}

/// Element `index` of `slice`, if there is one. On a mispredicted path it is the first.
#[inline]
#[must_use]
pub fn element<T>(slice: &[T], index: usize) -> Option<&T> {
    speculation::element(slice, index)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{barrier, element, index, value_if};
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
