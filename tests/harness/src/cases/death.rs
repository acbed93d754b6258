//! Planted faults: the hypervisor dies as told, and explains itself.
//!
//! Every message names the processor and the reason, shows registers, and has a backtrace that names the
//! function at fault. Then the machine reboots, or stays as it is if so told.

use super::boot::BOOT_COMPLETE;
use super::{Extent, TEST_IMAGE, no_line, pattern};
use crate::iso::Recipe;
use crate::machine::Machine;
use crate::qemu::Qemu;
use crate::run::{Missing, Run};
use crate::suite::{Case, Context};
use crate::verdict::{Ending, Verdict};
use std::time::{Duration, Instant};

/// From QEMU's start to the message.
pub(super) const DEATH_LIMIT: Duration = Duration::from_secs(60);
/// From the message's first line to its last.
const MESSAGE_LIMIT: Duration = Duration::from_secs(10);
/// From the message to the reboot, the pause in which a person can read it included.
const REBOOT_LIMIT: Duration = Duration::from_secs(30);
/// How long the machine waits before it reboots, as it says.
const PAUSE: Duration = Duration::from_secs(5);
/// How long a machine must stay as it is to count as staying: longer than it waits before it would reboot.
const STAY: Duration = Duration::from_secs(8);

/// A way to die.
#[derive(Clone, Copy, Debug)]
struct Fault {
    /// Its name, in `test=fault:<name>@<cpu>` and in the case's.
    name: &'static str,
    cause: Cause,
    /// What the reason must match. `@` in it is replaced by the number of the processor at fault.
    reason: &'static str,
    /// What a line of the backtrace must match: the function at fault, and where that is.
    frame: &'static str,
    /// The processors on which it is tried.
    processors: &'static [u32],
    speaker: Speaker,
    /// Processor model.
    model: &'static str,
    /// What a line with registers must match.
    registers: &'static str,
    /// What lines after that of the function at fault must match, in this order.
    ending: &'static [&'static str],
    /// What no line of the message may match.
    absent: &'static str,
}

/// Who reports a fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Speaker {
    /// The processor that has it.
    Itself,
    /// The other one of the two: it can't speak any more.
    Other,
}

const BOTH: &[u32] = &[0, 1];
/// Faults before there is a second processor.
const FIRST: &[u32] = &[0];
const SECOND: &[u32] = &[1];
const MODEL: &str = "max,-smap";
/// A model with everything that protects the hypervisor from itself.
const MODEL_WITH_SMAP: &str = "max";
const ANY_REGISTERS: &str = r"\bRIP\b";
/// CR4 with UMIP (bit 11), SMEP (20) and SMAP (21).
const PROTECTIONS: &str = r"\bCR4 [0-9a-f]{10}[37bf][0-9a-f]{2}[89a-f][0-9a-f]{2}\b";

