//! What CPUID shows, as the lists that tools read, change and set.
//!
//! A domain's answers are computed from the processor's by `cpu_policy`. Tools can take features away, and nothing
//! else: what they set becomes a [`Mask`], with which the answers are narrowed.
#![forbid(unsafe_code)]

use crate::cpu_policy::cpuid::Leaf;
use crate::cpu_policy::cpuid_bits::{leaf_1_ecx, leaf_1_edx};
use guest_abi::cpu_policy::{CpuidLeaf, NO_SUBLEAF};
use guest_abi::hypervisor_cpuid::FIRST_LEAF;

/// Last standard leaf that lists hold.
const LAST_BASIC: u32 = 0xD;
/// First and last extended leaf that lists hold.
const FIRST_EXTENDED: u32 = 0x8000_0000;
const LAST_EXTENDED: u32 = 0x8000_0021;
/// Sub-leaves of those leaves that have some, from 0.
const CACHES: u32 = 6;
const FEATURES: u32 = 3;
const TOPOLOGY: u32 = 2;
const STATES: u32 = 63;
/// Limits of hypervisors' leaves.
const HYPERVISORS: u32 = 2;

/// Entries of the longest list.
pub const MAX_LEAVES: u32 = LAST_BASIC
    + 1
    + CACHES
    + FEATURES
    + TOPOLOGY
    + STATES
    + (LAST_EXTENDED - FIRST_EXTENDED + 1)
    + HYPERVISORS;
/// MSRs of the longest list: platform information, and architectural capabilities.
pub const MAX_MSRS: u32 = 2;

/// How many sub-leaves of `leaf` lists hold; none for a leaf without.
const fn subleaves(leaf: u32) -> Option<u32> {
    match leaf {
        4 => Some(CACHES),
        7 => Some(FEATURES),
        0xB => Some(TOPOLOGY),
        0xD => Some(STATES),
        _ => None,
    }
}

/// Calls `each` with every entry of the list of what `answer` says, until it says `false`.
pub fn for_each(answer: impl Fn(u32, u32) -> Leaf, mut each: impl FnMut(CpuidLeaf) -> bool) {
    let mut put = |leaf, subleaf, Leaf { eax, ebx, ecx, edx }| {
        each(CpuidLeaf {
            leaf,
            subleaf,
            a: eax,
            b: ebx,
            c: ecx,
            d: edx,
        })
    };
    for leaf in 0..=answer(0, 0).eax.min(LAST_BASIC) {
        let first = answer(leaf, 0);
        let is_wanted = match subleaves(leaf) {
            None => put(leaf, NO_SUBLEAF, first),
            Some(most) => {
                let end = if leaf == 7 {
                    first.eax.saturating_add(1).min(most)
                } else {
                    most
                };
                (0..end)
                    .map(|subleaf| (subleaf, answer(leaf, subleaf)))
                    .filter(|&(subleaf, content)| subleaf == 0 || content != Leaf::ZERO)
                    .all(|(subleaf, content)| put(leaf, subleaf, content))
            }
        };
        if !is_wanted {
            return;
        }
    }
    for leaf in [FIRST_LEAF, FIRST_LEAF + 0x100] {
        // How far the hypervisor's own leaves go is not for tools to change: no limit.
        if !put(leaf, NO_SUBLEAF, Leaf::ZERO) {
            return;
        }
    }
    let last = answer(FIRST_EXTENDED, 0).eax.min(LAST_EXTENDED);
    for leaf in FIRST_EXTENDED..=last {
        if !put(leaf, NO_SUBLEAF, answer(leaf, 0)) {
            return;
        }
    }
}

/// A register of features, by leaf, sub-leaf and number (0 for EAX to 3 for EDX), and the bits of it that are no
/// features to be taken away: they follow the guest's own doing, or no guest can do without.
const WORDS: [(u32, u32, usize, u32); 11] = [
    (1, 0, 2, leaf_1_ecx::OSXSAVE | leaf_1_ecx::HYPERVISOR),
    (1, 0, 3, leaf_1_edx::APIC),
    (7, 0, 1, 0),
    (7, 0, 2, 1 << 4),
    (7, 0, 3, 0),
    (7, 1, 0, 0),
    (0xD, 1, 0, 0),
    (0x8000_0001, 0, 2, 0),
    (0x8000_0001, 0, 3, 0),
    (0x8000_0007, 0, 3, 0),
    (0x8000_0008, 0, 1, 0),
];

/// What of the features a domain is left with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mask([u32; WORDS.len()]);

/// A list can't be set because of this leaf and sub-leaf.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Misfit {
    /// Its leaf.
    pub leaf: u32,
    /// Its sub-leaf, or the number for none.
    pub subleaf: u32,
}

impl Mask {
    /// All of them.
    pub const ALL: Self = Self([u32::MAX; WORDS.len()]);

