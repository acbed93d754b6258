//! The type protocol, explored to the end; and protocols that are wrong, in which the checker must find why.

use models::frame_types::{Flaw, FrameTypes};
use stateright::{Checker, HasDiscoveries, Model};

const TABLE_WRITTEN: &str = "nobody can write to a table in force";
const PAGE_WALKED: &str = "nobody walks through a page that is written to";
const COUNTS: &str = "every count is what is there";

fn explore(flaw: Flaw, until: HasDiscoveries) -> impl Checker<FrameTypes> {
    let model = FrameTypes {
        flaw,
        references: 1,
    };
    let threads = std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(2);
    let checker = model
        .checker()
        .threads(threads)
        .finish_when(until)
        .spawn_bfs()
        .join();
    println!(
        "{flaw:?}: {} states, depth {}, {:?}",
        checker.unique_state_count(),
        checker.max_depth(),
        checker.discoveries().keys()
    );
    checker
}

fn finds(flaw: Flaw, property: &'static str) {
    let checker = explore(flaw, HasDiscoveries::AllOf([property].into()));
    let path = checker.assert_any_discovery(property);
    println!("{:?}", path.into_actions());
}

#[test]
fn a_flush_that_is_left_out_is_found() {
    finds(Flaw::NoFlush, TABLE_WRITTEN);
}

#[test]
fn a_time_of_the_last_use_that_is_left_out_is_found() {
    finds(Flaw::NoStamp, TABLE_WRITTEN);
}

#[test]
fn a_time_that_was_read_too_early_is_found() {
    finds(Flaw::StaleTime, TABLE_WRITTEN);
}

#[test]
fn a_time_of_a_table_that_is_left_out_is_found() {
    finds(Flaw::NoTableStamp, PAGE_WALKED);
}

#[test]
fn a_residue_that_is_ignored_is_found() {
    finds(Flaw::ResidueIgnored, COUNTS);
}

#[test]
#[ignore = "long"]
fn the_protocol_holds_in_every_state() {
    let checker = explore(Flaw::None, HasDiscoveries::AnyFailures);
    assert!(checker.is_done());
    checker.assert_properties();
    // So many that they can't be but a corner of the protocol: one that is never left has no flaw either.
    assert!(checker.unique_state_count() > 10_000_000);
}
