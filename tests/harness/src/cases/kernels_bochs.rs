//! Tiny kernels about what QEMU's processors don't do, on Bochs, whose do: alignment checks, and exceptions of SSE and of the
//! stack segment in user mode. On QEMU the same kernels say that they are skipped.

use super::kernels::{Hypervisor, audited, spoken};
use super::{IMAGE, no_line};
use crate::iso::Recipe;
use crate::suite::{Case, Context};
use crate::verdict::Verdict;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const KERNELS: [&str; 5] = [
    "trap/alignment",
    "trap/simd",
    "user/alignment",
    "user/simd",
    "user/stack-fault",
];
/// What `tests/bochs` leaves.
const BOCHS: &str = "build/bochs/bochs";
/// From its start to the verdict, on a machine with other work to do.
const LIMIT: Duration = Duration::from_secs(180);

/// All of them.
pub fn cases() -> Vec<Case> {
    let case = |name: &'static str| {
        Case::new(format!("bochs/{name}"), move |context| {
            judge(context, name).unwrap_or_else(|verdict| verdict)
        })
    };
    KERNELS.map(case).into()
}

fn judge(context: &Context<'_>, name: &str) -> Result<Verdict, Verdict> {
    if !Path::new(BOCHS).exists() {
        let why = "no Bochs here (tests/bochs fetches one, or says why it can't)";
        return Err(Verdict::Skipped(why.into()));
    }
    let mut recipe = Recipe::new(IMAGE, Hypervisor::Paravane.options());
    let line = format!("test={name} processors=1 end=domain");
    recipe
        .modules
        .push((PathBuf::from("build/kernels/kernel"), line));
    let mut command = Command::new("tests/on-bochs");
    command
        .arg(context.iso(&recipe)?)
        .arg(name.replace('/', "-"));
    let mut run = context.spawn(command)?;
    let said = super::pattern(r"VERDICT: \w+ \S+|(?i:panic on cpu)")?;
    let line = run
        .wait_for(&said, LIMIT)
        .map_err(|missing| no_line("the verdict", &missing))?;
    let verdict = spoken(&line.text, name);
    match verdict {
        Verdict::Pass(_) => audited(&mut run).map(|()| verdict),
        // It is here that this is seen.
        Verdict::Skipped(why) => Err(Verdict::Fail(format!("it is skipped here, too: {why}"))),
        other => Err(other),
    }
}
