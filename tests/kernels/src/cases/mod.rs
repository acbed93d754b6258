//! The cases, one behaviour each. Every one is a function `run` that returns when the behaviour is right
//! and panics when it is not; [`crate::catalogue`] gives it its name.

pub(crate) mod bench;
pub(crate) mod call;
pub(crate) mod domain;
pub(crate) mod emulate;
pub(crate) mod emulator;
pub(crate) mod event;
pub(crate) mod grant;
pub(crate) mod guest;
pub(crate) mod hostile;
pub(crate) mod iret;
pub(crate) mod irq;
pub(crate) mod memory;
pub(crate) mod mmu;
pub(crate) mod preempt;
mod prelude;
pub(crate) mod processor;
pub(crate) mod pte_write;
pub(crate) mod sched;
pub(crate) mod segment;
pub(crate) mod start;
pub(crate) mod time;
pub(crate) mod trap;
pub(crate) mod types;
pub(crate) mod user;
