//! The daemon and the client programs as they are called, on a socket of their own.

mod clients;
mod consoles;
mod daemon;
mod hotplug_cleanup;
mod serving;
