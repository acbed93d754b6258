//! Event-channel calls of three domains whose guests write to the shared bits meanwhile.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| paravane_fuzz::event_channels(input));
