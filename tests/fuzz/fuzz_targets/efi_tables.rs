//! UEFI's system table in a physical memory of any content: it leads to ACPI's root pointer, or to none.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| paravane_fuzz::efi_tables(input));
