//! A stock Debian kernel as the first domain: what it does from its shell on, to the machine's end.
//!
//! `boot/make-dom0` makes what is booted. Where that can't be had, the cases say so and are skipped.

use super::Extent;
use super::pattern;
use super::shell::{Boot, Shell};
use crate::machine::{Board, Machine};
use crate::repack::Packing;
use crate::run::Missing;
use crate::suite::Case;
use crate::verdict::Verdict;
use std::time::Duration;

/// How long a machine is watched that must stay up.
const STAY: Duration = Duration::from_secs(3);

/// Three times Ctrl-A.
const SWITCH: &str = "\x01\x01\x01";

/// All cases.
pub fn cases(extent: Extent) -> Vec<Case> {
    let mut cases = Vec::new();
    let q35 = Board::Q35;
    if extent == Extent::WholeProduct {
        // More than the shared page has a place for, and than there are processors.
        cases.push(case(
            "many-vcpus",
            q35,
            2,
            " dom0_max_vcpus=40",
            Packing::Lz4,
            many_vcpus,
        ));
    }
    // One machine for what leaves it as it was: a boot is most of a case's time.
    cases.push(case(
        "life",
        q35,
        2,
        " dom0_max_vcpus=3",
        Packing::Lz4,
        |shell| {
            typing(shell)?;
            hot_unplug(shell)?;
            store(shell)?;
            reboot(shell)
        },
    ));
    cases.push(case(
        "debug-keys",
        q35,
        2,
        " noreboot",
        Packing::Gzip,
        |shell| {
            debug_keys(shell)?;
            shell.send(&format!("{SWITCH}C"))?;
            shell.must_say(r"PANIC on CPU0: the debug key wants it")?;
            shell.must_say(r"Not rebooting")
        },
    ));
    cases.push(case(
        "crash-stays",
        q35,
        1,
        " noreboot",
        Packing::Zstd,
        crash_stays,
    ));
    cases.push(case(
        "crash-reboots",
        q35,
        1,
        "",
        Packing::Lz4,
        crash_reboots,
    ));
    cases.push(case("key-reboot", q35, 1, "", Packing::Lz4, |shell| {
        shell.send(&format!("{SWITCH}R"))?;
        shell.must_say("Rebooting, as the debug key wants")?;
        shell.must_end()
    }));
    cases
}

/// A case that begins at the shell's prompt.
fn case(
    name: &str,
    board: Board,
    processors: u32,
    options: &'static str,
    packing: Packing,
    judge: impl Fn(&mut Shell) -> Result<(), Verdict> + Send + Sync + 'static,
) -> Case {
    let name = format!("dom0/{name}-{}-{processors}cpu", board.name());
    Case::new(name, move |context| {
        let machine = Machine {
            board,
            processors,
            ..Machine::default()
        };
        let boot = Boot {
            options,
            packing,
            ..Boot::of(&machine)
        };
        let judged = boot.shell(context).and_then(|mut shell| {
            let seconds = shell.after.as_secs_f64();
            judge(&mut shell)?;
            shell.must_be_healthy()?;
            Ok(Verdict::Pass(format!("a shell after {seconds:.1} s")))
        });
        judged.unwrap_or_else(|verdict| verdict)
    })
}

/// Much that is typed at once arrives complete, and so do characters that mean something to the hypervisor.
fn typing(shell: &mut Shell) -> Result<(), Verdict> {
    const LINES: u32 = 150;
    // What comes while the terminal changes from the shell's line editing to whole lines belongs to neither.
    shell.send("stty -echo; echo ready; cat > /tmp/typed; stty echo; echo after\n")?;
    shell.must_say("^ready$")?;
    let mut sum = 0;
    for number in 0..LINES {
        shell.send(&format!("{number} {}\n", "x".repeat(40)))?;
        sum += number;
    }
    shell.send("\x04")?;
    shell.must_say("^after")?;
    shell.must_prompt()?;
    shell.must_print(
        "awk '{ s += $1 } END { print NR, s }' /tmp/typed",
        &format!("{LINES} {sum}"),
    )?;
    shell.must_print(
        "uniq -s 4 /tmp/typed | grep -c 'x\\{40\\}'",
        &count_of_widths(LINES),
    )?;
    // Two of the three that switch: they are the shell's (to the beginning of the line).
    shell.send("cho twice\x01\x01e\n")?;
    shell.must_say("^twice")?;
    shell.must_prompt()
}

