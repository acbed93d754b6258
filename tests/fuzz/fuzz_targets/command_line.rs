//! A command line of any bytes: options within their bounds, and warnings that can be printed.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| paravane_fuzz::command_line(input));
