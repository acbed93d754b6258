//! What administrators run in the first domain: the rooms that its programs are made of.
//!
//! * [`store`] is the store's logic, [`daemon`] carries its messages;
//! * [`console`] has the guests' consoles;
//! * [`client`] talks to it, [`command_line`] says how all programs are called;
//! * [`device`] is the only room that touches the kernel's devices, and has all `unsafe`.
#![deny(unsafe_code)]

pub mod client;
pub mod command_line;
pub mod console;
pub mod daemon;
pub mod device;
pub mod store;