/// What brings the fault about.
#[derive(Clone, Copy, Debug)]
enum Cause {
    /// The test image has it in itself. The options that it takes besides.
    Planted(&'static str),
    /// QEMU's monitor injects it into the processor whose number replaces `CPU`.
    Injected(&'static str),
}

/// A machine check of an uncorrected error, to be said by bank 2: valid, uncorrected, enabled, with an address
/// and a miscellany, and an instruction pointer that can't be resumed at.
const MACHINE_CHECK: &str = "mce CPU 2 0xbe00000000000000 0x4 0x1234000 0x8c";

const fn planted(name: &'static str, reason: &'static str, frame: &'static str) -> Fault {
    Fault {
        name,
        cause: Cause::Planted(""),
        reason,
        frame,
        processors: BOTH,
        speaker: Speaker::Itself,
        model: MODEL,
        registers: ANY_REGISTERS,
        ending: &[],
        // A place of which no line is known is shown by its name alone.
        absent: r":0( |$)",
    }
}

/// Who began a recursion is shown, and the stack's end is no failure to follow it.
const WHO_BEGAN: &[&str] = &[
    r"\(\d+ more frames, then the outermost\)",
    r"hypervisor::arch::(boot::boot_on_own_stack|smp::secondary_main)\b",
];
/// What the report itself calls is no part of a backtrace.
const REPORT: &str = r":0( |$)|core::panicking|arch::death::|end of what can be followed";

const STACK_OVERFLOW: &str = r"double fault.*stack overflow";
const IN_RECURSION: &str = r"\bplanted_stack_overflow\b.*\bplanted\.rs:[1-9]";

const FAULTS: [Fault; 17] = [
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
    Fault {
        ending: WHO_BEGAN,
        absent: r":0( |$)|end of what can be followed",
        ..planted("stack-overflow", STACK_OVERFLOW, IN_RECURSION)
    },
    Fault {
        processors: FIRST,
        ..planted("early-stack-overflow", STACK_OVERFLOW, IN_RECURSION)
    },
    Fault {
        processors: FIRST,
        ..planted("boot-stack-overflow", STACK_OVERFLOW, IN_RECURSION)
    },
    planted("nmi-stack-overflow", STACK_OVERFLOW, IN_RECURSION),
    Fault {
        model: MODEL_WITH_SMAP,
        registers: PROTECTIONS,
        ..planted(
            "user-read",
            r"page fault: read of 0xffff800000000000 \(not permitted\)",
            r"\bplanted_user_read\b.*\bplanted\.rs:[1-9]",
        )
    },
    // The trace begins at the function that asserts.
    Fault {
        registers: r"Registers of this report",
        absent: REPORT,
        ..planted(
            "assert",
            r"assertion or bug: .*failed: planted",
            r"\bplanted_assert\b.*\bplanted\.rs:[1-9]",
        )
    },
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
    Fault {
        registers: r"Registers of this report",
        processors: SECOND,
        ..planted(
            "lock-order",
            r"lock of rank 150 taken at .*planted\.rs:\d+:\d+ while holding rank 200, taken at .*planted\.rs",
            r"\bplanted_lock_order\b.*\bplanted\.rs:[1-9]",
        )
    },
    planted("nmi", r"NMI", r"\bplanted_nmi\b.*\bplanted\.rs:[1-9]"),
    Fault {
        cause: Cause::Planted(" watchdog watchdog_timeout=2"),
        ..planted(
            "stuck",
            r"watchdog: CPU\d+ has been stuck",
            r"\bplanted_stuck\b.*\bplanted\.rs:[1-9]",
        )
    },
    // Whoever finds it did nothing wrong: its backtrace shows what it was at.
    Fault {
        cause: Cause::Planted(" watchdog watchdog_timeout=2"),
        speaker: Speaker::Other,
        ..planted(
            "dead",
            r"watchdog: CPU@ is dead",
            r"hypervisor::arch::.*\.rs:[1-9]",
        )
    },
    Fault {
        processors: SECOND,
        speaker: Speaker::Other,
        ..planted(
            "never-arrives",
            r"CPU@ \(APIC id 1\) has not started",
            r"\bnever_arrived\b.*\bsmp\.rs:[1-9]",
        )
    },
    Fault {
        cause: Cause::Injected(MACHINE_CHECK),
        registers: r"bank 2: STATUS be00000000000000  ADDR 0000000001234000  MISC 000000000000008c",
        ..planted(
            "machine-check",
            r"machine check",
            r"hypervisor::arch::.*\.rs:[1-9]",
        )
    },
];

/// What happens after the message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Aftermath {
    Reboot,
    /// As `Reboot`, but the machine is stopped when it has announced it.
    Announced,
    Stay,
}

impl Aftermath {
    /// Whether it happens.
    pub(super) fn of(self, run: &mut Run) -> Result<Verdict, Verdict> {
        match self {
            Self::Reboot => Ok(reboots(run)),
            Self::Announced => announces(run),
            Self::Stay => stays(run),
        }
    }
}

/// Faults after which the reboot is waited for also where not everything is tried, as the pause before it keeps a processor
/// of the emulator's busy: an error of the hypervisor's, and those that come on stacks of their own.
const REBOOTS: [&str; 4] = ["assert", "stack-overflow", "nmi", "machine-check"];

/// Every fault on the boot processor and on another: after it the machine reboots on the one, and stays on the other.
pub fn cases(extent: Extent) -> Vec<Case> {
    let mut cases = Vec::new();
    for fault in FAULTS {
        for (index, &cpu) in fault.processors.iter().enumerate() {
            let (name, aftermath) = match index {
                0 if extent == Extent::AllPairs && !REBOOTS.contains(&fault.name) => {
                    ("", Aftermath::Announced)
                }
                0 => ("", Aftermath::Reboot),
                _ => ("-noreboot", Aftermath::Stay),
            };
            cases.push(Case::new(
                format!("death/{}-cpu{cpu}{name}", fault.name),
                move |context| {
                    dies(context, fault, cpu, aftermath).unwrap_or_else(|verdict| verdict)
                },
            ));
        }
    }
    for cpu in [0, 2] {
        cases.push(Case::new(
            format!("death/others-stop-first-cpu{cpu}"),
            move |context| others_stop_first(context, cpu).unwrap_or_else(|verdict| verdict),
        ));
    }
    for processors in [1, 4] {
        cases.push(Case::new(
            format!("death/nmi-from-outside-{processors}cpu"),
            move |context| dies_of_nmi(context, processors).unwrap_or_else(|verdict| verdict),
        ));
    }
    // Most wait for the reboot, or whether there is none.
    cases.into_iter().map(Case::idle).collect()
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
        cpu: fault.model.into(),
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
    let speaker = match fault.speaker {
        Speaker::Itself => cpu,
        Speaker::Other => 1 - cpu,
    };
    let reason = fault.reason.replace('@', &cpu.to_string());
    let expected = format!(r"PANIC on CPU{speaker}: .*{reason}");
    if !pattern(&expected)?.is_match(&first.text) {
        return Ok(Verdict::Fail(format!(
            "'{}' is not '{expected}'",
            first.text
        )));
    }
    for (what, line) in [
        ("a line with the right registers", fault.registers),
        ("the function at fault", fault.frame),
    ] {
        if let Err(missing) = run.wait_for(&pattern(line)?, MESSAGE_LIMIT) {
            return Ok(Verdict::Fail(format!(
                "{what} is not in the message ({missing:?})"
            )));
        }
    }
    for line in fault.ending {
        run.wait_for(&pattern(line)?, MESSAGE_LIMIT)
            .map_err(|missing| no_line(line, &missing))?;
    }
    run.wait_for(&pattern(r"\*{40}|[Rr]eboot")?, MESSAGE_LIMIT)
        .map_err(|missing| no_line("the message's end", &missing))?;
    let absent = pattern(fault.absent)?;
    let lines = run.lines().iter();
    let mut message = lines.skip_while(|line| !line.text.contains("Backtrace:"));
    if let Some(line) = message.find(|line| absent.is_match(&line.text)) {
        return Ok(Verdict::Fail(format!(
            "this is in the backtrace: '{}'",
            line.text
        )));
    }
    aftermath.of(&mut run)
}

/// The processors that talk without end say nothing more once one of them dies, not even in the pause before the
/// reboot; and whatever they held, the message is complete.
fn others_stop_first(context: &Context<'_>, cpu: u32) -> Result<Verdict, Verdict> {
    const PROCESSORS: u32 = 4;
    let qemu = Qemu::installed().map_err(Verdict::NoVerdict)?;
    let machine = Machine {
        processors: PROCESSORS,
        ..Machine::default()
    };
    let options = format!("console=com1 loglvl=all test=fault:while-others-talk@{cpu}");
    let mut run = context.boot(&qemu, &machine, &Recipe::new(TEST_IMAGE, options))?;
    run.wait_for(
        &pattern(&format!(r"PANIC on CPU{cpu}: assertion"))?,
        DEATH_LIMIT,
    )
    .map_err(|missing| no_line("the message", &missing))?;
    for line in [ANY_REGISTERS, r"\bplanted_assert\b.*\bplanted\.rs:[1-9]"] {
        run.wait_for(&pattern(line)?, MESSAGE_LIMIT)
            .map_err(|missing| no_line(line, &missing))?;
    }
    let reboots = reboots(&mut run);
    if reboots.is_failure() {
        return Ok(reboots);
    }
    let lines: Vec<_> = run.lines().iter().map(|line| line.text.as_str()).collect();
    let Some(death) = lines.iter().position(|line| line.contains("PANIC on")) else {
        return Ok(Verdict::Fail("the message is gone".into()));
    };
    let (before, after) = lines.split_at(death);
    for other in (0..PROCESSORS).filter(|&other| other != cpu) {
        let talk = format!("CPU{other} is alive");
        if !before.iter().any(|line| line.contains(&talk)) {
            return Ok(Verdict::NoVerdict(format!("CPU{other} has said nothing")));
        }
    }
    Ok(
        match after
            .iter()
            .find(|line| line.contains("is alive") || line.contains("do not stop"))
        {
            Some(line) => Verdict::Fail(format!("after the message began: '{line}'")),
            None => Verdict::Pass(format!("{death} lines before")),
        },
    )
}

/// An NMI from outside (the button, the board), which comes to all processors at once: one reports it, with what it
/// was doing, and none is missed.
fn dies_of_nmi(context: &Context<'_>, processors: u32) -> Result<Verdict, Verdict> {
    let qemu = Qemu::installed().map_err(Verdict::NoVerdict)?;
    let machine = Machine {
        processors,
        ..Machine::default()
    };
    let options = "console=com1 loglvl=all";
    let mut run = context.boot(
        &qemu,
        &machine,
        &Recipe::new(TEST_IMAGE, options.to_string()),
    )?;
    run.wait_for(&pattern(BOOT_COMPLETE)?, DEATH_LIMIT)
        .map_err(|missing| no_line("the end-of-boot line", &missing))?;
    // It sleeps then.
    run.wait_for(&pattern("there is no first domain")?, DEATH_LIMIT)
        .map_err(|missing| no_line("that there is nothing to do", &missing))?;
    run.command_monitor("nmi")
        .map_err(|error| Verdict::NoVerdict(format!("QEMU's monitor: {error}")))?;
    for line in [
        r"PANIC on CPU\d+: NMI \(parity error, bus error or a pressed button\)",
        ANY_REGISTERS,
        // Whatever it was doing: its entry from an interrupt is no function.
        r"hypervisor::arch::.*\.rs:[1-9]| trap_from_hypervisor\+0x",
    ] {
        run.wait_for(&pattern(line)?, DEATH_LIMIT)
            .map_err(|missing| no_line(line, &missing))?;
    }
    let reboots = reboots(&mut run);
    let said = |text: &str| {
        run.lines()
            .iter()
            .filter(|line| line.text.contains(text))
            .count()
    };
    Ok(match (said("PANIC on"), said("do not stop")) {
        (1, 0) => reboots,
        (deaths, missed) => Verdict::Fail(format!(
            "{deaths} messages, and in {missed} processors are said not to stop"
        )),
    })
}

/// The machine says that it reboots after a pause, and does. QEMU was told to end where the machine would reset.
fn reboots(run: &mut Run) -> Verdict {
    match announces(run) {
        Ok(Verdict::Pass(_)) => {}
        Ok(other) | Err(other) => return other,
    }
    let said = Instant::now();
    match run.wait_for_end(REBOOT_LIMIT) {
        // The line may have been read a moment after it was written.
        Ending::Exited(0) if said.elapsed() + PAUSE / 5 < PAUSE => Verdict::Fail(format!(
            "it announces a pause of {PAUSE:?} and reboots after {:?}",
            said.elapsed()
        )),
        Ending::Exited(0) => Verdict::Pass(String::new()),
        Ending::TimedOut => Verdict::Fail("it does not reboot".into()),
        ending => Verdict::NoVerdict(ending.to_string()),
    }
}

/// The machine says that it is about to reboot.
fn announces(run: &mut Run) -> Result<Verdict, Verdict> {
    let announced = pattern(&format!("ebooting.* in {} seconds", PAUSE.as_secs()))?;
    run.wait_for(&announced, MESSAGE_LIMIT)
        .map_err(|missing| no_line("the line that announces the reboot", &missing))?;
    Ok(Verdict::Pass(String::new()))
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
            Err(Missing::TimedOut | Missing::Slept) => Verdict::Pass(String::new()),
            Err(Missing::Ended(ending)) => Verdict::Fail(format!("it does not stay: {ending}")),
            Ok(line) => Verdict::Fail(format!("it goes on: '{}'", line.text)),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::{FAULTS, PROTECTIONS, REBOOTS, pattern};

    #[test]
    fn the_reasons_tell_the_faults_apart() {
        let reasons = [
            "PANIC on CPU0: page fault: read of 0x0 (not present)",
            "PANIC on CPU0: page fault: write to 0xffff82d040201000 (not permitted)",
            "PANIC on CPU0: page fault: instruction fetch from 0xffff82d040201000 (not permitted)",
            "PANIC on CPU0: page fault: read of 0xffff800000000000 (not permitted)",
            "PANIC on CPU0: double fault: stack overflow: the guard page at 0xffff82800000f000 was touched",
            "PANIC on CPU0: assertion or bug: assertion `left == right` failed: planted",
            "PANIC on CPU0: divide error",
            "PANIC on CPU0: invalid opcode",
            "PANIC on CPU0: NMI (parity error, bus error or a pressed button)",
            "PANIC on CPU0: watchdog: CPU0 has been stuck with interrupts off for 2 s",
            "PANIC on CPU0: watchdog: CPU1 is dead: for 4 s it has not taken an interrupt",
            "PANIC on CPU0: CPU1 (APIC id 1) has not started within 5 s of its start-up interrupt",
            "PANIC on CPU0: machine check",
            "PANIC on CPU1: assertion or bug: lock of rank 150 taken at src/arch/planted.rs:1:2 while holding rank 200, \
             taken at src/arch/planted.rs:3:4",
        ];
        let mut matched = [false; 14];
        for fault in FAULTS {
            let expected = pattern(&fault.reason.replace('@', "1")).unwrap();
            let fitting: Vec<_> = (0..reasons.len())
                .filter(|&index| expected.is_match(reasons[index]))
                .collect();
            let &[index] = fitting.as_slice() else {
                panic!("{}: {fitting:?}", fault.name);
            };
            matched[index] = true;
        }
        assert_eq!(matched, [true; 14]);
    }

    #[test]
    fn the_faults_whose_reboot_is_waited_for_are_there() {
        for name in REBOOTS {
            assert!(FAULTS.iter().any(|fault| fault.name == name), "{name}");
        }
    }

    #[test]
    fn the_protections_are_told_apart() {
        let protections = pattern(PROTECTIONS).unwrap();
        assert!(protections.is_match("   CR4 0000000000350ef0"));
        for missing in ["0000000000250ef0", "0000000000150ef0", "00000000003506f0"] {
            assert!(
                !protections.is_match(&format!("   CR4 {missing}")),
                "{missing}"
            );
        }
    }
}