/// `uniq -s 4` makes one line of those whose numbers have as many digits, but for what is behind them.
fn count_of_widths(lines: u32) -> String {
    let tail = |number: u32| {
        format!("{number} {}", "x".repeat(40))
            .get(4..)
            .map(str::to_string)
    };
    let mut tails: Vec<_> = (0..lines).map(tail).collect();
    tails.dedup();
    tails.len().to_string()
}

/// The debug keys report, and the first domain goes on.
fn debug_keys(shell: &mut Shell) -> Result<(), Verdict> {
    shell.send(SWITCH)?;
    shell.must_say("Input goes to the hypervisor")?;
    for (key, line) in [
        ("h", r"  h  this list"),
        ("q", r"domain 0: 131072 pages of at most 131072, 2 vCPUs"),
        ("0", r"RIP [0-9a-f]{16}"),
        ("e", r"virtual interrupt 2 for v"),
        ("m", r"Memory: \d+ frames are free"),
        ("r", r"Run queues:"),
        ("a", r"d0v1, by CPU\d: single shot"),
        ("L", r"Last hypercalls and exceptions of d0v1"),
        ("F", r"Frame audit: 0 findings"),
        ("~", r"'~' is no debug key"),
        ("*", r"Last hypercalls and exceptions of d0v1"),
    ] {
        shell.send(key)?;
        shell.must_say(line)?;
    }
    shell.send(SWITCH)?;
    shell.must_say("Input goes to the first domain")?;
    shell.send("\n")?;
    shell.must_prompt()?;
    shell.must_print("echo again", "again")
}

/// There are as many vCPUs as the option says, and they go and come back.
fn hot_unplug(shell: &mut Shell) -> Result<(), Verdict> {
    shell.must_print("nproc", "3")?;
    for number in [1, 2, 1] {
        let online = format!("/sys/devices/system/cpu/cpu{number}/online");
        shell.output(&format!("echo 0 > {online}"))?;
        shell.must_print("nproc", "2")?;
        shell.output(&format!("echo 1 > {online}"))?;
        shell.must_print("nproc", "3")?;
        let mask = 1 << number;
        shell.must_print(&format!("taskset {mask} sh -c 'echo there'"), "there")?;
    }
    Ok(())
}

/// The last of many vCPUs comes and goes, and runs what is to run there.
fn many_vcpus(shell: &mut Shell) -> Result<(), Verdict> {
    const LAST: &str = "/sys/devices/system/cpu/cpu39/online";
    shell.must_print("nproc", "40")?;
    shell.must_print("taskset 0x8000000000 sh -c 'echo there'", "there")?;
    shell.output(&format!("echo 0 > {LAST}"))?;
    shell.must_print("nproc", "39")?;
    shell.output(&format!("echo 1 > {LAST}"))?;
    shell.must_print("nproc", "40")?;
    shell.must_print("taskset 0x8000000000 sh -c 'echo there'", "there")
}

/// The store answers the kernel and processes, and the kernel does not notice that its daemon is killed.
fn store(shell: &mut Shell) -> Result<(), Verdict> {
    // Where there is no socket, the kernel is asked.
    shell.output("XENSTORED_PATH=/none xenstore-write a/b 1")?;
    shell.must_print("xenstore-read -s /local/domain/0/a/b", "1")?;
    shell.must_print("xenstore-read -s control/feature-poweroff", "1")?;
    shell.output("kill -9 $(cat /run/xenstored.pid) && xenstored")?;
    shell.must_print("XENSTORED_PATH=/none xenstore-read a/b", "1")?;
    shell.must_print("xenstore-control check", "OK")?;
    shell.must_print("pidof xenconsoled | wc -w", "1")
}

fn reboot(shell: &mut Shell) -> Result<(), Verdict> {
    shell.send("reboot\n")?;
    shell.must_say("Hardware Dom0 shutdown: rebooting machine")?;
    // QEMU is told to end instead.
    shell.must_end()
}

/// A crash says so, and the machine stays as the administrator wants.
fn crash_stays(shell: &mut Shell) -> Result<(), Verdict> {
    shell.send("echo c > /proc/sysrq-trigger\n")?;
    shell.must_say("Hardware Dom0 crashed: 'noreboot' set")?;
    match shell.run.wait_for(&pattern("Paravane")?, STAY) {
        Err(Missing::TimedOut) => Ok(()),
        other => Err(Verdict::Fail(format!("it does not stay: {other:?}"))),
    }
}

fn crash_reboots(shell: &mut Shell) -> Result<(), Verdict> {
    shell.send("echo c > /proc/sysrq-trigger\n")?;
    shell.must_say("Hardware Dom0 crashed: rebooting machine in 5 seconds")?;
    shell.must_end()
}
