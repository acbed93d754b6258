//! The daemon and the client programs as they are called, on a socket of their own.

use dom0_tools::console::terminal::{PseudoTerminal, Terminal};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use std::{fs, thread};

/// Longer than anything takes on a machine that is busy with much else.
const PATIENCE: Duration = Duration::from_secs(60);

/// A daemon in a directory of its own.
struct Daemon {
    directory: PathBuf,
    process: Child,
}

impl Daemon {
    fn start() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("xenstored-test-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).unwrap();
        let process = Self::spawn(&directory);
        Self { directory, process }
    }

    fn command(directory: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xenstored"));
        command
            .args(["--no-hypervisor", "--pid-file"])
            .arg(directory.join("pid"))
            .arg("--log-file")
            .arg(directory.join("log"))
            .env("XENSTORED_PATH", directory.join("socket"));
        command
    }

    fn spawn(directory: &Path) -> Child {
        let process = Self::command(directory).arg("--no-fork").spawn().unwrap();
        let started = Instant::now();
        while UnixStream::connect(directory.join("socket")).is_err() {
            assert!(started.elapsed() < PATIENCE, "the daemon does not answer");
            thread::sleep(Duration::from_millis(10));
        }
        process
    }

    fn restart(&mut self, signal: &str) {
        let number = self.process.id().to_string();
        let killed = Command::new("kill").args([signal, &number]).status();
        assert!(killed.unwrap().success());
        self.process.wait().unwrap();
        self.process = Self::spawn(&self.directory);
    }

    fn client(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xenstore"));
        command
            .args(line.split(' ').filter(|word| !word.is_empty()))
            .env("XENSTORED_PATH", self.directory.join("socket"));
        command
    }

    fn output(&self, line: &str) -> Output {
        self.client(line).output().unwrap()
    }

    /// The standard output of a command that succeeds and complains of nothing.
    fn run(&self, line: &str) -> String {
        let output = self.output(line);
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {complaint}");
        assert_eq!(complaint, "", "{line}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What a command complains of that fails with status 1 and prints nothing.
    fn refused(&self, line: &str) -> String {
        let output = self.output(line);
        assert_eq!(output.status.code(), Some(1), "{line}");
        assert_eq!(output.stdout, b"", "{line}");
        String::from_utf8(output.stderr).unwrap()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap()
    }

    /// KiB of memory that the daemon has.
    fn memory_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let number = line.unwrap().split_whitespace().nth(1);
        number.unwrap().parse().unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

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
fn several_writes_are_all_done_or_none() {
    let daemon = Daemon::start();
    assert_eq!(
        daemon.refused("write /a 1 /b. 2"),
        "xenstore: could not write path /b.\n"
    );
    assert_eq!(daemon.refused("exists /a"), "");
    assert!(daemon.refused("write /a").contains("/a"));
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
