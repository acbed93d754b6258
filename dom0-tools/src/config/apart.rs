//! Configuration files, read in a process of its own.
//!
//! The evaluator counts loops, calls and values only between operations, and a single one can make or compare much. So
//! another program does it, with bounds that the kernel keeps, and a file that goes beyond them is taken for a refused
//! one: whatever is in a file, it ends in moments, with a sentence, and costs nobody else. Nor does anybody else have to
//! load the evaluator, which is much larger than all the rest.

use super::error::{ConfigError, Origin};
use super::evaluated::Evaluated;
use super::keys::Overrides;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::Signal;
use nix::sys::time::TimeValLike;
use std::env;
use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Output, Stdio};
use std::time::Duration;

/// The program that reads files, beside the one that runs. The file's name and the command line's variables follow.
const PROGRAM: &str = "xm-evaluate";
/// Processor time; a file that computes much takes half a second where the processor is emulated.
pub const MOST_SECONDS: u64 = 10;
/// Who has computed for so long was not only waiting.
const MUCH: Duration = Duration::from_secs(1);
/// From the start to the end, in seconds: a file may also wait, for a file that is a pipe say.
pub const MOST_WAITING_SECONDS: u32 = 30;

/// Has the file read.
fn output(path: &Path, overrides: &Overrides) -> io::Result<Output> {
    let variables = overrides.0.iter();
    Command::new(env::current_exe()?.with_file_name(PROGRAM))
        .arg(path)
        .args(variables.map(|(key, value)| format!("{key}={value}")))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?
        .wait_with_output()
}

/// Reads a file in a process that this program starts, and waits for.
///
/// # Errors
///
/// What is wrong with it.
pub fn evaluate_apart(path: &Path, overrides: &Overrides) -> Result<Evaluated, ConfigError> {
    let failed = |reason: String| ConfigError::Failed {
        origin: Some(Origin::File {
            file: path.display().to_string(),
            line: None,
        }),
        reason,
    };
    let output = output(path, overrides)
        .map_err(|error| failed(format!("{PROGRAM}, which reads it, can't be run: {error}")))?;
    if !output.status.success() {
        return Err(failed(why(output.status, &output.stderr, computed())));
    }
    // What commands complain of that it runs.
    let _ = io::stderr().write_all(&output.stderr);
    let answer: Result<Evaluated, ConfigError> = postcard::from_bytes(&output.stdout)
        .map_err(|error| failed(format!("what it assigns is not understood: {error}")))?;
    answer
}

/// How long processes have computed that this one has waited for: there is no other.
fn computed() -> Duration {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_CHILDREN) else {
        return Duration::ZERO;
    };
    let time = usage.user_time() + usage.system_time();
    Duration::from_millis(u64::try_from(time.num_milliseconds()).unwrap_or(0))
}

/// Why the process has ended that was to read a file.
fn why(status: ExitStatus, complaint: &[u8], computed: Duration) -> String {
    let signal = status
        .signal()
        .and_then(|number| Signal::try_from(number).ok());
    match signal {
        Some(Signal::SIGXCPU) => {
            format!("this computes for more than {MOST_SECONDS} s; is there a loop without an end?")
        }
        // On a machine with much else to do.
        Some(Signal::SIGALRM) if computed >= MUCH => format!(
            "this is not read within {MOST_WAITING_SECONDS} s; is there a loop without an end?"
        ),
        Some(Signal::SIGALRM) => {
            format!("this is not read within {MOST_WAITING_SECONDS} s; is one of its files a pipe?")
        }
        // An allocation was refused, a stack was at its end, or the machine had no memory left.
        Some(Signal::SIGABRT | Signal::SIGSEGV | Signal::SIGBUS | Signal::SIGKILL) => {
            "this needs more memory than any configuration".to_owned()
        }
        _ => format!(
            "the process that reads it has ended ({status}): {}",
            String::from_utf8_lossy(complaint).trim()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_to_end_has_its_sentence() {
        let pipe = "this is not read within 30 s; is one of its files a pipe?";
        let endless = "this is not read within 30 s; is there a loop without an end?";
        for (signal, seconds, sentence) in [
            (Signal::SIGXCPU, 10, "this computes for more than 10 s; "),
            (Signal::SIGALRM, 0, pipe),
            (Signal::SIGALRM, 5, endless),
            (Signal::SIGABRT, 0, "this needs more memory than any"),
        ] {
            let computed = Duration::from_secs(seconds);
            let said = why(ExitStatus::from_raw(signal as i32), b"", computed);
            assert!(said.starts_with(sentence), "{said}");
        }
    }
}
