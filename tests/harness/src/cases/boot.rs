//! The boot matrix: on every machine that QEMU can pretend to be, the hypervisor reaches its end-of-boot
//! line, and finds every processor and all memory.

use super::{Extent, IMAGE, TEST_IMAGE, no_line, pattern};
use crate::iso::Recipe;
use crate::machine::{Board, Hpet, Machine};
use crate::pairwise;
use crate::qemu::Qemu;
use crate::run::Missing;
use crate::suite::{Case, Context};
use crate::verdict::Verdict;
use std::time::Duration;

/// The last line of a boot.
pub const BOOT_COMPLETE: &str =
    r"Paravane: boot complete: (\d+) processors?, (\d+) MiB RAM, (\d+(?:\.\d+)?) ms$";

/// From QEMU's start to the line, firmware and GRUB included, on a machine with other work to do.
pub(super) const BOOT_LIMIT: Duration = Duration::from_secs(60);
/// From the line to QEMU's end.
const EXIT_LIMIT: Duration = Duration::from_secs(20);
/// How long a machine is watched that must stay up; longer than the watchdog's patience, and than its patience
/// with a processor that says nothing at all.
const STAY: Duration = Duration::from_secs(7);
/// What the firmware keeps of the memory for itself and its tables, at most.
const MAX_FIRMWARE_MIB: u32 = 4;

const BOARDS: [Board; 2] = [Board::Q35, Board::Pc];
const PROCESSORS: [u32; 4] = [1, 2, 4, 8];
const MEMORY_MIB: [u32; 3] = [256, 1024, 6144];
const CPUS: [&str; 4] = ["qemu64", "max,-smap", "EPYC", "Skylake-Server"];
const X2APIC: [X2apic; 3] = [X2apic::On, X2apic::Absent, X2apic::Declined];
const HPET: [Hpet; 2] = [Hpet::Present, Hpet::Absent];

/// How the local interrupt controllers are driven.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum X2apic {
    /// The processors have an x2APIC, and it is used.
    On,
    /// The processors have none.
    Absent,
    /// The processors have one, and an option declines it.
    Declined,
}

impl X2apic {
    fn name(self) -> &'static str {
        match self {
            Self::On => "x2apic",
            Self::Absent => "xapic",
            Self::Declined => "x2apic-declined",
        }
    }
}

/// One point of the matrix.
#[derive(Clone, Debug)]
struct Configuration {
    machine: Machine,
    x2apic: X2apic,
}

impl Configuration {
    fn new(levels: &[usize]) -> Option<Self> {
        let &[board, processors, memory, cpu, x2apic, hpet] = levels else {
            return None;
        };
        let x2apic = X2APIC[x2apic];
        let sign = if x2apic == X2apic::Absent { '-' } else { '+' };
        let machine = Machine {
            board: BOARDS[board],
            processors: PROCESSORS[processors],
            memory_mib: MEMORY_MIB[memory],
            cpu: format!("{},{sign}x2apic", CPUS[cpu]),
            hpet: HPET[hpet],
            ..Machine::default()
        };
        Some(Self { machine, x2apic })
    }

    fn name(&self) -> String {
        let machine = &self.machine;
        let model = machine.cpu.split(',').next().unwrap_or_default();
        let hpet = match machine.hpet {
            Hpet::Present => "hpet",
            Hpet::Absent => "no-hpet",
        };
        format!(
            "boot/{}-{}cpu-{}M-{model}-{}-{hpet}",
            machine.board.name(),
            machine.processors,
            machine.memory_mib,
            self.x2apic.name()
        )
    }

    /// What the lines about interrupt controllers and clocks must match: that the settings took effect.
    fn effects(&self) -> [&'static str; 2] {
        let controller = match self.x2apic {
            X2apic::On => r"Local APIC: x2APIC, ",
            X2apic::Absent | X2apic::Declined => r"Local APIC: xAPIC, ",
        };
        let clock = match self.machine.hpet {
            Hpet::Present => r"Time: TSC at .* by HPET at ",
            Hpet::Absent => r"Time: TSC at .* by (ACPI PM timer|PIT)\b",
        };
        [controller, clock]
    }

    fn options(&self) -> &'static str {
        match self.x2apic {
            X2apic::Declined => "console=com1 loglvl=all test=exit x2apic=no",
            X2apic::On | X2apic::Absent => "console=com1 loglvl=all test=exit",
        }
    }

    fn judge(&self, context: &Context<'_>) -> Verdict {
        let qemu = match self.x2apic {
            X2apic::Absent => Qemu::installed().map_err(Verdict::NoVerdict),
            X2apic::On | X2apic::Declined => Qemu::with_x2apic().map_err(Verdict::Skipped),
        };
        let booted = qemu.and_then(|qemu| {
            boots(
                context,
                &qemu,
                &self.machine,
                &Recipe::new(TEST_IMAGE, self.options()),
                &self.effects(),
            )
        });
        booted.unwrap_or_else(|verdict| verdict)
    }
}

