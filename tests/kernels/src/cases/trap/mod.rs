//! Exceptions in the kernel.

pub(crate) mod unhandled;
