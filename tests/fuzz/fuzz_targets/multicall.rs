//! Lists of hypercalls in memory that changes while they are interrupted.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| paravane_fuzz::multicall(input));
