//! Talking to the store: for `xenstore-read` and its like, and for other tools.
#![forbid(unsafe_code)]

pub mod connection;
pub mod escape;
pub mod listing;
pub mod tools;
