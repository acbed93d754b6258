//! Kernel files of any content: opened, unpacked, read and laid out, or refused with a sentence.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| paravane_fuzz::kernel_image(input));
