//! Decoding and emulating the few instructions that a deprivileged guest kernel executes and that trap.
