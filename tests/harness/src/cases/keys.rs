//! What the debug keys tell while a tiny kernel runs.

use super::{IMAGE, no_line, pattern};
use crate::iso::Recipe;
use crate::machine::Machine;
use crate::qemu::Qemu;
use crate::run::Run;
use crate::suite::{Case, Context};
use crate::verdict::Verdict;
use kernels::catalogue::Kernel;
use std::path::PathBuf;
use std::time::Duration;

/// Three times Ctrl-A.
const SWITCH: &str = "\x01\x01\x01";
/// From one line to the next.
const LIMIT: Duration = Duration::from_secs(90);
/// A kernel that sleeps and wakes until something is typed.
const IDLING: &str = "processor/fpu-idle";

/// All cases.
pub fn cases() -> Vec<Case> {
    vec![Case::new(
        "keys/idling-moves-no-floating-point-state",
        |context| idling_moves_nothing(context).unwrap_or_else(|verdict| verdict),
    )]
}

/// A machine with a tiny kernel, and its keyboard.
struct Session {
    run: Run,
}

impl Session {
    /// Boots the kernel that idles.
    fn idling(context: &Context<'_>, image: &str, options: &str) -> Result<Self, Verdict> {
        let qemu = Qemu::installed().map_err(Verdict::NoVerdict)?;
        let options = format!("console=com1 loglvl=all noreboot dom0_mem=64M{options}");
        let mut recipe = Recipe::new(image, options);
        let module = PathBuf::from("build/kernels").join(Kernel::Plain.file_name());
        recipe
            .modules
            .push((module, format!("test={IDLING} hold=1 end=domain")));
        let run = context.boot(&qemu, &Machine::default(), &recipe)?;
        let mut session = Self { run };
        session.must_say("idling$")?;
        Ok(session)
    }

    fn send(&mut self, text: &str) -> Result<(), Verdict> {
        self.run
            .send(text)
            .map_err(|error| Verdict::NoVerdict(format!("nothing can be typed: {error}")))
    }

    /// Waits for a line and returns it.
    fn must_say(&mut self, text: &str) -> Result<String, Verdict> {
        let line = self
            .run
            .wait_for(&pattern(&format!("{text}|VERDICT: FAIL|PANIC"))?, LIMIT)
            .map_err(|missing| no_line(&format!("'{text}'"), &missing))?;
        if pattern(text)?.is_match(&line.text) {
            Ok(line.text)
        } else {
            Err(Verdict::Fail(line.text))
        }
    }

    /// Presses debug keys and returns the line that must come.
    fn press(&mut self, keys: &str, line: &str) -> Result<String, Verdict> {
        self.send(SWITCH)?;
        self.must_say("Input goes to the hypervisor")?;
        self.send(keys)?;
        let said = self.must_say(line)?;
        self.send(SWITCH)?;
        self.must_say("Input goes to the first domain")?;
        Ok(said)
    }

    /// Lets the kernel end.
    fn end(&mut self) -> Result<(), Verdict> {
        self.send("x")?;
        self.must_say(&format!("VERDICT: PASS {IDLING}"))?;
        Ok(())
    }
}

/// A vCPU that sleeps and wakes hundreds of times keeps its floating-point state in the registers.
fn idling_moves_nothing(context: &Context<'_>) -> Result<Verdict, Verdict> {
    const COUNTS: &str =
        r"CPU0: floating-point state saved \d+ times, loaded \d+, found in place \d+";
    let mut session = Session::idling(context, IMAGE, "")?;
    let before = session.press("r", COUNTS)?;
    // As many as there are between two such lines.
    let first = session.must_say(r"idled \d+ times")?;
    let second = session.must_say(r"idled \d+ times")?;
    let after = session.press("r", COUNTS)?;
    session.end()?;
    // Without the time.
    let counts = |line: &str| {
        line.split_once("CPU0: ")
            .map(|(_, counts)| counts.trim_end().to_string())
    };
    if counts(&before) != counts(&after) {
        return Ok(Verdict::Fail(format!(
            "from '{first}' to '{second}': '{before}' became '{after}'"
        )));
    }
    Ok(Verdict::Pass(counts(&after).unwrap_or_default()))
}
