//! Interrupted work: at every point where it can be interrupted the end is the same, and many half done
//! operations at once leave the books exact.

mod chaos;
mod story;

use super::lock::PtDomain;
use super::pte;
use super::reference::Mm;
use super::test_machine::{FRAMES, TestMachine};
use super::verify::{Outside, Tally};
use guest_abi::ids::Mfn;

const RW: u64 = pte::PRESENT | pte::WRITABLE | pte::USER | pte::ACCESSED;

/// What holds whenever work is interrupted. Of the references from `outside` of the tables each is a general one, and
/// so many typed ones.
fn audit<'d>(
    mm: &Mm<'_, TestMachine<'_>>,
    domains: impl Iterator<Item = &'d PtDomain>,
    outside: impl Iterator<Item = (Mfn, u64)>,
) {
    let mut scratch = vec![Tally::default(); FRAMES as usize];
    let outside = outside.map(|(mfn, typed)| Outside {
        mfn,
        tally: Tally { general: 1, typed },
    });
    mm.verify(domains, outside, &mut scratch, &mut |finding| {
        panic!("{finding}")
    })
    .unwrap();
    mm.platform.check_caches();
}
