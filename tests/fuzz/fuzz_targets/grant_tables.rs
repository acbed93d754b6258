//! Grant-table calls of three domains on arrays that change under them, and entries that change before any access.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| hypervisor::grant::calls::run(bytes));
