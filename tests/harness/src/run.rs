//! One machine, running.
//!
//! QEMU is started as the head of a process group of its own, and the kernel ends it when the thread that
//! started it ends. Every way out of a [`Run`] ends the whole group, so that nothing outlives a test.

use crate::machine::{Machine, Medium};
use crate::qemu::Qemu;
use crate::serial::{Line, Serial};
use crate::verdict::Ending;
use crate::work;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use regex_lite::Regex;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// How long a process that has closed its output may take to be gone.
const EXIT_GRACE: Duration = Duration::from_secs(5);

/// How long QEMU's monitor may take to answer.
const MONITOR_LIMIT: Duration = Duration::from_secs(10);
/// A wait of at least this is in vain only where something is wrong: it is found out what each processor does.
const LONG: Duration = Duration::from_secs(30);
/// For how long the machine is watched after it has been looked at.
const WATCHED: Duration = Duration::from_secs(5);
/// What QEMU's monitor says when it is ready for a command.
const MONITOR_PROMPT: &str = "(qemu) ";

/// Why a wait for a line has ended without it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Missing {
    /// The time is up.
    TimedOut,
    /// The time is up, the machine was silent for long, and went on when its emulator was asked what it does: the
    /// question changes nothing of the machine, so it was the emulator that slept.
    Slept,
    /// The machine has ended before.
    Ended(Ending),
}

/// A running machine and what it has said.
#[derive(Debug)]
pub struct Run {
    child: Child,
    started: Instant,
    chunks: Receiver<(Duration, Vec<u8>)>,
    serial: Serial,
    log: File,
    log_path: PathBuf,
    /// The socket of QEMU's monitor.
    monitor: Option<PathBuf>,
    /// When it said something.
    heard: Instant,
    /// How long processors have worked for it, as was last seen.
    work: Duration,
    /// Lines up to here have been seen by a wait.
    seen: usize,
    /// Set when the process is known to be gone: its number may belong to another one from then on.
    ending: Option<Ending>,
}

impl Run {
    /// Starts `machine` from `medium`. What it prints is kept in the file `log`.
    pub fn start(qemu: &Qemu, machine: &Machine, medium: &Medium, log: &Path) -> io::Result<Self> {
        let monitor = log.with_extension("monitor");
        let mut command = Command::new(&qemu.command);
        command.args(machine.arguments(medium, &monitor));
        let mut run = Self::spawn(command, log)?;
        run.monitor = Some(monitor);
        Ok(run)
    }

    /// Starts any command whose standard streams are a serial line.
    pub fn spawn(command: Command, log_path: &Path) -> io::Result<Self> {
        let mut log = File::create(log_path)?;
        let words: Vec<_> = command
            .get_args()
            .map(|word| word.to_string_lossy())
            .collect();
        writeln!(
            log,
            "+ {} {}",
            command.get_program().to_string_lossy(),
            words.join(" ")
        )?;

        let mut guarded = Command::new("setpriv");
        guarded
            .args(["--pdeathsig", "KILL", "--"])
            .arg(command.get_program())
            .args(command.get_args());
        guarded
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log.try_clone()?);
        let started = Instant::now();
        let mut child = guarded.spawn()?;

