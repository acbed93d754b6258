//! A list of bounded length that counts what it could not hold.
//!
//! Tables from firmware have no upper length; our memory before the heap has. Whoever prints such a list
//! asks [`Bounded::ignored`] and says so, because a processor that is missing without a word costs its
//! owner a day.
#![forbid(unsafe_code)]

use arrayvec::ArrayVec;
use core::ops::Deref;

/// At most `N` elements of `T`, in the order in which they came, and the number of those that came later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounded<T, const N: usize> {
    items: ArrayVec<T, N>,
    /// Elements that came when `items` was full. Saturates.
    ignored: u32,
}

impl<T, const N: usize> Bounded<T, N> {
    /// The empty list.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            items: ArrayVec::new_const(),
            ignored: 0,
        }
    }

    /// Appends `item`, or counts it as ignored when the list is full.
    pub fn push(&mut self, item: T) {
        if self.items.try_push(item).is_err() {
            self.count_ignored(1);
        }
    }

    /// Counts `number` elements that were not even looked at.
    pub fn count_ignored(&mut self, number: u32) {
        self.ignored = self.ignored.saturating_add(number);
    }

    /// Forgets everything, the count of ignored elements included.
    pub fn clear(&mut self) {
        self.items.clear();
        self.ignored = 0;
    }

    /// How many elements came when the list was full and are therefore not in it.
    #[must_use]
    pub const fn ignored(&self) -> u32 {
        self.ignored
    }

    /// The elements held.
    #[must_use]
    pub fn as_slice(&self) -> &[T] {
        &self.items
    }
}

impl<T, const N: usize> Default for Bounded<T, N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T, const N: usize> Deref for Bounded<T, N> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.items
    }
}

impl<'a, T, const N: usize> IntoIterator for &'a Bounded<T, N> {
    type Item = &'a T;
    type IntoIter = core::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.iter()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_full_list_keeps_the_first_and_counts_the_rest() {
        let mut list = Bounded::<u8, 2>::new();
        for n in 0..5 {
            list.push(n);
        }
        assert_eq!((&list[..], list.ignored()), (&[0, 1][..], 3));
        list.clear();
        assert_eq!((list.len(), list.ignored()), (0, 0));
    }
}
