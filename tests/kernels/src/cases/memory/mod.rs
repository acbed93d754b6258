//! Memory reservation, exchange, maps.

pub(crate) mod acquire_refusals;
pub(crate) mod claim;
pub(crate) mod decrease;
pub(crate) mod exchange;
pub(crate) mod exchange_long;
pub(crate) mod exchange_refusals;
pub(crate) mod map_of_domain;
pub(crate) mod other_guests;
pub(crate) mod populate;
pub(crate) mod sizes;
pub(crate) mod table_frames;
