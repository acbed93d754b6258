//! Event channels.

pub(crate) mod bind_vcpu;
pub(crate) mod interdomain;
pub(crate) mod interdomain_refusals;
pub(crate) mod ipi;
pub(crate) mod many_ports;
pub(crate) mod mask_race;
pub(crate) mod masked;
pub(crate) mod no_arrays;
pub(crate) mod poll;
pub(crate) mod register_info;
pub(crate) mod reset;
pub(crate) mod send_refusals;
pub(crate) mod status;
pub(crate) mod unmask_elsewhere;
pub(crate) mod upcall_mask;
pub(crate) mod virq;
