//! A second domain, made, run and destroyed by control operations.

pub(crate) mod context;
pub(crate) mod create;
pub(crate) mod create_refusals;
pub(crate) mod cycles;
pub(crate) mod destroy_long;
pub(crate) mod destroy_mapped;
pub(crate) mod events;
pub(crate) mod grants;
pub(crate) mod info;
pub(crate) mod many;
pub(crate) mod maptrack;
pub(crate) mod out_of_memory;
pub(crate) mod out_of_memory_race;
pub(crate) mod pause;
pub(crate) mod privileged_calls;
pub(crate) mod privileges;
pub(crate) mod shutdown;
pub(crate) mod suspend;
pub(crate) mod unknown;
