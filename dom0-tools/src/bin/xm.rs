//! Manages guests: `xm create`, `xm list`, ...
#![forbid(unsafe_code)]

use dom0_tools::xm::client::Client;
use dom0_tools::xm::run::{Session, run};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::io;
use std::process::ExitCode;

/// What this process may have in memory, whatever a configuration file makes of a few letters: the evaluator counts its
/// values only between operations, and one of them can make much at once. It ends `xm`, not a daemon of the first domain.
const MOST_BYTES: u64 = 1 << 30;

fn main() -> ExitCode {
    if let Ok((_, most)) = getrlimit(Resource::RLIMIT_AS) {
        // Without the bound everything else works.
        let _ = setrlimit(Resource::RLIMIT_AS, MOST_BYTES.min(most), most);
    }
    let words: Vec<String> = std::env::args_os()
        .skip(1)
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let mut client = Client::default();
    let mut session = Session {
        xend: &mut client,
        out: &mut io::stdout(),
        err: &mut io::stderr(),
    };
    ExitCode::from(run(&words, &mut session))
}
