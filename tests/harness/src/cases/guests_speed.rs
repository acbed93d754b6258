//! How long `xm` takes, compared with the reference's `xl` on the reference hypervisor: the same first domain's kernel,
//! the same guest, one after the other on the same machine.
//!
//! As in [`dom0_speed`](super::dom0_speed), neither the emulator's work nor time by the clock may be a greater part of the
//! reference's. Each is the least of several rounds: what else the machine does makes both longer, and neither shorter.

use super::dom0_speed::work_of;
use super::kernels::Hypervisor;
use super::shell::{Boot, PROMPT, Shell};
use crate::machine::Machine;
use crate::suite::{Case, Context};
use crate::verdict::Verdict;
use std::path::Path;
use std::time::{Duration, Instant};

const STOCK_INITRD: &str = "build/stock-tools/initrd";
/// From a guest's creation to its first line, at most.
const CREATE_LIMIT: Duration = Duration::from_secs(200);
/// How often short commands are tried: the shortest time counts.
const TRIES: usize = 4;
/// How often both are tried, if it takes that: the shortest times count.
const ROUNDS: usize = 4;
/// Ctrl-], which leaves a console, and how long nothing else is typed behind it.
const LEAVE: &str = "\x1d";
const ALONE: Duration = Duration::from_secs(2);

/// What is measured, and what part of the reference's it may take.
const STEPS: [(&str, f64); 5] = [
    ("first create", 1.0),
    ("next create", 0.2),
    ("list", 1.0 / 3.0),
    ("pause and unpause", 1.0 / 3.0),
    ("destroy", 1.0 / 3.0),
];

/// All cases.
pub fn cases() -> Vec<Case> {
    vec![Case::new("guests/faster-than-reference", |context| {
        compare(context).unwrap_or_else(|verdict| verdict)
    })]
}

/// Seconds.
#[derive(Clone, Copy, Debug)]
struct Cost {
    work: f64,
    clock: f64,
}

impl Cost {
    const NEVER: Self = Self {
        work: f64::INFINITY,
        clock: f64::INFINITY,
    };

    /// Of each of three.
    fn each(self) -> Self {
        Self {
            work: self.work / 3.0,
            clock: self.clock / 3.0,
        }
    }

    fn least(self, other: Self) -> Self {
        Self {
            work: self.work.min(other.work),
            clock: self.clock.min(other.clock),
        }
    }
}

fn compare(context: &Context<'_>) -> Result<Verdict, Verdict> {
    if !Path::new(STOCK_INITRD).exists() {
        return Ok(Verdict::Skipped(format!(
            "there is no {STOCK_INITRD}: tests/stock-tools makes it"
        )));
    }
    let (mut ours, mut reference) = ([Cost::NEVER; 5], [Cost::NEVER; 5]);
    let mut verdict = Verdict::Skipped("nothing was measured".to_string());
    for _ in 0..ROUNDS {
        reference = least_of(reference, measure(context, Hypervisor::Reference)?);
        ours = least_of(ours, measure(context, Hypervisor::Paravane)?);
        verdict = judge(ours, reference);
        if matches!(verdict, Verdict::Pass(_)) {
            break;
        }
    }
    Ok(verdict)
}

fn least_of(one: [Cost; 5], other: [Cost; 5]) -> [Cost; 5] {
    std::array::from_fn(|step| one[step].least(other[step]))
}

fn judge(ours: [Cost; 5], reference: [Cost; 5]) -> Verdict {
    let mut said = Vec::new();
    let mut is_slow = false;
    for (((what, most), ours), reference) in STEPS.iter().zip(ours).zip(reference) {
        let (work, clock) = (ours.work / reference.work, ours.clock / reference.clock);
        is_slow |= work > *most || clock > *most;
        said.push(format!(
            "{what} {:.2} s of work to {:.2} s: {work:.2}, by the clock {:.2} s to {:.2} s: {clock:.2}",
            ours.work, reference.work, ours.clock, reference.clock
        ));
    }
    let said = said.join("; ");
    if is_slow {
        Verdict::TooSlow(said)
    } else {
        Verdict::Pass(said)
    }
}

