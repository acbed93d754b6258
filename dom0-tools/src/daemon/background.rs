//! Running without a terminal.
//!
//! A daemon that is to run in the background starts itself once more, and leaves when that one says
//! that it serves; so whoever starts it can use it at once, and sees why it does not start.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

/// Tells a daemon that it is the one in the background.
pub const BACKGROUND_OPTION: &str = "--is-background";

const SERVES: &str = "serves";

/// Starts this program in the background, and returns when it serves.
///
/// # Errors
///
/// If it has left instead. It has said why.
pub fn start() -> io::Result<()> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg(BACKGROUND_OPTION)
        .args(std::env::args_os().skip(1))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    if let Some(output) = child.stdout.take() {
        BufReader::new(output).read_line(&mut line)?;
    }
    if line.trim_end() == SERVES {
        return Ok(());
    }
    let status = child.wait()?;
    Err(io::Error::other(format!("it has not started ({status})")))
}

/// Lets the daemon open many files, and be the last to be killed when memory is short.
pub fn prepare(open_files: u64) {
    if let Ok((_, most)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let raised = setrlimit(Resource::RLIMIT_NOFILE, open_files, open_files.max(most))
            .or_else(|_| setrlimit(Resource::RLIMIT_NOFILE, open_files.min(most), most));
        if let Err(error) = raised {
            log::warn!("the number of open files can't be raised to {open_files}: {error}");
        }
    }
    // Without the right to it the default stays.
    let _ = fs::write("/proc/self/oom_score_adj", "-900");
}

/// Writes the process number where others look for it.
pub fn write_pid_file(path: &Path) {
    if let Err(error) = fs::write(path, format!("{}\n", std::process::id())) {
        log::warn!("{}: {error}", path.display());
    }
}

/// Says that the daemon serves. In the background it leaves its starter's session and files.
pub fn is_started(is_background: bool) {
    if !is_background {
        return;
    }
    let _ = nix::unistd::setsid();
    let _ = std::env::set_current_dir("/");
    let mut output = io::stdout();
    let _ = writeln!(output, "{SERVES}").and_then(|()| output.flush());
    if let Ok(null) = OpenOptions::new().read(true).write(true).open("/dev/null") {
        leave_files(&null);
    }
}

fn leave_files(null: &File) {
    let _ = nix::unistd::dup2_stdout(null);
    let _ = nix::unistd::dup2_stderr(null);
}
