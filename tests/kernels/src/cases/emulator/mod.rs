//! What shows faults of the emulator.

pub(crate) mod patched_code;