/// In the order of [`STEPS`].
fn measure(context: &Context<'_>, hypervisor: Hypervisor) -> Result<[Cost; 5], Verdict> {
    let machine = Machine::default();
    let (tool, boot) = match hypervisor {
        Hypervisor::Paravane => ("xm", Boot::of(&machine)),
        Hypervisor::Reference => (
            "xl",
            Boot {
                hypervisor,
                words: " rdinit=/stock-init",
                initrd: Some(Path::new(STOCK_INITRD)),
                ..Boot::of(&machine)
            },
        ),
    };
    let mut shell = boot.shell(context)?;
    // Both read it.
    for line in [
        "name='g'",
        "kernel='/boot/vmlinuz'",
        "ramdisk='/boot/guest-initrd'",
        "memory=128",
        "extra='console=hvc0 earlyprintk=xen'",
    ] {
        shell.output(&format!("echo \"{line}\" >>/tmp/g"))?;
    }
    let destroy = format!("{tool} destroy g");
    let quiet = |command: &str| format!("{tool} {command} >/dev/null 2>&1");
    // One that stands still takes nothing of what the commands are measured by. Only the last gets to its shell.
    let pause = quiet("pause g");
    let first = create(&mut shell, tool, None)?;
    shell.output_within(&pause, CREATE_LIMIT)?;
    let mut destroyed = timed(&mut shell, &destroy)?;
    let mut next = create(&mut shell, tool, None)?;
    shell.output_within(&pause, CREATE_LIMIT)?;
    destroyed = destroyed.least(timed(&mut shell, &destroy)?);
    next = next.least(create(&mut shell, tool, Some("guest# $"))?);
    let (mut listed, mut paused) = (Cost::NEVER, Cost::NEVER);
    // Several at a time: what is typed and shown takes its time, too, and time is counted in hundredths of a second.
    shell.output(&format!(
        "l() {{ for i in 1 2 3; do {tool} list;done >/dev/null;}}"
    ))?;
    shell.output(&format!(
        "p() {{ for i in 1 2 3; do {tool} pause g;{tool} unpause g;done;}}"
    ))?;
    for _ in 0..TRIES {
        paused = paused.least(timed(&mut shell, "p")?.each());
        listed = listed.least(timed(&mut shell, "l")?.each());
    }
    Ok([first, next, listed, paused, destroyed])
}

/// From the command to the guest's first line. Then its console is left, once it has asked with `prompt`.
fn create(shell: &mut Shell, tool: &str, prompt: Option<&str>) -> Result<Cost, Verdict> {
    let (began, before) = (Instant::now(), work_of(&shell.run)?);
    shell.send(&format!("{tool} create -c /tmp/g\n"))?;
    shell.must_say_within("Linux version", CREATE_LIMIT)?;
    let cost = Cost {
        work: work_of(&shell.run)? - before,
        clock: began.elapsed().as_secs_f64(),
    };
    if let Some(prompt) = prompt {
        shell.must_ask(prompt, CREATE_LIMIT)?;
    }
    shell.send(LEAVE)?;
    std::thread::sleep(ALONE);
    shell.send("\n")?;
    shell.must_ask(PROMPT, CREATE_LIMIT)?;
    Ok(cost)
}

/// One command, from its line to the next prompt.
fn timed(shell: &mut Shell, command: &str) -> Result<Cost, Verdict> {
    let (began, before) = (Instant::now(), work_of(&shell.run)?);
    shell.output_within(command, CREATE_LIMIT)?;
    Ok(Cost {
        work: work_of(&shell.run)? - before,
        clock: began.elapsed().as_secs_f64(),
    })
}
