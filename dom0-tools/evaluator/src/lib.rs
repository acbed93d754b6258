//! Configuration files as programs: how they are read, and what they assign.

mod blocks;
mod comparison;
pub mod evaluate;
#[cfg(test)]
mod evaluate_tests;
mod formatting;
mod literal;
mod native_modules;
mod natives;
#[cfg(test)]
mod old_language_tests;
pub mod process;
mod rewrite;
pub mod script;
mod statement;
mod surroundings;
mod token;
mod translate;
mod translated;

pub use native_modules::Commands;
