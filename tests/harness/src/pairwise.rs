//! A small set of combinations in which every two levels of every two factors meet.
//!
//! Most faults that depend on the configuration depend on one or two of its factors. The set of all
//! combinations finds no more of those than a set that contains every pair, which is many times smaller.

use std::collections::BTreeSet;

/// One level for each factor.
pub type Combination = Vec<usize>;

/// Every combination of `levels[factor]` levels for each factor, in lexicographic order.
pub fn all(levels: &[usize]) -> Vec<Combination> {
    levels.iter().fold(vec![Vec::new()], |prefixes, &count| {
        prefixes
            .iter()
            .flat_map(|prefix| (0..count).map(move |level| [prefix.as_slice(), &[level]].concat()))
            .collect()
    })
}

/// The fewest combinations in which every level of every factor is met, for what takes too long for all pairs.
pub fn each_level(levels: &[usize]) -> Vec<Combination> {
    let count = levels.iter().copied().max().unwrap_or(0);
    (0..count)
        .map(|number| {
            let level = |(factor, &count): (usize, &usize)| (number + factor) % count;
            levels.iter().enumerate().map(level).collect()
        })
        .collect()
}

/// Combinations that together contain every pair of levels of two factors. The same levels always give
/// the same set.
pub fn covering(levels: &[usize]) -> Vec<Combination> {
    let mut missing = all_pairs(levels);
    let mut chosen = Vec::new();
    while let Some(&seed) = missing.first() {
        let combination = grow(levels, seed, &missing);
        missing.retain(|pair| !contains(&combination, *pair));
        chosen.push(combination);
    }
    chosen
}

/// A level of a factor, twice.
type Pair = ((usize, usize), (usize, usize));

fn all_pairs(levels: &[usize]) -> BTreeSet<Pair> {
    let mut pairs = BTreeSet::new();
    for (first, &first_levels) in levels.iter().enumerate() {
        for (second, &second_levels) in levels.iter().enumerate().skip(first + 1) {
            for a in 0..first_levels {
                pairs.extend((0..second_levels).map(|b| ((first, a), (second, b))));
            }
        }
    }
    pairs
}

fn contains(combination: &[usize], ((first, a), (second, b)): Pair) -> bool {
    combination[first] == a && combination[second] == b
}

/// Fills the factors that `seed` leaves open, each with the level that meets the most missing pairs.
fn grow(levels: &[usize], seed: Pair, missing: &BTreeSet<Pair>) -> Combination {
    let mut partial: Vec<Option<usize>> = vec![None; levels.len()];
    partial[seed.0.0] = Some(seed.0.1);
    partial[seed.1.0] = Some(seed.1.1);
    for factor in 0..levels.len() {
        if partial[factor].is_some() {
            continue;
        }
        let gain = |level: usize| {
            let others = partial
                .iter()
                .enumerate()
                .filter_map(|(other, chosen)| Some((other, (*chosen)?)));
            others
                .filter(|&other| {
                    let this = (factor, level);
                    missing.contains(&if this < other {
                        (this, other)
                    } else {
                        (other, this)
                    })
                })
                .count()
        };
        partial[factor] = (0..levels[factor]).rev().max_by_key(|&level| gain(level));
    }
    partial
        .into_iter()
        .map(|level| level.unwrap_or_default())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{all, all_pairs, contains, covering, each_level};
    use std::collections::BTreeSet;

    #[test]
    fn every_pair_is_covered() {
        for levels in [&[2, 4, 3, 4, 3, 2][..], &[2, 2], &[5, 1, 5], &[3, 3, 3, 3]] {
            let set = covering(levels);
            for pair in all_pairs(levels) {
                assert!(
                    set.iter().any(|combination| contains(combination, pair)),
                    "{levels:?}: {pair:?}"
                );
            }
            for combination in &set {
                assert_eq!(combination.len(), levels.len());
                assert!(
                    combination
                        .iter()
                        .zip(levels)
                        .all(|(level, count)| level < count)
                );
            }
        }
    }

    #[test]
    fn the_set_is_small() {
        // No set can be smaller than the product of the two largest factors.
        let set = covering(&[2, 4, 3, 4, 3, 2]);
        assert!((16..=24).contains(&set.len()), "{}", set.len());
    }

    #[test]
    fn every_level_is_met() {
        for levels in [&[3, 3, 3][..], &[2, 4, 3]] {
            let set = each_level(levels);
            assert_eq!(set.len(), *levels.iter().max().unwrap());
            for (factor, &count) in levels.iter().enumerate() {
                let met: BTreeSet<usize> = set.iter().map(|levels| levels[factor]).collect();
                assert!(met.into_iter().eq(0..count), "{levels:?}: {factor}");
            }
        }
        assert!(each_level(&[]).is_empty());
    }

    #[test]
    fn the_whole_product_has_each_combination_once() {
        let product = all(&[2, 3, 4]);
        assert_eq!(product.len(), 24);
        assert!(product.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn one_factor_has_no_pairs_to_cover() {
        assert!(covering(&[4]).is_empty());
        assert!(covering(&[]).is_empty());
    }
}
