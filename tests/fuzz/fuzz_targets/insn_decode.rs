//! Instruction bytes of any content: what our decoder claims, a full decoder sees as well, and the other way round.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| paravane_fuzz::insn_decode(input));
