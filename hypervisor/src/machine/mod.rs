//! What the machine is: boot information, memory map and ACPI tables, read without trusting them.
