//! Clocks, timers, and accounts of time.

pub(crate) mod clock_area;
pub(crate) mod older_timer;
pub(crate) mod periodic;
pub(crate) mod runstate;
pub(crate) mod runstate_of_user;
pub(crate) mod single_shot;
