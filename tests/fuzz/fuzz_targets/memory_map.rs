//! A firmware memory map of any entries: what the cleaned map calls RAM, every entry calls RAM.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| paravane_fuzz::memory_map(input));
