//! Calls of a domain about its physical interrupts, between devices that raise them.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| hypervisor::irq::calls::run(bytes));
