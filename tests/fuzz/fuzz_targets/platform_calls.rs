//! What kernels ask about the hypervisor and the machine, with arguments in memory that changes.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| paravane_fuzz::platform_calls(input));
