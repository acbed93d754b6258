//! What the client programs print, and what they complain of.

use super::daemon::Daemon;
use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{fs, thread};

#[test]
fn nodes_are_written_and_shown() {
    let daemon = Daemon::start();
    assert_eq!(daemon.run("write /a/b 1 /a/c x\\ty"), "");
    assert_eq!(daemon.run("read /a/b"), "1\n");
    assert_eq!(daemon.run("read -p /a/b /a/c"), "/a/b: 1\n/a/c: x\\ty\n");
    assert_eq!(daemon.run("read -R /a/c"), "x\ty");
    assert_eq!(daemon.run("list /a"), "b\nc\n");
    assert_eq!(daemon.run("list -p /a"), "/a/b\n/a/c\n");
    assert_eq!(daemon.run("write rel 2"), "");
    assert_eq!(daemon.run("read -s /local/domain/0/rel"), "2\n");
    assert_eq!(daemon.run("exists /a /a/b"), "");
    assert_eq!(daemon.refused("exists /a /none"), "");
    assert_eq!(daemon.run("rm /a/b"), "");
    assert_eq!(
        daemon.refused("read /a/b"),
        "xenstore: couldn't read path /a/b\n"
    );
    assert_eq!(
        daemon.refused("list /none"),
        "xenstore: could not list path /none\n"
    );
    assert_eq!(
        daemon.refused("rm /none/x"),
        "xenstore: could not remove path /none/x\n"
    );
    assert_eq!(daemon.run("write /t/u/v 1"), "");
    assert_eq!(daemon.run("rm -t /t/u/v"), "");
    assert_eq!(daemon.refused("exists /t"), "");
}

#[test]
fn any_bytes_are_a_value() {
    let daemon = Daemon::start();
    for (options, value) in [
        ("write /a", &b"caf\xe9\xff"[..]),
        ("write -R /b", b"\\x\xe9"),
    ] {
        let value = OsStr::from_bytes(value);
        let written = daemon.client(options).arg(value).output().unwrap();
        assert!(written.status.success(), "{written:?}");
    }
    assert_eq!(daemon.run("read /a"), "caf\\xe9\\xff\n");
    assert_eq!(daemon.output("read -R /b").stdout, b"\\x\xe9");
}

#[test]
fn several_writes_are_all_done_or_none() {
    let daemon = Daemon::start();
    assert_eq!(
        daemon.refused("write /a 1 /b. 2"),
        "xenstore: could not write path /b.\n"
    );
    assert_eq!(daemon.refused("exists /a"), "");
}

/// As the stock programs say it, without asking the store.
#[test]
fn a_name_without_a_value_is_wrong_usage() {
    let daemon = Daemon::start();
    let program = env!("CARGO_BIN_EXE_xenstore");
    let usage = "[-h] [-s] [-R] key value [...]\n";
    for line in ["write /a", "write /a 1 /b", "write -R /a 1 /b"] {
        assert_eq!(
            daemon.refused(line),
            format!("xenstore: Usage: {program} write {usage}"),
            "{line}"
        );
    }
    let link = daemon.directory.join("xenstore-write");
    std::os::unix::fs::symlink(program, &link).unwrap();
    let output = Command::new(&link).arg("/a").output().unwrap();
    assert_eq!((output.status.code(), output.stdout), (Some(1), vec![]));
    let told = format!("xenstore-write: Usage: {} {usage}", link.display());
    assert_eq!(String::from_utf8_lossy(&output.stderr), told);
    assert_eq!(daemon.refused("exists /a"), "");
}

#[test]
fn the_tree_is_listed_as_ever() {
    let daemon = Daemon::start();
    let long = "v".repeat(200);
    daemon.run(&format!("write /a/b x /a/long {long}"));
    daemon.run("chmod /a/b n0 r3");
    // Without a terminal a line has 80 columns, one more where the value is cut.
    let cut = &long[..80 - " long = \"...\"".len()];
    assert_eq!(
        daemon.run("ls"),
        format!("a = \"\"\n b = \"x\"\n long = \"{cut}\\...\"\ntool = \"\"\n xenstored = \"\"\n")
    );
    assert_eq!(
        daemon.run("ls -f /a"),
        format!("/a/b = \"x\"\n/a/long = \"{long}\"\n")
    );
    assert_eq!(
        daemon.run("ls -f -p /a").lines().next(),
        Some("/a/b = \"x\"   (n0,r3)")
    );
    assert_eq!(
        daemon.run("ls -p /a").lines().next(),
        Some("b = \"x\"  . . . . . . . . . . . . . . . . . . . . . . . . . .  (n0,r3)")
    );
    assert!(daemon.refused("ls /none").contains("No such file"));
}

