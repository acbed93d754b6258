//! Lists of hypercalls in memory that changes while they are interrupted.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| hypervisor::continuation::calls::run(bytes));
