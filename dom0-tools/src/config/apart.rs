//! Configuration files, read in a process of its own.
//!
//! The evaluator counts loops, calls and values only between operations, and a single one can make or compare much. So
//! the program starts itself once more, with bounds that the kernel keeps, and takes a file that goes beyond them for a
//! refused one: whatever is in a file, it ends in moments, with a sentence, and costs nobody else.

use super::error::{ConfigError, Origin};
use super::file::evaluate_file;
use super::keys::Overrides;
use super::program::evaluate::Evaluated;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use nix::unistd::alarm;
use std::fs;
use std::io::{self, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::panic;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

/// The first word of a command line that asks for a file to be read; its name and the command line's variables follow.
pub const OPTION: &str = "--evaluate";

/// Processor time; a file that computes much takes half a second where the processor is emulated.
const MOST_SECONDS: u64 = 10;
/// Address space, of which the evaluator's stack and values are an eighth each.
const MOST_BYTES: u64 = 512 << 20;
/// From the start to the end, in seconds: a file may also wait, for a file that is a pipe say.
const MOST_WAITING_SECONDS: u32 = 30;
/// What a file may assign in all: an element takes a byte or two here, and many times as much where it is read.
const MOST_ANSWER_BYTES: usize = 256 << 10;
/// The first to be killed when the machine has no memory left.
const OOM_SCORE: &str = "1000";
/// The exit status after a failure that no file should cause.
const FAILED: i32 = 2;

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
    let child = Command::new("/proc/self/exe")
        .arg0("xm")
        .arg(OPTION)
        .arg(path)
        .args(
            overrides
                .0
                .iter()
                .map(|(key, value)| format!("{key}={value}")),
        )
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let output = child
        .and_then(std::process::Child::wait_with_output)
        .map_err(|error| failed(format!("no process to read it: {error}")))?;
    if !output.status.success() {
        return Err(failed(why(output.status, &output.stderr)));
    }
    // What commands complain of that it runs.
    let _ = io::stderr().write_all(&output.stderr);
    let answer: Result<Evaluated, ConfigError> = postcard::from_bytes(&output.stdout)
        .map_err(|error| failed(format!("what it assigns is not understood: {error}")))?;
    answer
}

/// Why the process has ended that was to read a file.
fn why(status: ExitStatus, complaint: &[u8]) -> String {
    let signal = status
        .signal()
        .and_then(|number| Signal::try_from(number).ok());
    match signal {
        Some(Signal::SIGXCPU) => {
            format!("this computes for more than {MOST_SECONDS} s; is there a loop without an end?")
        }
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

/// Is that process: reads the file, and writes what comes of it to standard output.
///
/// # Errors
///
/// If the bounds can't be set, or nobody reads.
pub fn serve(words: &[String]) -> io::Result<()> {
    for (resource, most) in [
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_CPU, MOST_SECONDS),
        (Resource::RLIMIT_AS, MOST_BYTES),
    ] {
        let (_, hardest) = getrlimit(resource)?;
        // The hard limit of time stays later: at it the kernel kills with a signal that does not say why.
        setrlimit(resource, most.min(hardest), hardest)?;
    }
    alarm::set(MOST_WAITING_SECONDS);
    fs::write("/proc/self/oom_score_adj", OOM_SCORE)?;
    panic::set_hook(Box::new(|about| {
        let said = about.payload_as_str().unwrap_or_default();
        if said.contains("out of memory") || said.contains("capacity overflow") {
            // As allocations end that fail elsewhere.
            std::process::abort();
        }
        eprintln!("{said}");
        std::process::exit(FAILED);
    }));
    let Some((path, variables)) = words.split_first() else {
        return Err(io::Error::other("no file is named"));
    };
    let variables = variables.iter().filter_map(|word| word.split_once('='));
    let variables = variables.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let answer = evaluate_file(Path::new(path), &Overrides(variables.collect()));
    let mut bytes = postcard::to_stdvec(&answer).map_err(io::Error::other)?;
    if bytes.len() > MOST_ANSWER_BYTES {
        let refused: Result<Evaluated, _> = Err(ConfigError::Failed {
            origin: Some(Origin::File {
                file: path.clone(),
                line: None,
            }),
            reason: "this assigns more than any configuration needs".to_owned(),
        });
        bytes = postcard::to_stdvec(&refused).map_err(io::Error::other)?;
    }
    io::stdout().write_all(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_to_end_has_its_sentence() {
        for (signal, sentence) in [
            (Signal::SIGXCPU, "this computes for more than 10 s; "),
            (Signal::SIGALRM, "this is not read within 30 s; "),
            (Signal::SIGABRT, "this needs more memory than any"),
        ] {
            let said = why(ExitStatus::from_raw(signal as i32), b"");
            assert!(said.starts_with(sentence), "{said}");
        }
    }
}
