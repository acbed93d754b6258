//! A guest of any state at an instruction of any bytes, by each of the three doors: #GP, #UD and a write to a page
//! table. Whatever happens, the emulator must not do what a processor would never do.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| paravane_fuzz::insn_execute(input));
