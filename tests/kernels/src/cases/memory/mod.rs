//! Memory reservation, exchange, maps.

pub(crate) mod exchange;
pub(crate) mod exchange_long;
pub(crate) mod exchange_refusals;
