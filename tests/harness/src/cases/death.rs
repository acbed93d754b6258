//! Planted faults: the hypervisor dies as told, and explains itself.
//!
//! Every message names the processor and the reason, shows registers, and has a backtrace that names the
//! function which did it. Then the machine reboots, or stays as it is if so told.

use super::{TEST_IMAGE, no_line};
use crate::iso::Recipe;
use crate::machine::Machine;
use crate::qemu::Qemu;
use crate::run::{Missing, Run};
use crate::suite::{Case, Context};
use crate::verdict::{Ending, Verdict};
use regex_lite::Regex;
use std::time::Duration;

/// From QEMU's start to the message.
const DEATH_LIMIT: Duration = Duration::from_secs(60);
/// From the message's first line to its last.
const MESSAGE_LIMIT: Duration = Duration::from_secs(10);
/// From the message to the reboot, the pause in which a person can read it included.
const REBOOT_LIMIT: Duration = Duration::from_secs(30);
/// How long a machine must stay as it is to count as staying.
const STAY: Duration = Duration::from_secs(3);

/// A fault that the test image can be told to have.
#[derive(Clone, Copy, Debug)]
struct Fault {
    /// Its name in `test=fault:<name>@<cpu>`.
    name: &'static str,
    /// What the reason must match.
    reason: &'static str,
    /// The function that the backtrace must name.
    function: &'static str,
}

const FAULTS: [Fault; 6] = [
    Fault {
        name: "null-read",
        reason: r"page fault.*read.*\b0x0+\b",
        function: "planted_null_read",
    },
    Fault {
        name: "write-text",
        reason: r"page fault.*write",
        function: "planted_write_text",
    },
    Fault {
        name: "stack-overflow",
        reason: r"double fault.*stack overflow",
        function: "planted_stack_overflow",
    },
    Fault {
        name: "assert",
        reason: r"assertion",
        function: "planted_assert",
    },
    Fault {
        name: "divide",
        reason: r"divide error",
        function: "planted_divide",
    },
    Fault {
        name: "nmi",
        reason: r"NMI",
        function: "planted_nmi",
    },
];

/// What happens after the message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Aftermath {
    Reboot,
    Stay,
}

/// Every fault on the boot processor and on another, and one that stays.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for fault in FAULTS {
        for cpu in [0, 1] {
            cases.push(Case::new(
                format!("death/{}-cpu{cpu}", fault.name),
                move |context| {
                    dies(context, fault, cpu, Aftermath::Reboot).unwrap_or_else(|verdict| verdict)
                },
            ));
        }
    }
    for (fault, cpu) in [(FAULTS[3], 0), (FAULTS[2], 1)] {
        cases.push(Case::new(
            format!("death/{}-cpu{cpu}-noreboot", fault.name),
            move |context| {
                dies(context, fault, cpu, Aftermath::Stay).unwrap_or_else(|verdict| verdict)
            },
        ));
    }
    cases
}

fn dies(
    context: &Context<'_>,
    fault: Fault,
    cpu: u32,
    aftermath: Aftermath,
) -> Result<Verdict, Verdict> {
    let qemu = Qemu::installed().map_err(Verdict::NoVerdict)?;
    let machine = Machine {
        processors: 2,
        ..Machine::default()
    };
    let noreboot = match aftermath {
        Aftermath::Reboot => "",
        Aftermath::Stay => " noreboot",
    };
    let options = format!(
        "console=com1 loglvl=all test=fault:{}@{cpu}{noreboot}",
        fault.name
    );
    let mut run = context.boot(&qemu, &machine, &Recipe::new(TEST_IMAGE, options))?;

    let first = run
        .wait_for(&pattern(r"PANIC on CPU\d+: ")?, DEATH_LIMIT)
        .map_err(|missing| no_line("the message", &missing))?;
    let expected = format!(r"PANIC on CPU{cpu}: .*{}", fault.reason);
    if !pattern(&expected)?.is_match(&first.text) {
        return Ok(Verdict::Fail(format!(
            "'{}' is not '{expected}'",
            first.text
        )));
    }
    let function = format!(r"\b{}\b.*\bplanted\.rs:[1-9]\d*\b", fault.function);
    for (what, line) in [
        ("a line with registers", r"\bRIP\b"),
        ("the planted function", function.as_str()),
    ] {
        if let Err(missing) = run.wait_for(&pattern(line)?, MESSAGE_LIMIT) {
            return Ok(Verdict::Fail(format!(
                "{what} is not in the message ({missing:?})"
            )));
        }
    }
    Ok(match aftermath {
        Aftermath::Reboot => reboots(&mut run),
        Aftermath::Stay => stays(&mut run)?,
    })
}

/// QEMU was told to end where the machine would reset.
fn reboots(run: &mut Run) -> Verdict {
    match run.wait_for_end(REBOOT_LIMIT) {
        Ending::Exited(0) => Verdict::Pass(String::new()),
        Ending::TimedOut => Verdict::Fail("it does not reboot".into()),
        ending => Verdict::NoVerdict(ending.to_string()),
    }
}

/// The machine says that it stays, and does.
fn stays(run: &mut Run) -> Result<Verdict, Verdict> {
    if let Err(missing) = run.wait_for(&pattern("noreboot")?, MESSAGE_LIMIT) {
        return Ok(Verdict::Fail(format!(
            "it does not say that it stays because of noreboot ({missing:?})"
        )));
    }
    Ok(
        match run.wait_for(&pattern(r"PANIC|boot complete")?, STAY) {
            Err(Missing::TimedOut) => Verdict::Pass(String::new()),
            Err(Missing::Ended(ending)) => Verdict::Fail(format!("it does not stay: {ending}")),
            Ok(line) => Verdict::Fail(format!("it goes on: '{}'", line.text)),
        },
    )
}

fn pattern(text: &str) -> Result<Regex, Verdict> {
    Regex::new(text).map_err(|error| Verdict::NoVerdict(format!("pattern {text}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::{FAULTS, pattern};

    #[test]
    fn the_reasons_tell_the_faults_apart() {
        let reasons = [
            "PANIC on CPU0: page fault: read of address 0x0000000000000000, not present",
            "PANIC on CPU0: page fault: write to 0xffff82d040201000, protected",
            "PANIC on CPU0: double fault: stack overflow",
            "PANIC on CPU0: assertion failed: planted",
            "PANIC on CPU0: divide error",
            "PANIC on CPU0: NMI",
        ];
        for (right, fault) in FAULTS.iter().enumerate() {
            let expected = pattern(fault.reason).unwrap();
            for (index, reason) in reasons.iter().enumerate() {
                assert_eq!(
                    expected.is_match(reason),
                    index == right,
                    "{}: {reason}",
                    fault.name
                );
            }
        }
    }
}
