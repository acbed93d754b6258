//! Guest user mode: how it is entered, and every way back.

pub(crate) mod bad_kernel_stack;
pub(crate) mod bound_32bit;
pub(crate) mod breakpoint;
pub(crate) mod divide;
pub(crate) mod floating_point;
pub(crate) mod frame;
pub(crate) mod general_protection;
pub(crate) mod int80_32bit;
pub(crate) mod invalid_opcode;
pub(crate) mod overflow_32bit;
pub(crate) mod page_fault;
pub(crate) mod segment_bases;
pub(crate) mod single_step;
pub(crate) mod software_interrupt;
pub(crate) mod syscall;
pub(crate) mod syscall_32bit;
pub(crate) mod syscall_event_mask;
pub(crate) mod syscall_flags;
pub(crate) mod syscall_without_callback;
pub(crate) mod sysenter;
pub(crate) mod task_switched;
pub(crate) mod upcall;
