//! What tools ask of the hypervisor, as plain data. The calls themselves are in [`device`](crate::device).
#![forbid(unsafe_code)]

pub mod cpu_list;
pub mod error;
pub mod machine_info;
