//! A multiboot2 information block of any content: it is read, or refused by name.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| paravane_fuzz::multiboot_info(input));
