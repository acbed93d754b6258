//! Manages guests: `xm create`, `xm list`, ...
#![forbid(unsafe_code)]

use dom0_tools::config::apart::evaluate_apart;
use dom0_tools::xm::client::Client;
use dom0_tools::xm::progress::Progress;
use dom0_tools::xm::run::{Session, run};
use std::io;
use std::process::ExitCode;

fn main() -> ExitCode {
    dom0_tools::panics::end_the_program();
    let words: Vec<String> = std::env::args_os()
        .skip(1)
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let mut client = Client::default();
    let mut session = Session {
        xend: &mut client,
        evaluate: &evaluate_apart,
        progress: Progress::for_terminals(),
        out: &mut io::stdout(),
        err: &mut io::stderr(),
    };
    ExitCode::from(run(&words, &mut session))
}
