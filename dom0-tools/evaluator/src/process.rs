//! The process that reads a configuration file: it bounds itself, for [`apart`](dom0_tools::config::apart).

use super::script::evaluate_file;
use dom0_tools::config::apart::{MOST_SECONDS, MOST_WAITING_SECONDS};
use dom0_tools::config::error::{ConfigError, Origin};
use dom0_tools::config::evaluated::Evaluated;
use dom0_tools::config::keys::Overrides;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::alarm;
use std::fs;
use std::io::{self, Write};
use std::panic;
use std::path::Path;

/// Address space, of which the evaluator's stack and values are an eighth each.
const MOST_BYTES: u64 = 512 << 20;
/// What a file may assign in all: an element takes a byte or two here, and many times as much where it is read.
const MOST_ANSWER_BYTES: usize = 256 << 10;
/// The first to be killed when the machine has no memory left.
const OOM_SCORE: &str = "1000";
/// The exit status after a failure that no file should cause.
const FAILED: i32 = 2;

/// Is that process: reads the file that is named first, with variables as on `xm`'s command line, and writes what comes
/// of it to standard output.
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
