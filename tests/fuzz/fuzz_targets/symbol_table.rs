//! A symbol table of any bytes, as damage may have left it: whatever address is asked for, the answer is wrong or
//! missing at worst, and comes to an end.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| paravane_fuzz::symbol_table(input));
