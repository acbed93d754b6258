//! What the control side decides about arguments of tools.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| paravane_fuzz::control_operations(input));
