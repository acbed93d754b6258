//! A daemon of a test, and the client programs that talk to it.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use std::{fs, thread};

/// Longer than anything takes on a machine that is busy with much else.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A daemon in a directory of its own.
pub(crate) struct Daemon {
    /// Its own.
    pub(crate) directory: PathBuf,
    /// It runs in the foreground.
    pub(crate) process: Child,
}

impl Daemon {
    pub(crate) fn start() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("xenstored-test-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).unwrap();
        let process = Self::spawn(&directory);
        Self { directory, process }
    }

    pub(crate) fn command(directory: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xenstored"));
        command
            .args(["--no-hypervisor", "--pid-file"])
            .arg(directory.join("pid"))
            .arg("--log-file")
            .arg(directory.join("log"))
            .env("XENSTORED_PATH", directory.join("socket"));
        command
    }

    pub(crate) fn spawn(directory: &Path) -> Child {
        let process = Self::command(directory).arg("--no-fork").spawn().unwrap();
        let started = Instant::now();
        while UnixStream::connect(directory.join("socket")).is_err() {
            assert!(started.elapsed() < PATIENCE, "the daemon does not answer");
            thread::sleep(Duration::from_millis(10));
        }
        process
    }

    pub(crate) fn restart(&mut self, signal: &str) {
        let number = self.process.id().to_string();
        let killed = Command::new("kill").args([signal, &number]).status();
        assert!(killed.unwrap().success());
        self.process.wait().unwrap();
        self.process = Self::spawn(&self.directory);
    }

    pub(crate) fn client(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xenstore"));
        command
            .args(line.split(' ').filter(|word| !word.is_empty()))
            .env("XENSTORED_PATH", self.directory.join("socket"));
        command
    }

    pub(crate) fn output(&self, line: &str) -> Output {
        self.client(line).output().unwrap()
    }

    /// The standard output of a command that succeeds and complains of nothing.
    pub(crate) fn run(&self, line: &str) -> String {
        let output = self.output(line);
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {complaint}");
        assert_eq!(complaint, "", "{line}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What a command complains of that fails with status 1 and prints nothing.
    pub(crate) fn refused(&self, line: &str) -> String {
        let output = self.output(line);
        assert_eq!(output.status.code(), Some(1), "{line}");
        assert_eq!(output.stdout, b"", "{line}");
        String::from_utf8(output.stderr).unwrap()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap()
    }

    /// KiB of memory that the daemon has.
    pub(crate) fn memory_kib(&self) -> u64 {
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
