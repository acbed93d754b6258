//! What administrators run in the first domain: the rooms that its programs are made of.
#![deny(unsafe_code)]

pub mod daemon;
pub mod store;