/// The cases of the matrix, and the shipped image.
pub fn cases(extent: Extent) -> Vec<Case> {
    let levels = [
        BOARDS.len(),
        PROCESSORS.len(),
        MEMORY_MIB.len(),
        CPUS.len(),
        X2APIC.len(),
        HPET.len(),
    ];
    let combinations = match extent {
        Extent::AllPairs => pairwise::covering(&levels),
        Extent::WholeProduct => pairwise::all(&levels),
    };
    let configurations = combinations
        .iter()
        .filter_map(|levels| Configuration::new(levels));
    let mut cases: Vec<Case> = configurations
        .map(|configuration| {
            Case::new(configuration.name(), move |context| {
                configuration.judge(context)
            })
        })
        .collect();
    for (name, image, processors, options) in [
        ("boot/shipped-image", IMAGE, 2, ""),
        (
            "boot/healthy-with-watchdog",
            TEST_IMAGE,
            4,
            " watchdog watchdog_timeout=2",
        ),
        // Processors that the machine has and that are not started take no watchdog's interrupt either.
        (
            "boot/healthy-with-watchdog-maxcpus-1",
            TEST_IMAGE,
            2,
            " watchdog watchdog_timeout=2 maxcpus=1",
        ),
    ] {
        cases.push(Case::new(name, move |context| {
            let machine = Machine {
                processors,
                ..Machine::default()
            };
            let options = format!("console=com1 loglvl=all{options}");
            stays_up(context, &machine, &Recipe::new(image, options))
                .unwrap_or_else(|verdict| verdict)
        }));
    }
    cases
}

/// The machine comes up, and stays up without a complaint.
fn stays_up(context: &Context<'_>, machine: &Machine, recipe: &Recipe) -> Result<Verdict, Verdict> {
    let qemu = Qemu::installed().map_err(Verdict::NoVerdict)?;
    let mut run = context.boot(&qemu, machine, recipe)?;
    let complete = pattern(BOOT_COMPLETE)?;
    run.wait_for(&complete, BOOT_LIMIT)
        .map_err(|missing| no_line("the end-of-boot line", &missing))?;
    Ok(match run.wait_for(&pattern("PANIC|Paravane")?, STAY) {
        Err(Missing::TimedOut | Missing::Slept) => Verdict::Pass(String::new()),
        Err(Missing::Ended(ending)) => Verdict::Fail(format!("it does not stay up: {ending}")),
        Ok(line) => Verdict::Fail(format!("it does not stay as it is: '{}'", line.text)),
    })
}

/// Boots a test image, checks its end-of-boot line against the machine, lets it report by itself, and looks for a
/// line for each of `effects`.
fn boots(
    context: &Context<'_>,
    qemu: &Qemu,
    machine: &Machine,
    recipe: &Recipe,
    effects: &[&str],
) -> Result<Verdict, Verdict> {
    let mut run = context.boot(qemu, machine, recipe)?;
    let complete = pattern(BOOT_COMPLETE)?;
    let line = run
        .wait_for(&complete, BOOT_LIMIT)
        .map_err(|missing| no_line("the end-of-boot line", &missing))?;
    let ending = run.wait_for_end(EXIT_LIMIT);
    let verdict = Verdict::of_ending(ending);
    if verdict.is_failure() {
        return Ok(verdict);
    }
    let found = complete
        .captures(&line.text)
        .ok_or(Verdict::NoVerdict("the line has changed".into()))?;
    for effect in effects {
        let wanted = pattern(effect)?;
        if !run.lines().iter().any(|line| wanted.is_match(&line.text)) {
            return Ok(Verdict::Fail(format!("no line matches '{effect}'")));
        }
    }
    Ok(check(machine, &found[1], &found[2], &found[3]))
}

/// Whether the end-of-boot line says what the machine has.
fn check(machine: &Machine, processors: &str, memory_mib: &str, milliseconds: &str) -> Verdict {
    let (Ok(processors), Ok(memory_mib), Ok(milliseconds)) = (
        processors.parse::<u32>(),
        memory_mib.parse::<u32>(),
        milliseconds.parse::<f64>(),
    ) else {
        return Verdict::Fail("the end-of-boot line has numbers that are none".into());
    };
    let expected_memory = machine.memory_mib - MAX_FIRMWARE_MIB..=machine.memory_mib;
    if processors != machine.processors {
        Verdict::Fail(format!(
            "{processors} processors are up, the machine has {}",
            machine.processors
        ))
    } else if !expected_memory.contains(&memory_mib) {
        Verdict::Fail(format!(
            "{memory_mib} MiB RAM were found, the machine has {}",
            machine.memory_mib
        ))
    } else {
        Verdict::Pass(format!("{milliseconds} ms"))
    }
}

#[cfg(test)]
mod tests {
    use super::{BOOT_COMPLETE, Extent, cases, check};
    use crate::machine::Machine;
    use crate::verdict::Verdict;
    use regex_lite::Regex;
    use std::collections::BTreeSet;

    #[test]
    fn the_line_is_recognized() {
        let pattern = Regex::new(BOOT_COMPLETE).unwrap();
        let line = "Paravane: boot complete: 8 processors, 6143 MiB RAM, 87 ms";
        let found = pattern.captures(line).unwrap();
        assert_eq!((&found[1], &found[2], &found[3]), ("8", "6143", "87"));
        assert!(
            !pattern.is_match("Paravane: boot complete: 8 processors, 6143 Mi"),
            "a line still growing"
        );
    }

    #[test]
    fn the_line_must_fit_the_machine() {
        let machine = |processors| Machine {
            processors,
            memory_mib: 256,
            ..Machine::default()
        };
        assert_eq!(
            check(&machine(1), "1", "255", "80.5"),
            Verdict::Pass("80.5 ms".into())
        );
        assert!(matches!(
            check(&machine(2), "1", "255", "80"),
            Verdict::Fail(_)
        ));
        for (memory, is_right) in [("251", false), ("252", true), ("256", true), ("257", false)] {
            assert_eq!(
                !check(&machine(1), "1", memory, "80").is_failure(),
                is_right,
                "{memory} MiB"
            );
        }
    }

    #[test]
    fn names_are_unique() {
        for extent in [Extent::AllPairs, Extent::WholeProduct] {
            let cases = cases(extent);
            let names: BTreeSet<_> = cases.iter().map(|case| &case.name).collect();
            assert_eq!(names.len(), cases.len());
        }
    }
}
