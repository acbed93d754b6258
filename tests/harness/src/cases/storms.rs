//! Devices that interrupt without end.
//!
//! QEMU executes one instruction in each nanosecond here, so that a guest can have a device send messages as fast as a
//! broken one would, whatever machine QEMU runs on.

use super::{IMAGE, no_line, pattern};
use crate::iso::Recipe;
use crate::machine::Machine;
use crate::qemu::Qemu;
use crate::suite::{Case, Context};
use crate::verdict::Verdict;
use kernels::catalogue::Kernel;
use std::path::PathBuf;
use std::time::Duration;

/// From QEMU's start to the verdict, on a machine with other work to do.
const LIMIT: Duration = Duration::from_secs(240);

/// All cases.
pub fn cases() -> Vec<Case> {
    vec![Case::new("storms/messages-are-held-back", |context| {
        messages_are_held_back(context).unwrap_or_else(|verdict| verdict)
    })]
}

/// The device's messages are masked for a while, which is said once, and the guest misses nothing.
fn messages_are_held_back(context: &Context<'_>) -> Result<Verdict, Verdict> {
    const SAID: &str = "messages of 0000:00:06.0: more than 200 within 1 ms: masked for 1 ms";
    let qemu = Qemu::installed().map_err(Verdict::NoVerdict)?;
    let machine = Machine {
        extra: ["-device", "edu,addr=6"].map(Into::into).to_vec(),
        ..Machine::default()
    }
    .by_instructions(0);
    let options = "console=com1 loglvl=all noreboot dom0_mem=64M frame_audit";
    let mut recipe = Recipe::new(IMAGE, options.to_string());
    let module = PathBuf::from("build/kernels").join(Kernel::Plain.file_name());
    recipe
        .modules
        .push((module, "test=irq/storm end=domain".to_string()));
    let mut run = context.boot(&qemu, &machine, &recipe)?;
    let verdict = run
        .wait_for(&pattern("VERDICT: |Hardware Dom0|PANIC")?, LIMIT)
        .map_err(|missing| no_line("the verdict", &missing))?;
    if !verdict.text.contains("VERDICT: PASS") {
        return Ok(Verdict::Fail(verdict.text));
    }
    let lines = run.lines();
    let said = lines.iter().filter(|line| line.text.contains(SAID)).count();
    let took = lines.iter().find(|line| line.text.contains("messages in"));
    let took = took.map_or("", |line| line.text.trim_end());
    Ok(if said == 1 {
        Verdict::Pass(took.to_string())
    } else {
        Verdict::Fail(format!("it is said {said} times that messages are masked"))
    })
}
