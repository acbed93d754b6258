//! A vCPU's entry points, tables and registers, as a guest sets them from memory that changes.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| paravane_fuzz::processor_state(input));
