//! Scripts that give a device what is behind it: `/etc/xen/scripts`.
//!
//! They get words and variables as they have always had them, so administrators' own ones work. A script is the leader of
//! a process group, which is killed when its time is over; what it prints goes to a log. Programs that it leaves behind in
//! the background stay.
//!
//! The daemon's threads leave its signals to one that waits for them, and a process that they start would begin with these
//! signals blocked, and so would all that it starts: a server that a script has started could not be told to end. So the
//! daemon's own program is started, which [unblocks](become_script) them and becomes the script.

use crate::bounded_file;
use crate::daemon::log_file::{LogFile, Readers};
use nix::sys::signal::{SigSet, Signal, kill, killpg};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Where they are.
pub(super) const SCRIPTS: &str = "/etc/xen/scripts";
const LOG: &str = "/var/log/xen/xen-hotplug.log";
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Whatever has become of its file.
const THIS_PROGRAM: &str = "/proc/self/exe";
const RUN_SCRIPT: &str = "--run-script";
const GLANCE: Duration = Duration::from_millis(5);
/// The longest output that is looked at for its last line.
const MOST_SAID: u64 = 16 << 10;
/// The longest environment of a process that is looked at.
const MOST_ENVIRONMENT: u64 = 64 << 10;
const MARK: &str = "XENBUS_PATH=";
/// So often it is looked for processes that one has started before it was killed.
const MOST_GENERATIONS: u32 = 100;

/// Who gives a device what is behind it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Script {
    pub(super) program: PathBuf,
    /// What it gets behind what is to be done.
    pub(super) words: Vec<String>,
}

impl Script {
    /// A name without a slash is that of a script in [`SCRIPTS`].
    pub(super) fn named(name: &str) -> Self {
        let program = match name.contains('/') {
            true => PathBuf::from(name),
            false => Path::new(SCRIPTS).join(name),
        };
        Self {
            program,
            words: Vec::new(),
        }
    }

    /// As a setting has it: a name, and perhaps words for it.
    pub(super) fn with_words(setting: &str) -> Self {
        let mut words = setting.split_whitespace();
        let mut script = Self::named(words.next().unwrap_or_default());
        script.words = words.map(str::to_owned).collect();
        script
    }
}

/// A script that is run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Call {
    /// Which.
    pub program: PathBuf,
    /// What is to be done, and more.
    pub words: Vec<String>,
    /// More variables.
    pub variables: Vec<(&'static str, String)>,
}

/// Why a script has not done what it was to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ScriptFailure {
    /// It could not be run.
    NotRun(String),
    /// It was killed after so long.
    TookTooLong(Duration),
    /// It says so by its status.
    Status {
        /// Of which it has ended.
        status: String,
        /// The last line that it has printed.
        said: String,
    },
}

impl fmt::Display for ScriptFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRun(why) => write!(f, "can't be run: {why}"),
            Self::TookTooLong(limit) => write!(
                f,
                "has not ended within {} seconds, and was killed",
                limit.as_secs_f64().ceil()
            ),
            Self::Status { status, said } if said.is_empty() => {
                write!(f, "has failed ({status}) and printed nothing")
            }
            Self::Status { status, said } => write!(f, "has failed ({status}): {said}"),
        }
    }
}

/// Runs a script to its end.
pub(super) fn run(call: &Call, limit: Duration) -> Result<(), ScriptFailure> {
    let not_run = |error: io::Error| ScriptFailure::NotRun(error.to_string());
    let (log, begin) =
        open_log(call).map_err(|error| ScriptFailure::NotRun(format!("{LOG}: {error}")))?;
    let mut command = Command::new(THIS_PROGRAM);
    command
        .arg(RUN_SCRIPT)
        .arg(&call.program)
        .args(&call.words)
        .envs(call.variables.iter().map(|(name, value)| (name, value)))
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(log.try_clone().map_err(not_run)?)
        .stderr(log.try_clone().map_err(not_run)?);
    if std::env::var_os("PATH").is_none() {
        command.env("PATH", PATH);
    }
    let mut child = command.spawn().map_err(not_run)?;
    let ended = wait(&mut child, limit).map_err(not_run)?;
    match ended {
        None => Err(ScriptFailure::TookTooLong(limit)),
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(ScriptFailure::Status {
            status: status.to_string(),
            said: last_line(log, begin),
        }),
    }
}

/// With these words the daemon's program [becomes](become_script) the script that follows. If it doesn't, it says why.
pub fn is_to_become_script(words: &[OsString]) -> Option<io::Error> {
    match words {
        [_, option, program, words @ ..] if option == RUN_SCRIPT => {
            Some(become_script(Path::new(program), words))
        }
        _ => None,
    }
}

/// Returns only if it can't.
fn become_script(program: &Path, words: &[OsString]) -> io::Error {
    if let Err(error) = SigSet::empty().thread_set_mask() {
        return error.into();
    }
    Command::new(program).args(words).exec()
}

