//! System time, wall clock and timers.
//!
//! *System time* counts nanoseconds since the hypervisor started, the same on all processors. It comes
//! from the time stamp counter by a fixed-point [`scale`]; guests are given the scale and a reading, and
//! compute it themselves. All of this room is plain data: who owns it, locks it.
#![forbid(unsafe_code)]

pub mod calibration;
pub mod clock;
pub mod cmos;
pub mod guest_clock;
pub mod queue;
pub mod runstate;
pub mod scale;
pub mod vcpu_timers;
