//! Processors by number, and sets of them.
#![forbid(unsafe_code)]

use core::fmt;

/// Processors that a set can name.
pub const MAX_CPUS: u32 = 256;
pub(super) const WORDS: usize = (MAX_CPUS / u64::BITS) as usize;

/// A processor's number, from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct CpuId(pub u32);

impl fmt::Debug for CpuId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CPU{}", self.0)
    }
}

impl fmt::Display for CpuId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A set of processors.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CpuSet([u64; WORDS]);

impl CpuSet {
    /// No processor.
    pub const EMPTY: Self = Self([0; WORDS]);
    /// Every processor, present or not.
    pub const ALL: Self = Self([u64::MAX; WORDS]);

    /// One processor. Empty if the number is out of range.
    #[must_use]
    pub fn only(cpu: CpuId) -> Self {
        let mut set = Self::EMPTY;
        set.insert(cpu);
        set
    }

    /// Bit n of word m is processor 64 m + n; words beyond the set's size are ignored.
    #[must_use]
    pub fn from_words(words: &[u64]) -> Self {
        let mut set = Self::EMPTY;
        for (to, from) in set.0.iter_mut().zip(words) {
            *to = *from;
        }
        set
    }

    /// The words, as [`from_words`](Self::from_words) takes them.
    #[must_use]
    pub const fn words(&self) -> &[u64; WORDS] {
        &self.0
    }

    /// Adds a processor. Nothing happens if the number is out of range.
    pub fn insert(&mut self, cpu: CpuId) {
        if let Some(word) = self.0.get_mut((cpu.0 / u64::BITS) as usize) {
            *word |= 1 << (cpu.0 % u64::BITS);
        }
    }

    /// Removes a processor.
    pub fn remove(&mut self, cpu: CpuId) {
        if let Some(word) = self.0.get_mut((cpu.0 / u64::BITS) as usize) {
            *word &= !(1 << (cpu.0 % u64::BITS));
        }
    }

    /// Whether the set names a processor.
    #[must_use]
    pub fn contains(&self, cpu: CpuId) -> bool {
        let word = self.0.get((cpu.0 / u64::BITS) as usize);
        word.is_some_and(|word| word >> (cpu.0 % u64::BITS) & 1 != 0)
    }

    /// Processors in both sets.
    #[must_use]
    pub fn intersection(mut self, other: &Self) -> Self {
        for (word, other) in self.0.iter_mut().zip(other.0) {
            *word &= other;
        }
        self
    }

    /// Whether the set names nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// The processors, from the lowest.
    pub fn iter(&self) -> impl Iterator<Item = CpuId> + '_ {
        (0..).zip(self.0).flat_map(|(index, word)| {
            (0..u64::BITS)
                .filter(move |bit| word >> bit & 1 != 0)
                .map(move |bit| CpuId(index * u64::BITS + bit))
        })
    }
}

impl fmt::Debug for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn members_are_those_inserted() {
        let mut set = CpuSet::EMPTY;
        for cpu in [0, 63, 64, 255, 256, u32::MAX] {
            set.insert(CpuId(cpu));
        }
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 63, 64, 255].map(CpuId));
        assert!(set.contains(CpuId(64)) && !set.contains(CpuId(65)) && !set.contains(CpuId(256)));
        set.remove(CpuId(63));
        assert_eq!(
            set.intersection(&CpuSet::from_words(&[u64::MAX]))
                .iter()
                .collect::<Vec<_>>(),
            [CpuId(0)]
        );
        assert_eq!(CpuSet::from_words(&[1, 2, 3, 4, 5]).words(), &[1, 2, 3, 4]);
        assert!(CpuSet::only(CpuId(300)).is_empty());
    }
}
