//! Domain configuration: from the files that administrators have to what is to be built.
//!
//! Files are programs of Python 2: the package `evaluator` runs them, in a process that [`apart`] starts and that bounds itself,
//! [`evaluated`] is what they assign. [`options`] knows what [`keys`] mean, `without_effect` which of them mean nothing here, [`domain`] is what comes of it, and
//! [`file`](mod@file) does all of it. [`disk`], [`image`], [`vif`] and [`vfb`] read what devices are described by.
#![forbid(unsafe_code)]

pub mod apart;
pub mod device_number;
pub mod devices;
pub mod disk;
pub mod domain;
pub mod error;
pub mod evaluated;
pub mod features;
pub mod file;
pub mod image;
pub mod kernel_line;
pub mod keys;
pub mod mac;
mod machine_parts;
pub mod options;
pub mod pairs;
pub mod rate;
pub mod value;
pub mod vfb;
pub mod vif;
pub(crate) mod without_effect;
