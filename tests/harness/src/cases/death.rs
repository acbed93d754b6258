//! Planted faults: the hypervisor dies as told, and explains itself.
//!
//! Every message names the processor and the reason, shows registers, and has a backtrace that names the
//! function at fault. Then the machine reboots, or stays as it is if so told.

use super::boot::BOOT_COMPLETE;
use super::{TEST_IMAGE, no_line, pattern};
use crate::iso::Recipe;
use crate::machine::Machine;
use crate::qemu::Qemu;
use crate::run::{Missing, Run};
use crate::suite::{Case, Context};
use crate::verdict::{Ending, Verdict};
use std::time::Duration;

/// From QEMU's start to the message.
const DEATH_LIMIT: Duration = Duration::from_secs(60);
/// From the message's first line to its last.
const MESSAGE_LIMIT: Duration = Duration::from_secs(10);
/// From the message to the reboot, the pause in which a person can read it included.
const REBOOT_LIMIT: Duration = Duration::from_secs(30);
/// How long a machine must stay as it is to count as staying.
const STAY: Duration = Duration::from_secs(3);

/// A way to die.
#[derive(Clone, Copy, Debug)]
struct Fault {
    /// Its name, in `test=fault:<name>@<cpu>` and in the case's.
    name: &'static str,
    cause: Cause,
    /// What the reason must match.
    reason: &'static str,
    /// What a line of the backtrace must match: the function at fault, and where that is.
    frame: &'static str,
}

/// What brings the fault about.
#[derive(Clone, Copy, Debug)]
enum Cause {
    /// The test image has it in itself. The options that it takes besides.
    Planted(&'static str),
    /// QEMU's monitor injects it into the processor whose number replaces `CPU`.
    Injected(&'static str),
}

/// A machine check of an uncorrected error, to be said by bank 2: valid, uncorrected, enabled, and an
/// instruction pointer that can't be resumed at.
const MACHINE_CHECK: &str = "mce CPU 2 0xb200000000000000 0x4 0 0";

const fn planted(name: &'static str, reason: &'static str, frame: &'static str) -> Fault {
    Fault {
        name,
        cause: Cause::Planted(""),
        reason,
        frame,
    }
}

const FAULTS: [Fault; 10] = [
    planted(
        "null-read",
        r"page fault.*read.*\b0x0+\b",
        r"\bplanted_null_read\b.*\bplanted\.rs:[1-9]",
    ),
    planted(
        "write-text",
        r"page fault.*write",
        r"\bplanted_write_text\b.*\bplanted\.rs:[1-9]",
    ),
    // Where it jumps to is no function; the one that jumped is on the stack.
    planted(
        "execute-data",
        r"page fault.*(execut|fetch)",
        r"\bplanted_execute_data\b.*\bplanted\.rs:[1-9]",
    ),
    planted(
        "stack-overflow",
        r"double fault.*stack overflow",
        r"\bplanted_stack_overflow\b.*\bplanted\.rs:[1-9]",
    ),
    planted(
        "assert",
        r"assertion",
        r"\bplanted_assert\b.*\bplanted\.rs:[1-9]",
    ),
    planted(
        "divide",
        r"divide error",
        r"\bplanted_divide\b.*\bplanted\.rs:[1-9]",
    ),
    planted(
        "invalid-opcode",
        r"invalid opcode",
        r"\bplanted_invalid_opcode\b.*\bplanted\.rs:[1-9]",
    ),
    planted("nmi", r"NMI", r"\bplanted_nmi\b.*\bplanted\.rs:[1-9]"),
    Fault {
        name: "stuck",
        cause: Cause::Planted(" watchdog watchdog_timeout=2"),
        reason: r"watchdog|stuck",
        frame: r"\bplanted_stuck\b.*\bplanted\.rs:[1-9]",
    },
    Fault {
        name: "machine-check",
        cause: Cause::Injected(MACHINE_CHECK),
        reason: r"machine check",
        frame: r"hypervisor::arch::.*\.rs:[1-9]",
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
    for (fault, cpu) in [(FAULTS[4], 0), (FAULTS[3], 1)] {
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
    let mut options = "console=com1 loglvl=all".to_string();
    if aftermath == Aftermath::Stay {
        options += " noreboot";
    }
    if let Cause::Planted(more) = fault.cause {
        options += &format!(" test=fault:{}@{cpu}{more}", fault.name);
    }
    let mut run = context.boot(&qemu, &machine, &Recipe::new(TEST_IMAGE, options))?;
    if let Cause::Injected(command) = fault.cause {
        run.wait_for(&pattern(BOOT_COMPLETE)?, DEATH_LIMIT)
            .map_err(|missing| no_line("the end-of-boot line", &missing))?;
        run.command_monitor(&command.replace("CPU", &cpu.to_string()))
            .map_err(|error| Verdict::NoVerdict(format!("QEMU's monitor: {error}")))?;
    }

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
    for (what, line) in [
        ("a line with registers", r"\bRIP\b"),
        ("the function at fault", fault.frame),
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

#[cfg(test)]
mod tests {
    use super::{FAULTS, pattern};

    #[test]
    fn the_reasons_tell_the_faults_apart() {
        let reasons = [
            "PANIC on CPU0: page fault: read of address 0x0000000000000000, not present",
            "PANIC on CPU0: page fault: write to 0xffff82d040201000, protected",
            "PANIC on CPU0: page fault: execution of 0xffff82d040201000, protected",
            "PANIC on CPU0: double fault: stack overflow",
            "PANIC on CPU0: assertion failed: planted",
            "PANIC on CPU0: divide error",
            "PANIC on CPU0: invalid opcode",
            "PANIC on CPU0: NMI",
            "PANIC on CPU0: stuck for 2 s with interrupts off",
            "PANIC on CPU0: machine check",
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
