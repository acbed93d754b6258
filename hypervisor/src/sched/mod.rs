//! Scheduling: which vCPU runs where and for how long, and when one may run at all.
#![forbid(unsafe_code)]

pub mod run_state;
