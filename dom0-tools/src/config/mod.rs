//! Domain configuration: from the files that administrators have to what is to be built.
//!
//! Files are programs of Python 2. [`tokens`] and [`translate`] turn them into Starlark, [`evaluate`] runs them, with
//! [`natives`] in place of what they import.

mod addresses;
pub mod devices;
pub mod domain;
pub mod evaluate;
pub mod file;
mod format;
pub mod kernel_line;
pub mod keys;
mod natives;
pub mod tokens;
pub mod translate;
pub mod value;

#[cfg(test)]
mod tests;
