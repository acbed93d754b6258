//! Hypercalls of two domains on their page tables, interrupted anywhere, in memory that the guests write to
//! meanwhile. No processor may reach what the types forbid, and the books must be exact at the end.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| paravane_fuzz::page_tables(input));