    /// Takes a leaf of a list into account.
    ///
    /// # Errors
    /// [`Misfit`]: no list has such a leaf.
    pub fn add(&mut self, entry: &CpuidLeaf) -> Result<(), Misfit> {
        let is_leaf = match entry.leaf {
            0..=LAST_BASIC => match subleaves(entry.leaf) {
                None => entry.subleaf == NO_SUBLEAF,
                Some(most) => entry.subleaf < most,
            },
            FIRST_EXTENDED..=LAST_EXTENDED => entry.subleaf == NO_SUBLEAF,
            leaf => leaf & !0x100 == FIRST_LEAF && entry.subleaf == NO_SUBLEAF,
        };
        if !is_leaf {
            return Err(Misfit {
                leaf: entry.leaf,
                subleaf: entry.subleaf,
            });
        }
        let registers = [entry.a, entry.b, entry.c, entry.d];
        let subleaf = match entry.subleaf {
            NO_SUBLEAF => 0,
            subleaf => subleaf,
        };
        for (word, &(leaf, sub, register, keep)) in self.0.iter_mut().zip(&WORDS) {
            if (leaf, sub) == (entry.leaf, subleaf) {
                *word = registers.get(register).copied().unwrap_or(0) | keep;
            }
        }
        Ok(())
    }

    /// Narrows an answer.
    #[must_use]
    pub fn apply(&self, leaf: u32, subleaf: u32, answer: Leaf) -> Leaf {
        let mut registers = [answer.eax, answer.ebx, answer.ecx, answer.edx];
        for (word, &(of, sub, register, _)) in self.0.iter().zip(&WORDS) {
            // Leaves without sub-leaves don't look at the number.
            if of == leaf
                && (subleaves(leaf).is_none() || sub == subleaf)
                && let Some(value) = registers.get_mut(register)
            {
                *value &= word;
            }
        }
        let [eax, ebx, ecx, edx] = registers;
        Leaf { eax, ebx, ecx, edx }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn answer(leaf: u32, subleaf: u32) -> Leaf {
        let filled = Leaf {
            eax: leaf,
            ebx: subleaf,
            ecx: 0xffff_ffff,
            edx: 0xffff_ffff,
        };
        match leaf {
            0 => Leaf { eax: 0xD, ..filled },
            FIRST_EXTENDED => Leaf {
                eax: FIRST_EXTENDED + 8,
                ..filled
            },
            7 => Leaf { eax: 1, ..filled },
            _ => filled,
        }
    }

    #[test]
    fn a_list_is_no_longer_than_said() {
        let mut count = 0;
        for_each(
            |leaf, subleaf| Leaf {
                eax: u32::MAX,
                ..answer(leaf, subleaf)
            },
            |_| {
                count += 1;
                true
            },
        );
        assert_eq!(
            count,
            MAX_LEAVES - 4,
            "leaves with sub-leaves have no entry of their own"
        );
    }

    #[test]
    fn every_entry_of_a_list_can_be_set_and_changes_nothing() {
        let mut mask = Mask::ALL;
        for_each(answer, |entry| {
            assert_eq!(mask.add(&entry), Ok(()), "{entry:?}");
            true
        });
        for (leaf, subleaf) in [(1, 0), (7, 0), (7, 1), (0x8000_0001, 5)] {
            let is = answer(leaf, subleaf);
            assert_eq!(mask.apply(leaf, subleaf, is), is);
        }
    }

    #[test]
    fn a_feature_that_is_taken_away_is_gone() {
        let mut mask = Mask::ALL;
        let without = CpuidLeaf {
            leaf: 1,
            subleaf: NO_SUBLEAF,
            a: 0,
            b: 0,
            c: !(1 << 12),
            d: 0,
        };
        assert_eq!(mask.add(&without), Ok(()));
        let narrowed = mask.apply(1, 77, answer(1, 0));
        assert_eq!(narrowed.ecx, !(1 << 12));
        assert_eq!(narrowed.edx, leaf_1_edx::APIC);
        assert_eq!(mask.apply(7, 0, answer(7, 0)), answer(7, 0));
    }

    #[test]
    fn what_is_no_leaf_is_refused() {
        let mut mask = Mask::ALL;
        for (leaf, subleaf) in [
            (0xE, NO_SUBLEAF),
            (1, 0),
            (7, 3),
            (7, NO_SUBLEAF),
            (0x8000_0022, NO_SUBLEAF),
            (0x4000_0001, NO_SUBLEAF),
        ] {
            let entry = CpuidLeaf {
                leaf,
                subleaf,
                a: 0,
                b: 0,
                c: 0,
                d: 0,
            };
            assert_eq!(mask.add(&entry), Err(Misfit { leaf, subleaf }));
        }
        assert_eq!(mask, Mask::ALL);
    }

    #[test]
    fn a_list_ends_when_there_is_no_more_room() {
        let mut room = 5;
        for_each(answer, |_| {
            room -= 1;
            room != 0
        });
        assert_eq!(room, 0);
    }
}
