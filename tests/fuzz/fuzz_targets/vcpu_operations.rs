//! Calls of vCPUs about their timers and their waiting, while time passes.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| paravane_fuzz::vcpu_operations(input));
