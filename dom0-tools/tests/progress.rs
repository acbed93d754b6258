//! `xm` on a terminal, and elsewhere: who waits there is shown a bar, and nobody else.
#![cfg(feature = "domains")]

use dom0_tools::xend::protocol::{Request, Response};
use dom0_tools::xend::view::DomainView;
use nix::pty::openpty;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Longer than the moment after which a bar comes, on a machine with much else to do.
const DUMP_TAKES: Duration = Duration::from_secs(3);

fn view() -> DomainView {
    DomainView {
        domid: Some(3),
        name: "etch".to_owned(),
        uuid: "00000000-0000-0000-0000-000000000003".to_owned(),
        memory_mib: 128,
        maxmem_mib: 128,
        online_vcpus: 1,
        vcpus: 1,
        state: "-b----".to_owned(),
        is_suspended: false,
        cpu_seconds: 1.0,
        start_time: 0.0,
        paused_by_admin: false,
        restart_count: 0,
        store_mfn: 0,
        console_mfn: 0,
        config: None,
    }
}

fn answer(stream: UnixStream, dump_takes: Duration) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|read| read > 0) {
        let response = match serde_json::from_str(&line).unwrap() {
            Request::List { .. } => Response::Domains(vec![view()]),
            Request::DumpProgress { .. } => Response::Progress { done: 1, total: 4 },
            _ => {
                std::thread::sleep(dump_takes);
                Response::Done
            }
        };
        let text = serde_json::to_string(&response).unwrap() + "\n";
        if writer.write_all(text.as_bytes()).is_err() {
            return;
        }
        line.clear();
    }
}

/// Serves as `xend` does, for as long as the test runs.
fn serve(test: &str, dump_takes: Duration) -> PathBuf {
    let path = std::env::temp_dir().join(format!("progress-{test}-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer(stream, dump_takes));
        }
    });
    path
}

fn xm(socket: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xm"));
    command
        .args(["dump-core", "etch", "/tmp/core"])
        .env("XEND_SOCKET", socket)
        .env("TERM", "linux")
        .env_remove("XM_PROGRESS");
    command
}

/// Everything that comes out at a terminal.
fn on_a_terminal(command: &mut Command) -> String {
    let pty = openpty(None, None).unwrap();
    let slave = || Stdio::from(pty.slave.try_clone().unwrap());
    let mut child = command.stdout(slave()).stderr(slave()).spawn().unwrap();
    // The command has copies of its own, too.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut terminal = File::from(pty.master);
    let reader = std::thread::spawn(move || {
        let mut seen = Vec::new();
        let mut buffer = [0; 1024];
        // At the end of the last one who has it open, a terminal fails.
        while let Ok(count @ 1..) = terminal.read(&mut buffer) {
            seen.extend_from_slice(buffer.get(..count).unwrap());
        }
        String::from_utf8(seen).unwrap()
    });
    assert!(child.wait().unwrap().success());
    drop(pty.slave);
    reader.join().unwrap()
}

const SAID: &str = "Dumping core of domain: etch ...\r\n";
const ERASE: &str = "\r\u{1b}[K";

#[test]
fn who_waits_at_a_terminal_sees_a_bar_that_leaves_nothing() {
    let socket = serve("waits", DUMP_TAKES);
    let seen = on_a_terminal(&mut xm(&socket));
    let (said, bars) = seen.split_at(SAID.len());
    assert_eq!(said, SAID);
    let picture = format!("{ERASE}Dumping etch [#####               ]  25%");
    assert!(bars.starts_with(&picture), "{bars:?}");
    assert!(bars.ends_with(ERASE), "{bars:?}");
    assert_eq!(bars.replace(&picture, ""), ERASE);
    std::fs::remove_file(socket).unwrap();
}

#[test]
fn who_does_not_wait_sees_none() {
    let socket = serve("does-not", Duration::ZERO);
    assert_eq!(on_a_terminal(&mut xm(&socket)), SAID);
    std::fs::remove_file(socket).unwrap();
}

#[test]
fn programs_and_those_who_object_see_none() {
    let socket = serve("programs", DUMP_TAKES);
    let output = xm(&socket).output().unwrap();
    assert_eq!(output.stdout, SAID.replace('\r', "").as_bytes());
    assert_eq!(output.stderr, b"");
    for (name, value) in [("TERM", "dumb"), ("XM_PROGRESS", "off")] {
        assert_eq!(on_a_terminal(xm(&socket).env(name, value)), SAID);
    }
    std::fs::remove_file(socket).unwrap();
}
