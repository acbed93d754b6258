//! Domain configuration: from the files that administrators have to what is to be built.
//!
//! Files are programs of Python 2: [`program`] runs them, [`options`] knows what [`keys`] mean, [`domain`] is what comes
//! of it, and [`file`](mod@file) does all of it; [`apart`] bounds what a file may cost. [`disk`], [`vif`] and [`vfb`] read what devices are described by.
#![forbid(unsafe_code)]

pub mod apart;
pub mod device_number;
pub mod devices;
pub mod disk;
pub mod domain;
pub mod error;
pub mod file;
pub mod kernel_line;
pub mod keys;
pub mod mac;
pub mod options;
pub mod pairs;
pub mod program;
pub mod rate;
pub mod value;
pub mod vfb;
pub mod vif;

#[cfg(test)]
mod tests;
