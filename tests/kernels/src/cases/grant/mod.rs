//! Grants, from a domain to itself.

pub(crate) mod sizes;
pub(crate) mod versions;
