//! Two domains that give memory back, exchange it and get more, between calls on page tables.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| hypervisor::mm::memory_calls::run(bytes));
