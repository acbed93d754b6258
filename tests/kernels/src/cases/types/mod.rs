//! The type rules: what a frame is, and what it can't be at the same time.

pub(crate) mod cache_attributes;
pub(crate) mod descriptor_table;
pub(crate) mod device_memory;
pub(crate) mod forbidding_table;
pub(crate) mod forced_bits;
pub(crate) mod foreign_frame;
pub(crate) mod hypervisor_slots;
pub(crate) mod large_page;
pub(crate) mod linear;
pub(crate) mod loaded_root;
pub(crate) mod partial_validation;
pub(crate) mod pin_of_writable;
pub(crate) mod reserved_bits;
pub(crate) mod shared_table;
pub(crate) mod shared_with_hypervisor;
pub(crate) mod type_race;
pub(crate) mod unpinned_is_free;
pub(crate) mod writable_mapping_of_table;
pub(crate) mod wrong_level;
