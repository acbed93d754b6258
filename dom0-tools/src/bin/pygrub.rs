//! Reads a guest's disk for `xend` and `xm`, which start it: nobody else understands what it writes.
#![forbid(unsafe_code)]

use dom0_tools::pygrub::serve::serve;
use std::process::ExitCode;

fn main() -> ExitCode {
    let word = std::env::args().nth(1);
    match serve(word.as_deref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pygrub: {error}");
            ExitCode::FAILURE
        }
    }
}
