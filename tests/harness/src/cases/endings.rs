//! What a machine does when its first domain has ended, as is seen from outside of it: it is switched off, boots anew, or
//! stays as it is.

use super::{no_line, pattern};
use crate::run::{Missing, Run};
use crate::verdict::Verdict;
use std::time::{Duration, Instant};

/// What one of the two hypervisors says first.
const BEGINNING: &str = r"Paravane \d|Xen version \d";
/// How long the pause is in which a person can read why the machine reboots.
const PAUSE: Duration = Duration::from_secs(5);
/// How long a machine must stay as it is to count as staying: longer than that pause.
const STAY: Duration = Duration::from_secs(8);
/// From the line to the end that it tells, a pause not included, and with it the machine's boot.
const LIMIT: Duration = Duration::from_secs(60);
/// How often it is asked whether it is off.
const ASK: Duration = Duration::from_millis(200);

/// An end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Aftermath {
    /// It is switched off.
    Off,
    /// It boots anew, at once.
    Reboot,
    /// It boots anew, after a pause.
    RebootAfterPause,
    /// It stays as it is.
    Stay,
}

impl Aftermath {
    /// Whether it comes to that end, of which a line has just been read. The machine must [show](crate::machine::AtEnd::Show)
    /// its end.
    pub(super) fn of(self, run: &mut Run) -> Result<Verdict, Verdict> {
        match self {
            Self::Off => goes_off(run),
            Self::Reboot => boots_anew(run, Duration::ZERO),
            Self::RebootAfterPause => boots_anew(run, PAUSE),
            Self::Stay => stays(run),
        }
    }
}

/// Whether a line is the first of a boot.
pub(super) fn is_beginning(line: &str) -> Result<bool, Verdict> {
    Ok(pattern(BEGINNING)?.is_match(line))
}

/// What the emulator says of the machine: whether it runs.
fn status(run: &Run) -> Result<String, Verdict> {
    let said = run
        .command_monitor("info status")
        .map_err(|error| Verdict::NoVerdict(format!("QEMU's monitor: {error}")))?;
    // Before it comes the command, as it was typed.
    let line = said.lines().find(|line| line.starts_with("VM status"));
    Ok(line.unwrap_or("no status").trim().to_string())
}

fn goes_off(run: &mut Run) -> Result<Verdict, Verdict> {
    let beginning = pattern(BEGINNING)?;
    let deadline = Instant::now() + LIMIT;
    while Instant::now() < deadline {
        match run.wait_for(&beginning, ASK) {
            Ok(_) => return Ok(Verdict::Fail("it boots again, and is not off".into())),
            Err(Missing::Ended(ending)) => return Err(Verdict::NoVerdict(ending.to_string())),
            Err(Missing::TimedOut | Missing::Slept) => {}
        }
        if status(run)?.contains("paused (shutdown)") {
            return Ok(Verdict::Pass(String::new()));
        }
    }
    Ok(Verdict::Fail("it stays on".into()))
}

fn boots_anew(run: &mut Run, pause: Duration) -> Result<Verdict, Verdict> {
    let said = Instant::now();
    match run.wait_for(&pattern(BEGINNING)?, pause + LIMIT) {
        // The line may have been read a moment after it was written.
        Ok(_) if said.elapsed() + pause / 5 < pause => Ok(Verdict::Fail(format!(
            "it boots again after {:?}, and not after {pause:?}",
            said.elapsed()
        ))),
        Ok(_) => Ok(Verdict::Pass(String::new())),
        Err(Missing::TimedOut) => Ok(Verdict::Fail(format!(
            "it does not boot again: {}",
            status(run)?
        ))),
        Err(missing) => Err(no_line("the next boot", &missing)),
    }
}

fn stays(run: &mut Run) -> Result<Verdict, Verdict> {
    match run.wait_for(&pattern(BEGINNING)?, STAY) {
        Ok(_) => Ok(Verdict::Fail("it does not stay: it boots again".into())),
        Err(Missing::Ended(ending)) => Err(Verdict::NoVerdict(ending.to_string())),
        Err(Missing::TimedOut | Missing::Slept) => match status(run)? {
            status if status.contains("running") => Ok(Verdict::Pass(String::new())),
            status => Ok(Verdict::Fail(format!("it does not stay: {status}"))),
        },
    }
}
