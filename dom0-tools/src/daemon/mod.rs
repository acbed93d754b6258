//! `xenstored`: carries messages between clients and the [store](crate::store).
//!
//! One thread, which never waits for a client: sockets do not block, rings are memory. Who has something to
//! do is in a queue and gets a turn of bounded work ([`connection`]), so that a client that asks
//! without end delays another by one turn. Each turn is written down in the [`state_file`] before anything of
//! it is seen outside, so a daemon that is killed at any moment is continued by the next one:
//! guests do not notice.
#![forbid(unsafe_code)]

pub mod background;
pub mod carrier;
pub mod connection;
pub mod event_loop;
pub mod log_file;
pub mod logging;
pub mod ring;
pub mod socket;
pub mod state_file;
pub mod transport;

#[cfg(test)]
mod carrier_tests;
