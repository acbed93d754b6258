//! The daemon: its starts and ends, what it keeps, and clients that do not behave.

use super::daemon::{Daemon, PATIENCE};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::{Duration, Instant};
use std::{fs, thread};

#[test]
fn the_state_outlives_a_daemon_that_is_stopped_or_killed() {
    let mut daemon = Daemon::start();
    daemon.run("write /a/b 1");
    daemon.run("chmod /a/b n0 r3");
    daemon.restart("-KILL");
    daemon.run("write /a/c 2");
    daemon.restart("-TERM");
    let listing = daemon.run("ls -f -p /a");
    assert_eq!(listing, "/a/b = \"1\"   (n0,r3)\n/a/c = \"2\"   (n0)\n");
    assert_eq!(daemon.run("control check"), "OK\n");
}

#[test]
fn a_state_of_another_boot_is_not_taken_up() {
    let mut daemon = Daemon::start();
    daemon.run("write /a 1");
    daemon.process.kill().unwrap();
    daemon.process.wait().unwrap();
    let path = daemon.directory.join("state");
    let mut state = fs::read(&path).unwrap();
    // Within the identifier of the boot.
    state[30] ^= 1;
    fs::write(&path, state).unwrap();
    daemon.process = Daemon::spawn(&daemon.directory);
    assert_eq!(daemon.refused("exists /a"), "");
}

#[test]
fn the_daemon_starts_in_the_background_and_only_once() {
    let mut daemon = Daemon::start();
    let second = Daemon::command(&daemon.directory)
        .arg("-N")
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1));
    let complaint = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(complaint.contains("another daemon answers"), "{complaint}");
    daemon.process.kill().unwrap();
    daemon.process.wait().unwrap();

    let started = Daemon::command(&daemon.directory).output().unwrap();
    assert!(started.status.success());
    let pid = fs::read_to_string(daemon.directory.join("pid")).unwrap();
    daemon.run("write /a 1");
    let killed = Command::new("kill").arg(pid.trim()).status().unwrap();
    assert!(killed.success());
    let waited = Instant::now();
    while daemon.directory.join("pid").exists() {
        assert!(waited.elapsed() < PATIENCE, "the daemon does not stop");
        thread::sleep(Duration::from_millis(10));
    }
    assert!(daemon.log().contains("xenstored stops"));
}

#[test]
fn quotas_are_set_when_it_starts() {
    let mut daemon = Daemon::start();
    daemon.process.kill().unwrap();
    daemon.process.wait().unwrap();
    let bad = Daemon::command(&daemon.directory)
        .args(["-N", "-Q", "node=1"])
        .output()
        .unwrap();
    assert!(!bad.status.success());
    assert!(String::from_utf8_lossy(&bad.stderr).contains("there is no quota node"));
    daemon.process = Daemon::command(&daemon.directory)
        .args(["-N", "-Q", "nodes=77"])
        .spawn()
        .unwrap();
    let started = Instant::now();
    while !daemon.output("control help").status.success() {
        assert!(started.elapsed() < PATIENCE);
        thread::sleep(Duration::from_millis(10));
    }
    let quotas = daemon.run("control quota");
    assert!(quotas.contains("nodes                     77"), "{quotas}");
    assert!(
        daemon
            .refused("control nonsense")
            .contains("no such command")
    );
}

