//! The console client, over terminals whose other end is the test.

use super::daemon::{Daemon, PATIENCE};
use dom0_tools::console::terminal::{PseudoTerminal, Terminal};
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Reads until the text has come.
fn read_until(output: &mut impl Read, wanted: &str) -> String {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(wanted.as_bytes()) {
        let count = output.read(&mut byte).unwrap();
        let so_far = String::from_utf8_lossy(&text);
        assert_eq!(count, 1, "'{so_far}' ends before '{wanted}'");
        text.push(byte[0]);
    }
    String::from_utf8(text).unwrap()
}

#[test]
fn a_console_whose_terminal_is_of_a_daemon_that_is_gone_is_waited_for() {
    let daemon = Daemon::start();
    let tty = "/local/domain/3/console/tty";
    daemon.run(&format!("write {tty} /dev/pts/none"));
    let mut client = Command::new(env!("CARGO_BIN_EXE_xenconsole"))
        .arg("3")
        .env("XENSTORED_PATH", daemon.directory.join("socket"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // It has looked once when it waits for the second time; in case it has not, the test is just an easier one.
    thread::sleep(Duration::from_millis(200));
    let mut terminal = PseudoTerminal::open().unwrap();
    daemon.run(&format!("write {tty} {}", terminal.path()));
    terminal.write(b"login: ");
    let mut shown = client.stdout.take().unwrap();
    assert_eq!(read_until(&mut shown, "login: "), "login: ");
    client.stdin.take().unwrap().write_all(b"\x1d").unwrap();
    assert!(client.wait().unwrap().success());
}

#[test]
fn a_console_is_attached_to_and_left() {
    let daemon = Daemon::start();
    let start = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_xenconsole"))
            .args(arguments)
            .env("XENSTORED_PATH", daemon.directory.join("socket"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    for (arguments, complaint) in [
        (&["x"][..], "Invalid DOMID `x'\n"),
        (&[], "DOMID should be specified\n"),
        (&["0"], "Can't specify Domain-0\n"),
    ] {
        let output = start(arguments).wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(22));
        assert_eq!(String::from_utf8_lossy(&output.stderr), complaint);
    }
    // The daemon's end of the terminal is kept by the test.
    let mut first = PseudoTerminal::open().unwrap();
    let mut client = start(&["3"]);
    let (mut typed, mut shown) = (client.stdin.take().unwrap(), client.stdout.take().unwrap());
    daemon.run(&format!(
        "write /local/domain/3/console/tty {}",
        first.path()
    ));
    assert_eq!(first.write(b"login: "), 7);
    assert_eq!(read_until(&mut shown, "login: "), "login: ");
    typed.write_all(b"root\r").unwrap();
    let (mut got, mut buffer) = (Vec::new(), [0; 64]);
    let started = Instant::now();
    while got != b"root\r" {
        assert!(started.elapsed() < PATIENCE, "{got:?}");
        let count = first.read(&mut buffer);
        got.extend_from_slice(&buffer[..count]);
        thread::sleep(Duration::from_millis(5));
    }
    // The guest gets another terminal.
    let mut second = PseudoTerminal::open().unwrap();
    daemon.run(&format!(
        "write /local/domain/3/console/tty {}",
        second.path()
    ));
    drop(first);
    second.write(b"again");
    assert_eq!(read_until(&mut shown, "again"), "again");
    // Ctrl-] alone detaches.
    typed.write_all(b"\x1d").unwrap();
    assert!(client.wait().unwrap().success());
    // The console is closed while somebody is attached, whose input has ended.
    let mut client = start(&["3"]);
    let mut shown = client.stdout.take().unwrap();
    drop(client.stdin.take());
    second.write(b"bye");
    assert_eq!(read_until(&mut shown, "bye"), "bye");
    daemon.run("rm /local/domain/3");
    assert!(client.wait().unwrap().success());
    // All that a guest has printed is shown, also to who is slow, when the daemon closes the console behind it.
    let mut last = PseudoTerminal::open().unwrap();
    daemon.run(&format!(
        "write /local/domain/3/console/tty {}",
        last.path()
    ));
    let mut client = start(&["3"]);
    let mut shown = client.stdout.take().unwrap();
    drop(client.stdin.take());
    last.write(b"up ");
    assert_eq!(read_until(&mut shown, "up "), "up ");
    let pid = nix::unistd::Pid::from_raw(client.id() as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGSTOP).unwrap();
    let words = "x".repeat(3000);
    assert_eq!(last.write(words.as_bytes()), words.len());
    daemon.run("rm /local/domain/3");
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGCONT).unwrap();
    let mut rest = String::new();
    shown.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, words);
    assert!(client.wait().unwrap().success());
}

#[test]
fn a_console_is_asked_for_by_a_number() {
    for (words, told) in [
        (&["-1"][..], "Invalid DOMID `-1'\n"),
        (&["x"], "Invalid DOMID `x'\n"),
        (&["65536"], "Invalid DOMID `65536'\n"),
        (&["0"], "Can't specify Domain-0\n"),
        (&[], "DOMID should be specified\n"),
        (
            &["--type", "serial", "1"],
            "there are no consoles of type serial, only pv\n",
        ),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_xenconsole"))
            .args(words)
            .output()
            .unwrap();
        // EINVAL.
        assert_eq!(output.status.code(), Some(22), "{words:?}");
        assert_eq!(String::from_utf8(output.stderr).unwrap(), told);
    }
    let output = Command::new(env!("CARGO_BIN_EXE_xenconsole"))
        .args(["--nonsense"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(22));
}
