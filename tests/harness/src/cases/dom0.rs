//! A stock Debian kernel as the first domain: to a shell on the serial line, through a few commands, and to
//! the machine's end.
//!
//! `boot/make-dom0` makes what is booted. Where that can't be had, the cases say so and are skipped.

use super::{Extent, IMAGE, no_line, pattern};
use crate::iso::Recipe;
use crate::machine::{Board, Machine};
use crate::qemu::Qemu;
use crate::run::{Missing, Run};
use crate::suite::{Case, Context};
use crate::verdict::{Ending, Verdict};
use std::path::Path;
use std::time::Duration;

const KERNEL: &str = "build/dom0/vmlinuz";
const RAM_DISK: &str = "build/dom0/initrd";
/// The kernel's version, as `uname -r` says it.
const RELEASE: &str = "build/dom0/release";
const KERNEL_LINE: &str = "console=hvc0 earlyprintk=xen";
/// What the shell asks with.
const PROMPT: &str = r"dom0# $";

const BOARDS: [Board; 2] = [Board::Q35, Board::Pc];
const PROCESSORS: [u32; 3] = [1, 2, 4];
/// Machines that are tried unless all are asked for.
const FEWEST: [(Board, u32); 3] = [(Board::Q35, 1), (Board::Q35, 4), (Board::Pc, 2)];

/// From QEMU's start to the shell: half a minute where there is nothing else to do.
const SHELL_LIMIT: Duration = Duration::from_secs(300);
/// From a command to its end.
const COMMAND_LIMIT: Duration = Duration::from_secs(60);
/// From `poweroff` to the machine's end: processes are given time to end.
const END_LIMIT: Duration = Duration::from_secs(60);
/// How long a machine is watched that must stay up.
const STAY: Duration = Duration::from_secs(3);

/// Three times Ctrl-A.
const SWITCH: &str = "\x01\x01\x01";

/// All cases.
pub fn cases(extent: Extent) -> Vec<Case> {
    let machines: Vec<_> = match extent {
        Extent::AllPairs => FEWEST.to_vec(),
        Extent::WholeProduct => BOARDS
            .iter()
            .flat_map(|&board| PROCESSORS.map(|processors| (board, processors)))
            .collect(),
    };
    let mut cases: Vec<Case> = machines
        .into_iter()
        .map(|(board, processors)| {
            case("shell", board, processors, "", move |shell| {
                shell_works(shell, processors)
            })
        })
        .collect();
    let q35 = Board::Q35;
    cases.push(case("typing", q35, 1, "", typing));
    cases.push(case("debug-keys", q35, 2, "", debug_keys));
    cases.push(case("hot-unplug", q35, 2, "", hot_unplug));
    cases.push(case("store", q35, 1, "", store));
    cases.push(case("reboot", q35, 1, "", reboot));
    cases.push(case("crash-stays", q35, 1, " noreboot", crash_stays));
    cases.push(case("crash-reboots", q35, 1, "", crash_reboots));
    cases.push(case("key-reboot", q35, 1, "", |shell| {
        shell.send(&format!("{SWITCH}R"))?;
        shell.must_say("Rebooting, as the debug key wants")?;
        shell.must_end()
    }));
    cases.push(case("key-crash", q35, 1, " noreboot", |shell| {
        shell.send(&format!("{SWITCH}C"))?;
        shell.must_say(r"PANIC on CPU0: the debug key wants it")?;
        shell.must_say(r"Not rebooting")
    }));
    cases
}

/// A case that begins at the shell's prompt.
fn case(
    name: &str,
    board: Board,
    processors: u32,
    options: &'static str,
    judge: impl Fn(&mut Shell) -> Result<(), Verdict> + Send + Sync + 'static,
) -> Case {
    let name = format!("dom0/{name}-{}-{processors}cpu", board.name());
    Case::new(name, move |context| {
        let judged = Shell::boot(context, board, processors, options).and_then(|mut shell| {
            let seconds = shell.after.as_secs_f64();
            judge(&mut shell)?;
            shell.must_be_healthy()?;
            Ok(Verdict::Pass(format!("a shell after {seconds:.1} s")))
        });
        judged.unwrap_or_else(|verdict| verdict)
    })
}

/// A machine whose first domain has come to its shell.
pub(super) struct Shell {
    pub(super) run: Run,
    /// From QEMU's start to the prompt.
    after: Duration,
}

impl Shell {
    fn boot(
        context: &Context<'_>,
        board: Board,
        processors: u32,
        options: &str,
    ) -> Result<Self, Verdict> {
        let machine = Machine {
            board,
            processors,
            ..Machine::default()
        };
        Self::boot_machine(context, &machine, options, "")
    }

    /// Boots a machine to the shell, with more options and more words on the kernel's command line.
    pub(super) fn boot_machine(
        context: &Context<'_>,
        machine: &Machine,
        options: &str,
        kernel_words: &str,
    ) -> Result<Self, Verdict> {
        for path in [KERNEL, RAM_DISK, RELEASE] {
            if !Path::new(path).exists() {
                return Err(Verdict::Skipped(format!(
                    "there is no {path}: boot/make-dom0 makes it"
                )));
            }
        }
        let qemu = Qemu::installed().map_err(Verdict::NoVerdict)?;
        let options = format!("console=com1 loglvl=all dom0_mem=512M{options}");
        let mut recipe = Recipe::new(IMAGE, options);
        let line = format!("{KERNEL_LINE}{kernel_words}");
        recipe.modules.push((KERNEL.into(), line));
        recipe.modules.push((RAM_DISK.into(), String::new()));
        let mut run = context.boot(&qemu, machine, &recipe)?;
        let wanted = pattern(&format!("{PROMPT}|PANIC|Hardware Dom0"))?;
        let line = run
            .wait_for_prompt(&wanted, SHELL_LIMIT)
            .map_err(|missing| no_line("the shell's prompt", &missing))?;
        if !pattern(PROMPT)?.is_match(&line.text) {
            return Err(Verdict::Fail(line.text));
        }
        let shell = Self {
            run,
            after: line.at,
        };
        Ok(shell)
    }

