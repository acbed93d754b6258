//! Floating-point and debug registers.

pub(crate) mod avx_per_vcpu;
pub(crate) mod breakpoint_held;
pub(crate) mod breakpoint_in_argument;
pub(crate) mod breakpoint_in_kernel;
pub(crate) mod breakpoint_in_user;
pub(crate) mod breakpoint_left;
pub(crate) mod breakpoint_switched;
pub(crate) mod debug_per_vcpu;
pub(crate) mod debug_refusals;
pub(crate) mod debug_registers;
pub(crate) mod fpu_idle;
pub(crate) mod fpu_moving;
pub(crate) mod fpu_of_new_vcpu;
pub(crate) mod fpu_per_vcpu;
pub(crate) mod task_switched;
