//! How long a stock kernel takes as the first domain, from the moment when the boot loader hands over to its shell:
//! compared with the reference hypervisor, one after the other on the same machine.
//!
//! Time goes by for two reasons: the emulator works, or nobody does. The first is the process's own time, which
//! is nearly the same however busy the machine is that the emulator runs on. Neither may be more than there.

use super::kernels::Hypervisor;
use super::shell::{Boot, PROMPT, SHELL_LIMIT};
use super::{no_line, pattern};
use crate::machine::Machine;
use crate::repack::Packing;
use crate::run::Run;
use crate::suite::{Case, Context};
use crate::verdict::Verdict;

/// The emulator's work here in units of that there, at most: to the kernel, and to the shell.
const MOST_WORK: f64 = 1.0;
/// The same of time by the clock.
const MOST_TIME: f64 = 1.0;
/// How often both are tried, if it takes that: the shortest times count.
const ROUNDS: usize = 3;

/// All cases.
pub fn cases() -> Vec<Case> {
    vec![Case::new("dom0/boot-speed-q35-1cpu", |context| {
        compare(context).unwrap_or_else(|verdict| verdict)
    })]
}

/// Seconds since the hypervisor's first line.
#[derive(Clone, Copy, Debug)]
struct Seconds {
    /// Of the emulator's work, to the first domain's first line.
    to_kernel: f64,
    /// Of the emulator's work, to the shell.
    to_shell: f64,
    /// By the clock, to the shell.
    by_clock: f64,
}

impl Seconds {
    const NEVER: Self = Self {
        to_kernel: f64::INFINITY,
        to_shell: f64::INFINITY,
        by_clock: f64::INFINITY,
    };

    fn least(self, other: Self) -> Self {
        Self {
            to_kernel: self.to_kernel.min(other.to_kernel),
            to_shell: self.to_shell.min(other.to_shell),
            by_clock: self.by_clock.min(other.by_clock),
        }
    }
}

fn compare(context: &Context<'_>) -> Result<Verdict, Verdict> {
    let (mut ours, mut reference) = (Seconds::NEVER, Seconds::NEVER);
    let is_as_quick = |ours: Seconds, reference: Seconds| {
        ours.to_kernel <= reference.to_kernel * MOST_WORK
            && ours.to_shell <= reference.to_shell * MOST_WORK
            && ours.by_clock <= reference.by_clock * MOST_TIME
    };
    for _ in 0..ROUNDS {
        reference = reference.least(measure(context, Hypervisor::Reference)?);
        ours = ours.least(measure(context, Hypervisor::Paravane)?);
        if is_as_quick(ours, reference) {
            break;
        }
    }
    let said = format!(
        "{:.1} s of work ({:.1} s before the kernel), on the reference {:.1} s ({:.1} s): {:.2}; by the clock {:.2}",
        ours.to_shell,
        ours.to_kernel,
        reference.to_shell,
        reference.to_kernel,
        ours.to_shell / reference.to_shell,
        ours.by_clock / reference.by_clock
    );
    Ok(if is_as_quick(ours, reference) {
        Verdict::Pass(said)
    } else {
        Verdict::TooSlow(said)
    })
}

fn measure(context: &Context<'_>, hypervisor: Hypervisor) -> Result<Seconds, Verdict> {
    let machine = Machine::default();
    let boot = Boot {
        hypervisor,
        packing: Packing::Stock,
        ..Boot::of(&machine)
    };
    let mut run = boot.start(context)?;
    let first = match hypervisor {
        Hypervisor::Paravane => r"Paravane \d+\.\d+\.\d+",
        Hypervisor::Reference => r"\(XEN\)",
    };
    let mut wait = |text: &str| {
        let line = run
            .wait_for_prompt(&pattern(text)?, SHELL_LIMIT)
            .map_err(|missing| no_line(&format!("'{text}'"), &missing))?;
        Ok((line.at.as_secs_f64(), work_of(&run)?))
    };
    let (started, work_before) = wait(first)?;
    let (_, work_to_kernel) = wait("Linux version")?;
    let (ended, work_to_shell) = wait(PROMPT)?;
    Ok(Seconds {
        to_kernel: work_to_kernel - work_before,
        to_shell: work_to_shell - work_before,
        by_clock: ended - started,
    })
}

/// Seconds of processor time that the emulator has used.
pub(super) fn work_of(run: &Run) -> Result<f64, Verdict> {
    run.work()
        .map(|work| work.as_secs_f64())
        .map_err(|error| Verdict::NoVerdict(error.to_string()))
}
