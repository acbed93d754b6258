//! ACPI tables in a physical memory of any content: each table is read, or refused by name.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| paravane_fuzz::acpi_tables(input));
