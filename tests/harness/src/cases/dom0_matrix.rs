//! Stock kernels as the first domain on different machines: each to a shell, a few commands, and a power-off.

use super::Extent;
use super::machines::UEFI;
use super::shell::{Boot, Kernel, Shell};
use super::{no_line, pattern};
use crate::machine::{Board, Machine, Reader};
use crate::pairwise;
use crate::repack::Packing;
use crate::suite::{Case, Context};
use crate::verdict::{Ending, Verdict};
use regex_lite::Regex;
use std::path::Path;
use std::time::Duration;

const KERNELS: [Kernel; 3] = [Kernel::Stable, Kernel::Older, Kernel::Backports];
const PROCESSORS: [u32; 3] = [1, 2, 4];
const HOSTS: [Host; 3] = [Host::Q35, Host::Pc, Host::Uefi];

/// A board and what it boots by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Host {
    Q35,
    Pc,
    /// Q35 with UEFI instead of a BIOS.
    Uefi,
}

impl Host {
    fn name(self) -> &'static str {
        match self {
            Self::Q35 => "q35",
            Self::Pc => "pc",
            Self::Uefi => "uefi",
        }
    }

    fn machine(self, processors: u32) -> Machine {
        let (board, extra) = match self {
            Self::Q35 => (Board::Q35, Vec::new()),
            Self::Pc => (Board::Pc, Vec::new()),
            Self::Uefi => (Board::Q35, vec!["-bios".into(), UEFI.into()]),
        };
        Machine {
            board,
            processors,
            extra,
            ..Machine::default()
        }
    }
}

/// All cases.
pub fn cases(extent: Extent) -> Vec<Case> {
    let levels = [KERNELS.len(), PROCESSORS.len(), HOSTS.len()];
    let combinations = match extent {
        Extent::AllPairs => pairwise::each_level(&levels),
        Extent::WholeProduct => pairwise::all(&levels),
    };
    let mut cases = Vec::new();
    for combination in combinations {
        let [kernel, processors, host] = combination[..] else {
            continue;
        };
        let (kernel, processors, host) = (KERNELS[kernel], PROCESSORS[processors], HOSTS[host]);
        let name = format!(
            "dom0/shell-{}-{}-{processors}cpu",
            kernel.name(),
            host.name()
        );
        cases.push(Case::new(name, move |context| {
            works(context, kernel, processors, host).unwrap_or_else(|verdict| verdict)
        }));
    }
    cases.push(Case::new("dom0/cloud-kernel", |context| {
        boots_alone(context).unwrap_or_else(|verdict| verdict)
    }));
    cases
}

/// Boots to the shell, where commands work and processors are there; then the machine turns itself off.
fn works(
    context: &Context<'_>,
    kernel: Kernel,
    processors: u32,
    host: Host,
) -> Result<Verdict, Verdict> {
    if host == Host::Uefi && !Path::new(UEFI).exists() {
        return Err(Verdict::Skipped(format!("there is no {UEFI} here")));
    }
    let release = kernel.release()?;
    if kernel != Kernel::Stable && release == Kernel::Stable.release()? {
        return Err(Verdict::Skipped(format!(
            "the distribution has one kernel, {release}, which other cases boot"
        )));
    }
    let machine = host.machine(processors);
    let boot = Boot {
        kernel,
        packing: Packing::Stock,
        reader: match host {
            Host::Pc => Reader::Virtio,
            Host::Q35 | Host::Uefi => Reader::Drive,
        },
        ..Boot::of(&machine)
    };
    let mut shell = boot.shell(context)?;
    let seconds = shell.after.as_secs_f64();
    shell.must_print("uname -r", &release)?;
    shell.must_print("grep -c ^processor /proc/cpuinfo", &processors.to_string())?;
    shell.must_print("cat /sys/hypervisor/type", "xen")?;
    // Work on all processors.
    shell.must_print("for i in 1 2 3; do md5sum /init & done | uniq | wc -l", "1")?;
    turns_off(&mut shell)?;
    shell.must_be_healthy()?;
    // By `earlyprintk=xen`, before there is the console that stays.
    let early = pattern(r"bootconsole \[xenboot0\] enabled")?;
    let late = pattern(r"(console|printk).*\[hvc0\] enabled")?;
    let first = |wanted: &Regex| {
        let mut lines = shell.run.lines().iter();
        lines.position(|line| wanted.is_match(&line.text))
    };
    if first(&early).is_none() || first(&early) > first(&late) {
        return Err(Verdict::Fail("no early messages of the kernel".into()));
    }
    const REFUSED: &str = "can't call the firmware's runtime services";
    let mut lines = shell.run.lines().iter();
    if lines.any(|line| line.text.contains(REFUSED)) != (host == Host::Uefi) {
        return Err(Verdict::Fail(
            "what is said of UEFI's services does not fit the firmware".into(),
        ));
    }
    Ok(Verdict::Pass(format!(
        "{release}, a shell after {seconds:.1} s"
    )))
}

/// The first domain turns the machine off.
pub(super) fn turns_off(shell: &mut Shell) -> Result<(), Verdict> {
    shell.send("poweroff\n")?;
    shell.must_say(r"The first domain turns the machine off \(ACPI S5\)")?;
    shell.must_end()
}

/// From the shell's modules to the debug keys.
const KERNEL_LIMIT: Duration = Duration::from_secs(300);

/// The cloud's kernel says in its notes that it can be a first domain, and is built without the means: it finds neither
/// ACPI nor the console, and goes on to its init, which is alone there. So it does on the reference hypervisor. The
/// hypervisor's own keys work.
fn boots_alone(context: &Context<'_>) -> Result<Verdict, Verdict> {
    let machine = Machine::default();
    let boot = Boot {
        kernel: Kernel::Cloud,
        packing: Packing::Stock,
        ..Boot::of(&machine)
    };
    let mut run = boot.start(context)?;
    let mut wait = |text: &str| {
        run.wait_for(&pattern(text)?, KERNEL_LIMIT)
            .map_err(|missing| no_line(&format!("'{text}'"), &missing))
    };
    wait("ACPI: Interpreter disabled")?;
    wait("Run /init as init process")?;
    // Of its init's first module.
    wait("Event-channel device installed")?;
    run.send("\x01\x01\x01R")
        .map_err(|error| Verdict::NoVerdict(format!("nothing can be typed: {error}")))?;
    match run.wait_for_end(KERNEL_LIMIT) {
        Ending::Exited(0) => Ok(Verdict::Pass("to its init, without a console".into())),
        ending => Ok(Verdict::Fail(format!("the machine does not end: {ending}"))),
    }
}
