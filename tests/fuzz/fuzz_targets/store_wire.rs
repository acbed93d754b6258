//! Two guests and the first domain's kernel send the store whatever they like: every message gets one
//! answer, what is counted is what is there, and quotas hold.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| paravane_fuzz::store_wire(input));
