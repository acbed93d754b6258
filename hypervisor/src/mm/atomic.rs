//! The atomics that the frame table is made of: the processor's, or loom's when its models are checked
//! (`RUSTFLAGS="--cfg loom"`).

#[cfg(not(loom))]
pub(super) use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

#[cfg(loom)]
pub(super) use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};
