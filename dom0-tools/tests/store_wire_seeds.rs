//! What the fuzzer sends to the store, on the committed seeds.

#[allow(unreachable_pub)] // It is exported elsewhere.
#[path = "../../tests/fuzz/src/store_wire.rs"]
mod store_wire;

use std::fs;

#[test]
fn every_message_of_the_seeds_has_its_answer() {
    let directory = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/fuzz/seeds/store_wire"
    );
    let mut count = 0;
    for seed in fs::read_dir(directory).unwrap() {
        let path = seed.unwrap().path();
        // Shown if the test fails.
        println!("{}", path.display());
        store_wire::run(&fs::read(&path).unwrap());
        count += 1;
    }
    assert_ne!(count, 0, "{directory} is empty");
    store_wire::run(&[]);
}
