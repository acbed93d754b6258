//! `xend` becomes the script that it runs.
#![forbid(unsafe_code)]
#![cfg(feature = "domains")]

use nix::sys::signal::{SigSet, Signal};
use std::process::{Command, Output};

fn run(words: &[&str]) -> Output {
    let mut xend = Command::new(env!("CARGO_BIN_EXE_xend"));
    xend.arg("--run-script").args(words).output().unwrap()
}

#[test]
fn a_script_can_be_told_to_end_whatever_its_daemon_has_blocked() {
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGTERM);
    mask.add(Signal::SIGHUP);
    mask.thread_block().unwrap();
    let ended = run(&["/bin/sh", "-c", "grep SigBlk /proc/self/status; exit 3"]);
    assert_eq!(ended.status.code(), Some(3));
    assert_eq!(
        String::from_utf8_lossy(&ended.stdout),
        "SigBlk:\t0000000000000000\n"
    );
}

#[test]
fn what_is_no_program_is_told() {
    let ended = run(&["/none", "add"]);
    assert_eq!(ended.status.code(), Some(126));
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.starts_with("it can't be run: No such file"), "{said}");
}
