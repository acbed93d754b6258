//! Grant-table calls of three domains on arrays that change under them, and entries that change before any access.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| paravane_fuzz::grant_tables(input));
