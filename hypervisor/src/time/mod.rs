//! System time, wall clock and timers.
