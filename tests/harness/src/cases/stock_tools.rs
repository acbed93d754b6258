//! Tools that are not ours: stock `xl` and its daemons control domains through the hypervisor.
//!
//! `tests/stock-tools` makes what is booted. Where that can't be had, the case is skipped and says so.

use super::pattern;
use super::shell::{Boot, PROMPT, Shell};
use crate::machine::{Board, Machine};
use crate::suite::{Case, Context};
use crate::verdict::Verdict;
use std::path::Path;
use std::time::Duration;

const INITRD: &str = "build/stock-tools/initrd";
/// To make a domain from a kernel that is unpacked first, on a machine with much else to do.
const CREATE_LIMIT: Duration = Duration::from_secs(400);

/// All cases.
pub fn cases() -> Vec<Case> {
    vec![Case::new("stock-tools/life-of-a-guest", |context| {
        let machine = Machine {
            board: Board::Q35,
            processors: 2,
            ..Machine::default()
        };
        match shell(context, &machine, INITRD).and_then(|mut shell| judge(&mut shell)) {
            Ok(()) => {
                Verdict::Pass("the guest was made, saved, restored and destroyed".to_string())
            }
            Err(verdict) => verdict,
        }
    })]
}

/// The shell of a first domain with stock tools, which are in this RAM disk.
pub(super) fn shell(
    context: &Context<'_>,
    machine: &Machine,
    initrd: &str,
) -> Result<Shell, Verdict> {
    let initrd = Path::new(initrd);
    if !initrd.exists() {
        let why = format!(
            "there is no {}: tests/stock-tools makes it",
            initrd.display()
        );
        return Err(Verdict::Skipped(why));
    }
    let boot = Boot {
        words: " rdinit=/stock-init",
        initrd: Some(initrd),
        ..Boot::of(machine)
    };
    boot.shell(context)
}

/// The columns of the line about a domain in `xl list`: memory, vCPUs and state.
fn listed(shell: &mut Shell, name: &str) -> Result<Option<String>, Verdict> {
    let lines = shell.output("xl list")?;
    let line = lines.iter().find(|line| line.starts_with(name));
    Ok(line.map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        columns.get(2..5).unwrap_or_default().join(" ")
    }))
}

fn must_be(shell: &mut Shell, name: &str, states: &str) -> Result<(), Verdict> {
    match listed(shell, name)? {
        Some(found) if pattern(states)?.is_match(&found) => Ok(()),
        other => Err(Verdict::Fail(format!("{name} is {other:?} in xl list"))),
    }
}

/// Ctrl-], and nothing else behind it for a moment.
fn leave_console(shell: &mut Shell) -> Result<(), Verdict> {
    shell.send("\x1d")?;
    std::thread::sleep(Duration::from_secs(2));
    shell.send("\n")?;
    shell.must_ask(PROMPT, CREATE_LIMIT)
}

fn judge(shell: &mut Shell) -> Result<(), Verdict> {
    must_be(shell, "Domain-0", r"^512 2 r-----$")?;
    for line in [
        "name='g'",
        "kernel='/boot/vmlinuz'",
        "ramdisk='/boot/guest-initrd'",
        "memory=128",
        "vcpus=2",
        "extra='console=hvc0'",
    ] {
        shell.output(&format!("echo \"{line}\" >>/tmp/g"))?;
    }
    // What the first guest brings once and for all is no leak: nodes of the tools, and lists that have grown.
    shell.output_within(
        "xl create -p /tmp/g >/tmp/log 2>&1 && xl destroy g",
        CREATE_LIMIT,
    )?;
    shell.output_within("sleep 2; what-is-there xl >/tmp/before", CREATE_LIMIT)?;
    for told in ["^node ", "^hypervisor Event channels", "^hypervisor .*free"] {
        shell.output(&format!("grep -q '{told}' /tmp/before"))?;
    }
    shell.output_within("xl create -p /tmp/g >/tmp/log 2>&1", CREATE_LIMIT)?;
    must_be(shell, "g ", r"^128 1 --p---$")?;
    shell.output("xl unpause g")?;
    shell.send("xl console g\n")?;
    shell.must_ask(r"guest# $", CREATE_LIMIT)?;
    leave_console(shell)?;
    must_be(shell, "g ", r"^128 2 (r|-)(b|-)----$")?;
    shell.output("xl pause g")?;
    must_be(shell, "g ", r"^128 2 -(b|-)p---$")?;
    shell.output("xl unpause g")?;
    shell.output_within("xl save g /tmp/saved >/tmp/log 2>&1", CREATE_LIMIT)?;
    if listed(shell, "g ")?.is_some() {
        return Err(Verdict::Fail("a saved guest is still there".to_string()));
    }
    shell.output_within("xl restore /tmp/saved >/tmp/log 2>&1", CREATE_LIMIT)?;
    must_be(shell, "g ", r"^128 2 (r|-)(b|-)----$")?;
    shell.output("xl debug-keys q; xl dmesg | grep 'domain 3'")?;
    shell.output("xl destroy g; sleep 2")?;
    if listed(shell, "g ")?.is_some() {
        return Err(Verdict::Fail(
            "a destroyed guest is still there".to_string(),
        ));
    }
    shell.output_within("what-is-there xl >/tmp/after", CREATE_LIMIT)?;
    let left = shell.output("diff /tmp/before /tmp/after || true")?;
    if !left.is_empty() {
        return Err(Verdict::Fail(format!("something is left: {left:?}")));
    }
    shell.must_be_healthy()
}