        let (sender, chunks) = channel();
        let mut output = child
            .stdout
            .take()
            .ok_or_else(|| io::Error::other("no pipe to the serial line"))?;
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut buffer) {
                if sender
                    .send((started.elapsed(), buffer[..count].to_vec()))
                    .is_err()
                {
                    break;
                }
            }
        });
        let log_path = log_path.to_path_buf();
        Ok(Self {
            child,
            started,
            chunks,
            serial: Serial::default(),
            log,
            log_path,
            monitor: None,
            heard: started,
            work: Duration::ZERO,
            seen: 0,
            ending: None,
        })
    }

    /// Waits up to `limit` for a line that `pattern` matches, among those that no earlier wait has passed.
    /// A line counts when it has ended, or when nothing can follow.
    pub fn wait_for(&mut self, pattern: &Regex, limit: Duration) -> Result<Line, Missing> {
        self.wait_among(Serial::ended_lines, pattern, limit)
    }

    /// As [`Run::wait_for`], and a line that may still grow counts too: for prompts.
    pub fn wait_for_prompt(&mut self, pattern: &Regex, limit: Duration) -> Result<Line, Missing> {
        self.wait_among(Serial::lines, pattern, limit)
    }

    fn wait_among(
        &mut self,
        candidates: fn(&Serial) -> &[Line],
        pattern: &Regex,
        limit: Duration,
    ) -> Result<Line, Missing> {
        let deadline = Instant::now() + limit;
        let mut missing = None;
        loop {
            let lines = if missing.is_some() {
                self.serial.lines()
            } else {
                candidates(&self.serial)
            };
            let fresh = lines.get(self.seen..).unwrap_or_default();
            if let Some(index) = fresh.iter().position(|line| pattern.is_match(&line.text)) {
                let line = fresh[index].clone();
                self.seen += index + 1;
                return Ok(line);
            }
            // An open line is looked at again: it may grow.
            self.seen = self.seen.max(self.serial.ended_lines().len());
            if let Some(missing) = missing {
                return Err(missing);
            }
            match self.receive(deadline) {
                Ok(()) => {}
                Err(RecvTimeoutError::Timeout) => {
                    let is_silent = self.heard.elapsed() >= LONG;
                    let goes_on = limit >= LONG && self.examine();
                    return Err(match is_silent && goes_on {
                        true => Missing::Slept,
                        false => Missing::TimedOut,
                    });
                }
                Err(RecvTimeoutError::Disconnected) => missing = Some(Missing::Ended(self.reap())),
            }
        }
    }

    /// Waits up to `limit` for the machine to end, and ends it then.
    pub fn wait_for_end(&mut self, limit: Duration) -> Ending {
        let deadline = Instant::now() + limit;
        loop {
            match self.receive(deadline) {
                Ok(()) => {}
                Err(RecvTimeoutError::Timeout) => {
                    if limit >= LONG {
                        self.examine();
                    }
                    self.stop();
                    return Ending::TimedOut;
                }
                Err(RecvTimeoutError::Disconnected) => return self.reap(),
            }
        }
    }

    /// Types `text` on the serial line.
    pub fn send(&mut self, text: &str) -> io::Result<()> {
        let input = self.child.stdin.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        input.write_all(text.as_bytes())?;
        input.flush()
    }

    /// Gives QEMU's monitor a command (what an operator at the machine does) and returns what it prints.
    pub fn command_monitor(&self, command: &str) -> io::Result<String> {
        let monitor = self.monitor.as_ref().ok_or(io::ErrorKind::Unsupported)?;
        let mut socket = UnixStream::connect(monitor)?;
        socket.set_read_timeout(Some(MONITOR_LIMIT))?;
        read_until_prompt(&mut socket)?;
        writeln!(socket, "{command}")?;
        // Hanging up before the answer would take the command back.
        read_until_prompt(&mut socket)
    }

    /// Writes into the log what can be known of a machine that does not go on: first of the emulator's threads, as
    /// the kernel shows them, which changes nothing; then of the processors and their interrupts, as the monitor shows
    /// them; then whether being looked at has woken it, which is returned.
    pub fn examine(&mut self) -> bool {
        let threads = format!("/proc/{}/task", self.child.id());
        let mut found = String::from("\n- no end in time; the emulator's threads:\n");
        for thread in std::fs::read_dir(threads).into_iter().flatten().flatten() {
            let read = |file| std::fs::read_to_string(thread.path().join(file)).unwrap_or_default();
            found += &format!(
                "{}{}{}",
                read("stat"),
                read("syscall"),
                read("wchan").trim_end()
            );
            found.push('\n');
        }
        let registers = self
            .command_monitor("info registers -a")
            .unwrap_or_default();
        let nr_processors = registers.matches("CPU#").count();
        found += &registers;
        for processor in 0..nr_processors {
            found += &self
                .command_monitor(&format!("info lapic {processor}"))
                .unwrap_or_default();
        }
        let _ = writeln!(
            self.log,
            "{}\n- what comes from now on:",
            found.replace('\r', "")
        );
        let examined = Instant::now();
        while self.receive(examined + WATCHED).is_ok() {}
        self.heard >= examined
    }

    /// Every line so far.
    pub fn lines(&self) -> &[Line] {
        self.serial.lines()
    }

    /// Where the log is.
    pub fn log_path(&self) -> &Path {
        &self.log_path
    }

    /// Takes what has come, or waits for more until `deadline`.
    fn receive(&mut self, deadline: Instant) -> Result<(), RecvTimeoutError> {
        let remaining = deadline.saturating_duration_since(Instant::now());
        let (at, bytes) = self.chunks.recv_timeout(remaining)?;
        self.heard = Instant::now();
        // A log that can't be written must not change a verdict.
        let _ = self.serial.feed(&bytes, at, &mut self.log);
        Ok(())
    }

    /// How the process, whose output is closed, has ended.
    fn reap(&mut self) -> Ending {
        if let Some(ending) = self.ending {
            return ending;
        }
        self.look_at_work();
        let deadline = Instant::now() + EXIT_GRACE;
        let status = loop {
            match self.child.try_wait() {
                Ok(None) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(2))
                }
                Ok(status) => break status,
                Err(_) => break None,
            }
        };
        let Some(status) = status else {
            self.stop();
            return Ending::TimedOut;
        };
        self.kill_group();
        let ending = match status.signal() {
            Some(signal) => Ending::Killed(signal),
            None => Ending::Exited(status.code().unwrap_or_default()),
        };
        self.end(ending);
        ending
    }

    /// Ends the process, if it has not ended.
    fn stop(&mut self) {
        if self.ending.is_none() {
            self.look_at_work();
            self.kill_group();
            let _ = self.child.wait();
            self.end(Ending::TimedOut);
        }
    }

    /// The machine's process, which heads a process group of the same number.
    pub fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// How long processors have worked for the machine so far.
    pub fn work(&self) -> io::Result<Duration> {
        work::of_process(self.child.id())
    }

    /// Remembers [`Self::work`], for when the process is gone.
    fn look_at_work(&mut self) {
        // A log without it is still a log.
        self.work = self.work().unwrap_or_default();
    }

    fn kill_group(&self) {
        let _ = killpg(Pid::from_raw(self.child.id() as i32), Signal::SIGKILL);
    }

    fn end(&mut self, ending: Ending) {
        self.ending = Some(ending);
        let _ = writeln!(
            self.log,
            "\n- after {:.3} s, {:.2} s of work: {ending}",
            self.started.elapsed().as_secs_f64(),
            self.work.as_secs_f64()
        );
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.stop();
        if let Some(monitor) = &self.monitor {
            let _ = std::fs::remove_file(monitor);
        }
    }
}

fn read_until_prompt(socket: &mut UnixStream) -> io::Result<String> {
    let mut text = String::new();
    let mut buffer = [0; 1024];
    while !text.ends_with(MONITOR_PROMPT) {
        match socket.read(&mut buffer)? {
            0 => break,
            count => text.push_str(&String::from_utf8_lossy(&buffer[..count])),
        }
    }
    Ok(text)
}
