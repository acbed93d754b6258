//! Numbers of domains.
//!
//! Frames, grants and ports name a domain by its number. So a number is not given out anew while anybody still works with the
//! domain that had it: it [belongs](Number) to that one for as long as it exists, on the list of domains or not.
#![forbid(unsafe_code)]

use core::sync::atomic::{AtomicU64, Ordering};
use guest_abi::ids::DomId;

const WORDS: usize = (DomId::FIRST_RESERVED.0 as usize).div_ceil(64);

/// Which of the numbers below [`DomId::FIRST_RESERVED`] are taken, a bit each.
pub struct Numbers([AtomicU64; WORDS]);

/// A number that is its holder's.
pub struct Number<'a> {
    id: DomId,
    numbers: &'a Numbers,
}

impl Numbers {
    /// All free.
    #[must_use]
    pub const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; WORDS])
    }

    fn word(&self, id: DomId) -> Option<(&AtomicU64, u64)> {
        if id.0 >= DomId::FIRST_RESERVED.0 {
            return None;
        }
        let word = self.0.get(usize::from(id.0) / 64)?;
        Some((word, 1 << (id.0 % 64)))
    }

    /// Takes this number, if it is free and a domain may have it.
    #[must_use]
    pub fn take(&self, id: DomId) -> Option<Number<'_>> {
        let (word, bit) = self.word(id)?;
        let is_free = word.fetch_or(bit, Ordering::AcqRel) & bit == 0;
        // One that is made is freed again when it is dropped.
        is_free.then(|| Number { id, numbers: self })
    }

    /// Takes a free one, the next after `last` if possible, never 0.
    #[must_use]
    pub fn take_after(&self, last: DomId) -> Option<Number<'_>> {
        let after = last.0.saturating_add(1).max(1)..DomId::FIRST_RESERVED.0;
        after
            .chain(1..DomId::FIRST_RESERVED.0)
            .find_map(|number| self.take(DomId(number)))
    }
}

impl Default for Numbers {
    fn default() -> Self {
        Self::new()
    }
}

impl Number<'_> {
    /// The number.
    #[must_use]
    pub const fn id(&self) -> DomId {
        self.id
    }
}

impl Drop for Number<'_> {
    fn drop(&mut self) {
        if let Some((word, bit)) = self.numbers.word(self.id) {
            word.fetch_and(!bit, Ordering::AcqRel);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_taken_until_its_holder_is_gone() {
        let numbers = Numbers::new();
        let held = numbers.take(DomId(70)).expect("free");
        assert_eq!(held.id(), DomId(70));
        assert!(numbers.take(DomId(70)).is_none());
        assert_eq!(numbers.take(DomId(6)).expect("free").id(), DomId(6));
        drop(held);
        assert!(numbers.take(DomId(70)).is_some());
    }

    #[test]
    fn the_next_free_one_is_found_all_around_but_never_0() {
        let numbers = Numbers::new();
        let last = DomId(DomId::FIRST_RESERVED.0 - 1);
        let one = numbers.take_after(DomId(0)).expect("free");
        let two = numbers.take_after(DomId(0)).expect("free");
        assert_eq!((one.id(), two.id()), (DomId(1), DomId(2)));
        assert_eq!(numbers.take_after(DomId(2)).expect("free").id(), DomId(3));
        drop(one);
        for from in [last, DomId::FIRST_RESERVED, DomId(u16::MAX)] {
            assert_eq!(numbers.take_after(from).expect("free").id(), DomId(1));
        }
        assert_eq!(
            numbers.take_after(DomId(last.0 - 1)).expect("free").id(),
            last
        );
        let mut all = std::vec::Vec::new();
        let mut last = DomId(0);
        while let Some(number) = numbers.take_after(last) {
            last = number.id();
            all.push(number);
        }
        // Less 0, and the one that is held.
        assert_eq!(all.len(), usize::from(DomId::FIRST_RESERVED.0) - 2);
        let middle = all.swap_remove(500).id();
        assert_eq!(numbers.take_after(DomId(0)).expect("free").id(), middle);
        assert!(numbers.take(DomId::FIRST_RESERVED).is_none());
    }
}
