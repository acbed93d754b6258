//! Compares `guest-abi` with a C compiler's reading of the public headers.
//!
//! The rows of [`guest_abi::INTERFACES`] become a C program with one question for each size,
//! alignment, offset, number and text. The program prints the compiler's answers; every answer that
//! differs from the row is a [`Mismatch`].
#![forbid(unsafe_code)]

mod program;
mod toolchain;

pub use program::{Mismatch, Program};
pub use toolchain::{HEADERS_PACKAGE, Missing, REQUIRE_VARIABLE, Toolchain, ToolchainError};
