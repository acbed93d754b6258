//! Two domains that give memory back, exchange it and get more, between calls on page tables.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| paravane_fuzz::memory_operations(input));
