//! Exceptions in the kernel: which one, with which error code, and where.
//!
//! Of those that a processor may raise, vector 10 (an invalid task state segment) has no case: it takes a task switch, or an IRET with
//! the nested-task flag, and a guest in 64-bit mode has neither. That its entry pushes what it has to is seen by the hypervisor's own
//! test of all 256 entries (`hypervisor/tests/trap_entry.rs`).

pub(crate) mod alignment;
pub(crate) mod bad_stack;
pub(crate) mod bound_32bit;
pub(crate) mod breakpoint;
pub(crate) mod divide;
pub(crate) mod event_mask;
pub(crate) mod flags_cleared;
pub(crate) mod frame;
pub(crate) mod general_protection;
pub(crate) mod invalid_opcode;
pub(crate) mod nmi;
pub(crate) mod not_present;
pub(crate) mod page_fault;
pub(crate) mod page_fault_in_hypervisor;
pub(crate) mod simd;
pub(crate) mod single_step;
pub(crate) mod software_interrupt;
pub(crate) mod stack_segment;
pub(crate) mod table_refusals;
pub(crate) mod unhandled;
pub(crate) mod x87;