#[test]
fn requests_are_traced_into_a_file_of_their_own() {
    let mut daemon = Daemon::start();
    daemon.process.kill().unwrap();
    daemon.process.wait().unwrap();
    let trace = daemon.directory.join("trace");
    let bad = Daemon::command(&daemon.directory)
        .args(["-N", "-T", "/proc/none"])
        .output()
        .unwrap();
    assert_eq!(bad.status.code(), Some(1));
    let complaint = String::from_utf8_lossy(&bad.stderr).into_owned();
    assert!(
        complaint.contains("/proc/none: ") && complaint.contains("--trace-file"),
        "{complaint}"
    );
    daemon.process = Daemon::command(&daemon.directory)
        .arg("-N")
        .arg("-T")
        .arg(&trace)
        .spawn()
        .unwrap();
    let started = Instant::now();
    while !daemon.output("write /traced 1").status.success() {
        assert!(started.elapsed() < PATIENCE);
        thread::sleep(Duration::from_millis(10));
    }
    daemon.refused("read /traced/none");
    let traced = fs::read_to_string(&trace).unwrap();
    for wanted in [
        "(Write) in transaction 0, \"/traced\\x001\": done",
        "(Read) in transaction 0, \"/traced/none\\x00\": ENOENT",
    ] {
        assert!(traced.contains(wanted), "{traced}");
    }
    assert!(!daemon.log().contains("in transaction"), "{}", daemon.log());
    // Somebody moves it away, and it is opened again.
    fs::rename(&trace, daemon.directory.join("old")).unwrap();
    let number = daemon.process.id().to_string();
    let told = Command::new("kill").args(["-HUP", &number]).status();
    assert!(told.unwrap().success());
    while !trace.exists() {
        assert!(started.elapsed() < PATIENCE);
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(daemon.run("control log off"), "OK\n");
    let traced = fs::read_to_string(&trace).unwrap();
    daemon.run("write /traced 2");
    assert_eq!(fs::read_to_string(&trace).unwrap(), traced);
}

fn request(message_type: u32, payload: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    for number in [message_type, 0, 0, payload.len() as u32] {
        message.extend_from_slice(&number.to_le_bytes());
    }
    message.extend_from_slice(payload);
    message
}

/// Two clients send all that they can and take no answer; the daemon does not grow, and a third is served.
#[test]
fn clients_that_do_not_read_do_not_matter_to_others() {
    let daemon = Daemon::start();
    daemon.run(&format!("write /big {}", "x".repeat(3000)));
    let read = request(2, b"/big\0").repeat(100);
    let watch_all = request(4, b"/\0token\0");
    let mut hostile = Vec::new();
    for _ in 0..2 {
        let mut stream = UnixStream::connect(daemon.directory.join("socket")).unwrap();
        stream.set_nonblocking(true).unwrap();
        stream.write_all(&watch_all).unwrap();
        hostile.push(stream);
    }
    let mut fill = || {
        for stream in &mut hostile {
            while stream.write(&read).is_ok() {}
        }
    };
    fill();
    daemon.run("read /big");
    let before = daemon.memory_kib();
    let started = Instant::now();
    for round in 0..30 {
        fill();
        daemon.run(&format!("write /n{round} {}", "y".repeat(2000)));
    }
    let grown = daemon.memory_kib().saturating_sub(before);
    assert!(grown < 4096, "the daemon has grown by {grown} KiB");
    assert!(started.elapsed() < PATIENCE);
    let clients = daemon.run("control clients");
    assert_eq!(clients.lines().count(), 3, "{clients}");
}

#[test]
fn a_message_that_is_too_long_ends_the_connection() {
    let daemon = Daemon::start();
    let mut stream = UnixStream::connect(daemon.directory.join("socket")).unwrap();
    let mut message = request(2, b"");
    message[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
    stream.write_all(&message).unwrap();
    assert_eq!(stream.read(&mut [0; 16]).unwrap_or(0), 0);
    assert_eq!(daemon.run("exists /tool"), "");
    assert!(daemon.log().contains("longer than the protocol allows"));
}

#[test]
fn the_read_only_socket_only_reads() {
    let daemon = Daemon::start();
    let socket = daemon.directory.join("socket_ro");
    let run = |line: &str| {
        let mut command = daemon.client(line);
        command.env("XENSTORED_PATH", &socket).output().unwrap()
    };
    assert!(run("exists /tool").status.success());
    assert!(!run("write /a 1").status.success());
    assert_eq!(daemon.refused("exists /a"), "");
}
