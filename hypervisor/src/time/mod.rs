//! System time, wall clock and timers.
#![forbid(unsafe_code)]

pub mod clock;
pub mod cmos;
pub mod guest_clock;
pub mod scale;
