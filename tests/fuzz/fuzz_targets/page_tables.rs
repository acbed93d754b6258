//! Hypercalls of two domains on their page tables, interrupted anywhere, in memory that the guests write to
//! meanwhile. No processor may reach what the types forbid, and the books must be exact at the end.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| hypervisor::mm::calls::run(bytes));
