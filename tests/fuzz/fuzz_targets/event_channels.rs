//! Event-channel calls of three domains whose guests write to the shared bits meanwhile.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| hypervisor::event::calls::run(bytes));
