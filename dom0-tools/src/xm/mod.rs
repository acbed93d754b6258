//! `xm`: what administrators type.
//!
//! [`commands`] lists the subcommands, [`run`] reads a command line and does what it says, by [`domain`], [`host`],
//! [`create`] and [`wait`]; [`boot_menu`] is shown before a guest with a boot loader; texts are made by [`output`], [`help`] and [`manual`], and [`progress`] shows who
//! waits that something happens. What answers is behind
//! [`client::Xend`], and output goes where the caller says, so everything is tested without a daemon.
#![forbid(unsafe_code)]

pub mod arguments;
mod boot_menu;
pub mod client;
pub mod commands;
pub mod create;
mod device;
pub mod device_output;
pub mod domain;
pub mod failure;
pub mod help;
pub mod host;
pub mod manual;
mod memory;
pub mod output;
pub mod pool_output;
mod pools;
pub mod progress;
pub mod run;
mod scheduler;
pub mod scheduler_output;
pub mod wait;

#[cfg(test)]
mod tests;
