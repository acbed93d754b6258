//! Calls of vCPUs about their timers and their waiting, while time passes.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| hypervisor::event::vcpu_calls::run(bytes));
