//! Hypercalls as such, and those that say who the hypervisor is.

pub(crate) mod bad_pointers;
pub(crate) mod callbacks;
pub(crate) mod console;
pub(crate) mod console_refusals;
pub(crate) mod from_user_mode;
pub(crate) mod machine_check;
pub(crate) mod multicall;
pub(crate) mod multicall_long;
pub(crate) mod multicall_refusals;
pub(crate) mod multicall_with_iret;
pub(crate) mod physdev_refusals;
pub(crate) mod platform;
pub(crate) mod platform_operations;
pub(crate) mod platform_time;
pub(crate) mod registers;
pub(crate) mod registers_resumed;
pub(crate) mod unknown_numbers;
pub(crate) mod unknown_operations;
pub(crate) mod version_features;
pub(crate) mod version_numbers;
pub(crate) mod version_refusals;
pub(crate) mod version_texts;
pub(crate) mod vm_assist;
