//! Calls of a domain about its physical interrupts, between devices that raise them.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| paravane_fuzz::physical_interrupts(input));