#[test]
fn permissions_are_set_upwards_and_downwards() {
    let daemon = Daemon::start();
    daemon.run("write /a/b/c 1");
    daemon.run("chmod -r /a b0 r3");
    daemon.run("chmod -u /a/b n0 w4");
    let listing = daemon.run("ls -f -p");
    for line in [
        "/a = \"\"   (n0,w4)",
        "/a/b = \"\"   (n0,w4)",
        "/a/b/c = \"1\"   (b0,r3)",
    ] {
        assert!(listing.contains(line), "{listing}");
    }
    assert_eq!(
        daemon.refused("chmod /a zz"),
        "xenstore: Invalid permission specification: 'z'\n"
    );
    assert!(
        daemon
            .refused("chmod /none n0")
            .contains("'/none': No such file")
    );
}

#[test]
fn directories_of_any_size_are_listed() {
    let daemon = Daemon::start();
    let names: Vec<_> = (0..900).map(|number| format!("child{number:04}")).collect();
    for some in names.chunks(300) {
        let pairs: Vec<_> = some.iter().map(|name| format!("/big/{name} x")).collect();
        daemon.run(&format!("write {}", pairs.join(" ")));
    }
    assert_eq!(daemon.run("list /big"), names.join("\n") + "\n");
}

#[test]
fn watches_print_what_changes() {
    let daemon = Daemon::start();
    let mut watch = daemon
        .client("watch -n 3 /w")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = watch.stdout.take().unwrap();
    let mut first = [0; 3];
    output.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"/w\n");
    daemon.run("write /w/a 1");
    daemon.run("rm /w");
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "/w/a\n/w\n");
    assert!(watch.wait().unwrap().success());
}

#[test]
fn a_program_by_its_own_name_complains_by_it() {
    let daemon = Daemon::start();
    let link = daemon.directory.join("xenstore-read");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_xenstore"), &link).unwrap();
    let run = |arguments: &[&str]| {
        Command::new(&link)
            .args(arguments)
            .env("XENSTORED_PATH", daemon.directory.join("socket"))
            .output()
            .unwrap()
    };
    let output = run(&["/none"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stderr, b"xenstore-read: couldn't read path /none\n");
    let help = run(&["-h"]);
    assert_eq!((help.status.code(), help.stdout), (Some(1), vec![]));
    assert!(String::from_utf8_lossy(&help.stderr).contains("Usage: xenstore read"));
    assert_eq!(run(&[]).status.code(), Some(1));
}

#[test]
fn without_a_daemon_it_is_said_so() {
    let mut daemon = Daemon::start();
    daemon.process.kill().unwrap();
    daemon.process.wait().unwrap();
    let complaint = daemon.refused("read -s /a");
    assert!(complaint.contains("is xenstored running?"), "{complaint}");
}

#[test]
fn who_is_not_answered_is_told_so() {
    // Somebody takes requests, and answers none.
    let directory = std::env::temp_dir().join(format!("xenstore-silent-{}", std::process::id()));
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).unwrap();
    let socket = directory.join("socket");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let silent = thread::spawn(move || {
        let clients: Vec<_> = listener.incoming().take(3).collect();
        thread::sleep(Duration::from_secs(15));
        clients.len()
    });
    let told = format!(
        "the store is not reached at {}: it does not answer within 10 seconds; is xenstored running?\n",
        socket.display()
    );
    thread::scope(|scope| {
        for line in ["read /a", "write /a 1", "ls"] {
            let (socket, told) = (&socket, &told);
            scope.spawn(move || {
                let output = Command::new(env!("CARGO_BIN_EXE_xenstore"))
                    .args(line.split(' '))
                    .env("XENSTORED_PATH", socket)
                    .output()
                    .unwrap();
                assert_eq!(output.status.code(), Some(1), "{line}");
                assert_eq!(output.stdout, b"", "{line}");
                let said = String::from_utf8(output.stderr).unwrap();
                assert_eq!(said, format!("xenstore: {told}"), "{line}");
            });
        }
    });
    assert_eq!(silent.join().unwrap(), 3);
    fs::remove_dir_all(&directory).unwrap();
}