/// The log, and where what the script will print begins in it.
fn open_log(call: &Call) -> io::Result<(File, u64)> {
    let path = Path::new(LOG);
    let mut log = LogFile::open(path, Readers::Group)?;
    let of = call
        .variables
        .iter()
        .find(|(name, _)| *name == "XENBUS_PATH");
    let of = of.map_or("the first domain", |(_, of)| of);
    let title = format!(
        "{of}: {} {}\n",
        call.program.display(),
        call.words.join(" ")
    );
    log.write(title.as_bytes(), |gap| {
        format!("{} lines are missing: {}\n", gap.pieces, gap.why)
    });
    let mut file = OpenOptions::new().read(true).append(true).open(path)?;
    let begin = file.seek(SeekFrom::End(0))?;
    Ok((file, begin))
}

/// The status of a script; `None` if it was killed.
fn wait(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if began.elapsed() >= limit {
            // All of it: what it waits for may be a child of its own.
            let group = i32::try_from(child.id()).map(Pid::from_raw);
            let killed = group.map(|group| killpg(group, Signal::SIGKILL));
            if !matches!(killed, Ok(Ok(()))) {
                child.kill()?;
            }
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(GLANCE);
    }
}

/// The last line that a script has printed; if several print at once, perhaps another one's.
fn last_line(mut log: File, begin: u64) -> String {
    let end = log.seek(SeekFrom::End(0)).unwrap_or(begin);
    let from = begin.max(end.saturating_sub(MOST_SAID));
    let mut bytes = Vec::new();
    let read = log
        .seek(SeekFrom::Start(from))
        .and_then(|_| log.take(MOST_SAID).read_to_end(&mut bytes));
    if read.is_err() {
        return String::new();
    }
    let text = String::from_utf8_lossy(&bytes);
    let mut lines = text.lines().map(str::trim);
    let last = lines.rfind(|line| !line.is_empty());
    last.unwrap_or_default().replace(char::is_control, "?")
}

/// Whether a process has the variable that scripts for a backend have.
pub(super) fn is_of(process: &str, backend: &str) -> bool {
    let path = Path::new("/proc").join(process).join("environ");
    // One that is dead has none.
    let Ok(environment) = bounded_file::read(&path, MOST_ENVIRONMENT) else {
        return false;
    };
    let mark = format!("{MARK}{backend}");
    let mut variables = environment.split(|&byte| byte == 0);
    variables.any(|variable| variable == mark.as_bytes())
}

/// Kills the processes of scripts for a backend, by the variable that they have, and those that they start meanwhile.
pub(super) fn end_orphans(backend: &str) {
    for _ in 0..MOST_GENERATIONS {
        let Ok(processes) = fs::read_dir("/proc") else {
            return;
        };
        let names = processes.flatten().map(|process| process.file_name());
        let numbers = names.filter_map(|name| name.to_string_lossy().parse::<i32>().ok());
        let orphans: Vec<i32> = numbers
            .filter(|number| is_of(&number.to_string(), backend))
            .collect();
        if orphans.is_empty() {
            return;
        }
        for number in orphans {
            log::warn!("process {number}, for {backend}, is left of a former xend, and is killed");
            let _ = kill(Pid::from_raw(number), Signal::SIGKILL);
        }
        std::thread::sleep(GLANCE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_where_they_have_always_been() {
        let script = Script::with_words("vif-bridge bridge=xenbr1");
        assert_eq!(script.program, Path::new("/etc/xen/scripts/vif-bridge"));
        assert_eq!(script.words, ["bridge=xenbr1"]);
        assert_eq!(Script::named("/opt/x").program, Path::new("/opt/x"));
    }

    #[test]
    fn a_script_that_hangs_is_killed_with_its_children() {
        let mut child = Command::new("/bin/sh")
            .args(["-c", "sleep 1000 & echo $!; wait"])
            .process_group(0)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = [0; 32];
        let length = child.stdout.as_mut().unwrap().read(&mut said).unwrap();
        let inner: i32 = str::from_utf8(&said[..length])
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        assert_eq!(wait(&mut child, Duration::from_millis(20)).unwrap(), None);
        // Dead, though perhaps not yet waited for by whoever does that for orphans.
        let began = Instant::now();
        let is_alive = || {
            let stat = fs::read_to_string(format!("/proc/{inner}/stat")).unwrap_or_default();
            let state = stat.rsplit(") ").next().unwrap_or_default();
            !state.is_empty() && !state.starts_with('Z')
        };
        while is_alive() {
            assert!(began.elapsed() < Duration::from_secs(10));
            std::thread::sleep(GLANCE);
        }
    }

    #[test]
    fn what_a_script_says_last_is_told() {
        let path = std::env::temp_dir().join(format!("hotplug-{}", std::process::id()));
        fs::write(&path, "before\nfirst\nno such\x1bthing\n\n").unwrap();
        assert_eq!(last_line(File::open(&path).unwrap(), 7), "no such?thing");
        assert_eq!(last_line(File::open(&path).unwrap(), 29), "");
        fs::remove_file(path).unwrap();
    }
}