    pub(super) fn send(&mut self, text: &str) -> Result<(), Verdict> {
        self.run
            .send(text)
            .map_err(|error| Verdict::NoVerdict(format!("nothing can be typed: {error}")))
    }

    /// Waits for a line.
    pub(super) fn must_say(&mut self, text: &str) -> Result<(), Verdict> {
        self.run
            .wait_for(&pattern(text)?, COMMAND_LIMIT)
            .map(|_| ())
            .map_err(|missing| no_line(&format!("'{text}'"), &missing))
    }

    /// Waits for the next prompt: what is typed before it comes is shown twice.
    fn must_prompt(&mut self) -> Result<(), Verdict> {
        self.run
            .wait_for_prompt(&pattern(PROMPT)?, COMMAND_LIMIT)
            .map(|_| ())
            .map_err(|missing| no_line("the shell's prompt", &missing))
    }

    /// Runs a command that is not longer than a line of the terminal, and returns what it prints.
    fn output(&mut self, command: &str) -> Result<Vec<String>, Verdict> {
        let before = self.run.lines().len();
        self.send(&format!("{command}; echo done-$?\n"))?;
        let line = self
            .run
            .wait_for(&pattern(r"^done-\d+$")?, COMMAND_LIMIT)
            .map_err(|missing| no_line(&format!("the end of '{command}'"), &missing))?;
        self.must_prompt()?;
        if line.text != "done-0" {
            return Err(Verdict::Fail(format!(
                "'{command}' ends with {}",
                line.text
            )));
        }
        let lines = self.run.lines().iter().skip(before);
        let said = lines
            .map(|line| line.text.trim_end().to_string())
            .filter(|line| !line.starts_with("done-") && !line.contains("dom0#"));
        Ok(said.collect())
    }

    /// Runs a command that must print one line, this one.
    fn must_print(&mut self, command: &str, wanted: &str) -> Result<(), Verdict> {
        match self.output(command)?.as_slice() {
            [line] if line == wanted => Ok(()),
            lines => Err(Verdict::Fail(format!(
                "'{command}' prints {lines:?} instead of '{wanted}'"
            ))),
        }
    }

    /// The machine must end by itself.
    pub(super) fn must_end(&mut self) -> Result<(), Verdict> {
        match self.run.wait_for_end(END_LIMIT) {
            Ending::Exited(0) => Ok(()),
            ending => Err(Verdict::Fail(format!("the machine does not end: {ending}"))),
        }
    }

    /// Neither kernel nor hypervisor has complained.
    pub(super) fn must_be_healthy(&self) -> Result<(), Verdict> {
        let complaint =
            pattern(r"WARNING:|BUG:|Oops:|Call Trace:|rcu.*stall|cut here|invalid opcode")?;
        let is_meant = |text: &str| text.contains("sysrq");
        let lines = self.run.lines();
        match lines
            .iter()
            .find(|line| complaint.is_match(&line.text) && !is_meant(&line.text))
        {
            // A crash that was asked for ends in a report.
            Some(_)
                if lines
                    .iter()
                    .any(|line| line.text.contains("sysrq: Trigger a crash")) =>
            {
                Ok(())
            }
            Some(line) => Err(Verdict::Fail(format!("a complaint: {}", line.text))),
            None => Ok(()),
        }
    }
}

/// Commands work, processors are there, and the machine turns itself off.
fn shell_works(shell: &mut Shell, processors: u32) -> Result<(), Verdict> {
    let release = std::fs::read_to_string(RELEASE)
        .map_err(|error| Verdict::NoVerdict(format!("{RELEASE}: {error}")))?;
    shell.must_print("uname -r", release.trim())?;
    shell.must_print("grep -c ^processor /proc/cpuinfo", &processors.to_string())?;
    shell.must_print("cat /sys/hypervisor/type", "xen")?;
    // Work on all processors.
    shell.must_print("for i in 1 2 3; do md5sum /init & done | uniq | wc -l", "1")?;
    shell.send("poweroff\n")?;
    shell.must_say(r"The first domain turns the machine off \(ACPI S5\)")?;
    shell.must_end()
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
    shell.send("poweroff\n")?;
    shell.must_end()
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
    shell.must_print("echo again", "again")?;
    shell.send("poweroff\n")?;
    shell.must_end()
}

/// vCPUs go and come back.
fn hot_unplug(shell: &mut Shell) -> Result<(), Verdict> {
    shell.must_print("nproc", "2")?;
    for _ in 0..3 {
        shell.output("echo 0 > /sys/devices/system/cpu/cpu1/online")?;
        shell.must_print("nproc", "1")?;
        shell.output("echo 1 > /sys/devices/system/cpu/cpu1/online")?;
        shell.must_print("nproc", "2")?;
        shell.must_print("taskset 2 sh -c 'echo there'", "there")?;
    }
    shell.send("poweroff\n")?;
    shell.must_end()
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
    shell.must_print("pidof xenconsoled | wc -w", "1")?;
    shell.send("poweroff\n")?;
    shell.must_end()
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
