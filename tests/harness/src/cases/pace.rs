//! How long the boot takes, beside the reference hypervisor on the same machine.
//!
//! Wall time on a machine with other work to do says little; the quickest of several boots of both, one after the
//! other, says whether one takes less than half of the other. What the boot costs in instructions is bounded exactly
//! by `boot/counted-work-*`.

use super::boot::BOOT_COMPLETE;
use super::kernels::Hypervisor;
use super::{no_line, pattern};
use crate::iso::Recipe;
use crate::machine::{Machine, Medium};
use crate::qemu::Qemu;
use crate::run::Run;
use crate::suite::{Case, Context};
use crate::verdict::Verdict;
use std::process::Command;
use std::time::Duration;

/// Boots of each.
const BOOTS: u32 = 3;
/// Well under half.
const MOST: f64 = 0.4;
const LIMIT: Duration = Duration::from_secs(60);
const MODULE: &str = "build/kernels/kernel";
const LINE: &str = "test=start/start-of-day";
/// What the reference says first, and when it goes on to its first domain, which it does not wait for.
const REFERENCE_FIRST: &str = r"Xen version|Latest ChangeSet";
const REFERENCE_BOOTED: &str = r"Building a PV Dom0|LOADING DOMAIN 0";
/// What ours says first.
const FIRST: &str = r"\(PV\)";

/// From the hypervisor's first line to its last before the first domain, at most [`MOST`] of the reference's.
pub fn half_of_the_reference() -> Case {
    Case::new("boot/half-of-the-reference", |context| {
        compare(context).unwrap_or_else(|verdict| verdict)
    })
}

fn compare(context: &Context<'_>) -> Result<Verdict, Verdict> {
    let fetched = Command::new("tests/reference-hypervisor").output();
    let fetched = fetched.map_err(|error| Verdict::NoVerdict(error.to_string()))?;
    if !fetched.status.success() {
        let why = String::from_utf8_lossy(&fetched.stderr).trim().to_string();
        return Err(Verdict::Skipped(why));
    }
    let qemu = Qemu::installed().map_err(Verdict::NoVerdict)?;
    let mut quickest = [f64::INFINITY; 2];
    for _ in 0..BOOTS {
        let recipe = {
            let mut recipe =
                Recipe::new(Hypervisor::Paravane.image(), Hypervisor::Paravane.options());
            recipe.modules.push((MODULE.into(), LINE.into()));
            recipe
        };
        let run = context.boot(&qemu, &Machine::default(), &recipe)?;
        quickest[0] = quickest[0].min(stretch(run, FIRST, BOOT_COMPLETE)?);
        let medium = Medium::Direct {
            image: Hypervisor::Reference.image().into(),
            options: Hypervisor::Reference.options(),
            module: MODULE.into(),
            line: LINE.into(),
            ram_disk: None,
        };
        let run = context.boot_from(&qemu, &Machine::default(), &medium)?;
        quickest[1] = quickest[1].min(stretch(run, REFERENCE_FIRST, REFERENCE_BOOTED)?);
    }
    let [ours, reference] = quickest;
    let ratio = ours / reference;
    let text = format!("{ours:.3} s to {reference:.3} s of the reference: {ratio:.2}");
    Ok(if ratio <= MOST {
        Verdict::Pass(text)
    } else {
        Verdict::TooSlow(format!("{text}, the limit is {MOST}"))
    })
}

/// Seconds from one line to another.
fn stretch(mut run: Run, first: &str, last: &str) -> Result<f64, Verdict> {
    let mut at = |text: &str| {
        run.wait_for(&pattern(text)?, LIMIT)
            .map(|line| line.at)
            .map_err(|missing| no_line(text, &missing))
    };
    let (begun, ended) = (at(first)?, at(last)?);
    Ok(ended.saturating_sub(begun).as_secs_f64())
}
