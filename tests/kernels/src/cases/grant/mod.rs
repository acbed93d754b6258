//! Grants, from a domain to itself.

pub(crate) mod copy;
pub(crate) mod copy_refusals;
pub(crate) mod long;
pub(crate) mod map_by_entry;
pub(crate) mod map_device;
pub(crate) mod map_host;
pub(crate) mod map_over;
pub(crate) mod map_readonly;
pub(crate) mod map_refusals;
pub(crate) mod replace;
pub(crate) mod sizes;
pub(crate) mod transfer;
pub(crate) mod versions;
