//! Clocks, timers, and accounts of time.

pub(crate) mod clock_area;
pub(crate) mod runstate;
