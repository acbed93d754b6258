//! What the debug keys tell while a tiny kernel runs.

use super::{IMAGE, TEST_IMAGE, no_line, pattern};
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
/// The last line of an audit.
const AUDIT_SUM: &str = r"Frame audit: (\d+ findings|not done)";

/// All cases.
pub fn cases() -> Vec<Case> {
    let case = |name: &str, judge: fn(&Context<'_>) -> Result<Verdict, Verdict>| {
        Case::new(format!("keys/{name}"), move |context| {
            judge(context).unwrap_or_else(|verdict| verdict)
        })
    };
    vec![
        case("idling-moves-no-floating-point-state", idling_moves_nothing),
        case("audit-finds-lost-reference", key_finds_lost_reference),
        case(
            "audit-at-end-finds-lost-reference",
            end_finds_lost_reference,
        ),
        case("dom0-vcpus-pin", pins_vcpus),
    ]
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
        let machine = Machine {
            processors: 2,
            ..Machine::default()
        };
        let run = context.boot(&qemu, &machine, &recipe)?;
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

/// With `dom0_vcpus_pin`, each vCPU of the first domain may run on its own processor only; without, on both.
fn pins_vcpus(context: &Context<'_>) -> Result<Verdict, Verdict> {
    for (options, place) in [("", r"\{CPU0, CPU1\}"), (" dom0_vcpus_pin", r"\{CPU1\}")] {
        let options = format!(" dom0_max_vcpus=2{options}");
        let mut session = Session::idling(context, IMAGE, &options)?;
        let said = session.press("r", r"d0v1: .*may run on")?;
        session.end()?;
        if !pattern(&format!("may run on {place}"))?.is_match(&said) {
            return Ok(Verdict::Fail(format!("with '{options}': {said}")));
        }
    }
    Ok(Verdict::Pass(String::new()))
}

/// Boots the kernel that idles on an image that loses a reference, and tells on which frame.
fn with_lost_reference(context: &Context<'_>, options: &str) -> Result<(Session, String), Verdict> {
    let options = format!("{options} test=lose-reference");
    let session = Session::idling(context, TEST_IMAGE, &options)?;
    let lines = session.run.lines();
    let frame = lines.iter().find_map(|line| {
        let (_, rest) = line.text.split_once("planted: a reference on ")?;
        Some(rest.split_once(" is lost")?.0.to_string())
    });
    match frame {
        Some(frame) => Ok((session, frame)),
        None => Err(Verdict::NoVerdict("no reference was lost".into())),
    }
}

/// That the audit says of a frame that one reference more is booked than there is, and nothing else.
fn finds(session: &Session, frame: &str, sum: &str) -> Result<Verdict, Verdict> {
    if !sum.contains("Frame audit: 1 findings") {
        return Ok(Verdict::Fail(sum.into()));
    }
    let finding = pattern(&format!(
        r"Frame audit: {frame} \(.*: (\d+) general and (\d+) type references are booked, (\d+) and (\d+) exist"
    ))?;
    let lines = session.run.lines();
    let Some(numbers) = lines.iter().find_map(|line| finding.captures(&line.text)) else {
        return Ok(Verdict::Fail(format!("the finding is not on {frame}")));
    };
    let number = |index: usize| numbers[index].parse::<u64>().unwrap_or(0);
    let is_right = number(1) == number(3) + 1 && number(2) == number(4);
    Ok(if is_right {
        Verdict::Pass(numbers[0].to_string())
    } else {
        Verdict::Fail(numbers[0].to_string())
    })
}

/// The debug key audits the books while the domain lives, and finds what is wrong.
fn key_finds_lost_reference(context: &Context<'_>) -> Result<Verdict, Verdict> {
    let (mut session, frame) = with_lost_reference(context, "")?;
    let sum = session.press("F", AUDIT_SUM)?;
    session.end()?;
    finds(&session, &frame, &sum)
}

/// The audit that `frame_audit` wants at the domain's end finds it.
fn end_finds_lost_reference(context: &Context<'_>) -> Result<Verdict, Verdict> {
    let (mut session, frame) = with_lost_reference(context, " frame_audit")?;
    session.end()?;
    let sum = session.must_say(AUDIT_SUM)?;
    finds(&session, &frame, &sum)
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
