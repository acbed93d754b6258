//! Disks and network cards of a stock Debian kernel as the first domain, all at work at once, while their
//! interrupts move between processors: by messages, and by lines. The kernel must not complain of anything of which it
//! does not complain on the reference hypervisor.

use super::kernel_log::{self, complaints, surprises};
use super::kernels::Hypervisor;
use super::shell::{Boot, Shell};
use super::{Extent, no_line, pattern};
use crate::machine::{Board, Machine, Threads};
use crate::suite::{Case, Context};
use crate::verdict::Verdict;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::Duration;

/// What the first domain runs, from the first disk.
const SCRIPT: &str = include_str!("devices.sh");
const DISKS: &str = "build/disks";
const DISK_BYTES: u64 = 16 << 20;
/// A minute where there is nothing else to do.
const WORK_LIMIT: Duration = Duration::from_secs(900);

/// The reference hypervisor's kernel is only asked what it says.
const SECONDS_OF_REFERENCE: u32 = 3;

/// How devices interrupt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Signals {
    Messages,
    Lines,
}

/// All cases.
pub fn cases(extent: Extent) -> Vec<Case> {
    let (counts, ways): (&[u32], &[Signals]) = match extent {
        Extent::AllPairs => (&[2], &[Signals::Messages]),
        Extent::WholeProduct => (&[1, 2, 4], &[Signals::Messages, Signals::Lines]),
    };
    let mut cases = Vec::new();
    for &processors in counts {
        for &signals in ways {
            let way = match signals {
                Signals::Messages => "messages",
                Signals::Lines => "lines",
            };
            let name = format!("dom0/devices-{way}-q35-{processors}cpu");
            cases.push(Case::new(name.clone(), move |context| {
                judge(context, &name, processors, signals, extent).unwrap_or_else(|verdict| verdict)
            }));
        }
    }
    cases
}

/// The disks of a case: the script, and three that are empty.
fn make_disks(prefix: &str) -> io::Result<[String; 4]> {
    fs::create_dir_all(DISKS)?;
    let paths = ["script", "a", "b", "c"].map(|disk| format!("{DISKS}/{prefix}-{disk}.img"));
    for (path, content) in paths.iter().zip([SCRIPT, "", "", ""]) {
        fs::write(path, content)?;
        File::options()
            .write(true)
            .open(path)?
            .set_len(DISK_BYTES)?;
    }
    Ok(paths)
}

/// QEMU's options for all the devices.
fn devices(disks: &[String; 4]) -> Vec<String> {
    let mut options = Vec::new();
    let mut add = |name: &str, value: String| options.extend([name.to_string(), value]);
    for (number, path) in disks.iter().enumerate() {
        add(
            "-drive",
            format!("file={path},if=none,id=d{number},format=raw"),
        );
    }
    for number in [2, 3] {
        // Whoever connects there hears himself.
        let net = format!("net=10.0.{number}.0/24");
        let echo = format!("guestfwd=tcp:10.0.{number}.100:7-cmd:cat");
        add("-netdev", format!("user,id=n{number},{net},{echo}"));
    }
    for device in [
        "virtio-blk-pci,drive=d0",
        "virtio-blk-pci,drive=d1",
        "nvme,drive=d2,serial=1",
        "ich9-ahci,id=disks",
        "ide-hd,drive=d3,bus=disks.0",
        "virtio-net-pci,netdev=n2",
        "e1000e,netdev=n3",
    ] {
        add("-device", device.into());
    }
    options
}

fn judge(
    context: &Context<'_>,
    name: &str,
    processors: u32,
    signals: Signals,
    extent: Extent,
) -> Result<Verdict, Verdict> {
    let seconds = match extent {
        Extent::AllPairs => 8,
        Extent::WholeProduct => 60,
    };
    let disks = make_disks(
        &Path::new(name)
            .file_name()
            .unwrap_or_default()
            .to_string_lossy(),
    )
    .map_err(|error| Verdict::NoVerdict(format!("{DISKS}: {error}")))?;
    let machine = Machine {
        board: Board::Q35,
        processors,
        extra: devices(&disks),
        ..Machine::default()
    };
    let boot = Boot {
        words: match signals {
            Signals::Messages => "",
            Signals::Lines => " pci=nomsi",
        },
        // Interrupts come while all processors truly run.
        threads: Threads::Many,
        ..Boot::of(&machine)
    };
    let mut shell = work(context, &boot, seconds)?;
    must_have_worked(&shell)?;
    must_interrupt_all(&shell, processors)?;
    if let Some(line) = shell
        .run
        .lines()
        .iter()
        .find(|line| line.text.starts_with("suspicious:"))
    {
        return Err(Verdict::Fail(line.text.clone()));
    }
    shell.must_be_healthy()?;
    shell.send("poweroff\n")?;
    shell.must_end()?;
    let ours = complaints_in(&shell)?;
    drop(shell);
    let boot = Boot {
        hypervisor: Hypervisor::Reference,
        ..boot
    };
    let reference = match work(context, &boot, seconds.min(SECONDS_OF_REFERENCE)) {
        Ok(shell) => complaints_in(&shell)?,
        Err(Verdict::Skipped(why)) => {
            return Ok(Verdict::Skipped(format!(
                "all works, but what the kernel says is not compared: {why}"
            )));
        }
        Err(verdict) => return Err(verdict),
    };
    match surprises(&ours, &reference, &kernel_log::known()?).as_slice() {
        [] => Ok(Verdict::Pass(format!(
            "{} different complaints of the kernel, {} on the reference",
            ours.len(),
            reference.len()
        ))),
        lines => Err(Verdict::Fail(format!(
            "the kernel complains, and not on the reference: {}",
            lines.join("; ")
        ))),
    }
}

/// Boots, and lets all devices work for so long.
fn work(context: &Context<'_>, boot: &Boot<'_>, seconds: u32) -> Result<Shell, Verdict> {
    let mut shell = boot.shell(context)?;
    shell.send(&format!(
        "modprobe -a virtio_pci virtio_blk; head -c {} /dev/vda >/tmp/script; sh /tmp/script {seconds}\n",
        SCRIPT.len()
    ))?;
    shell
        .run
        .wait_for(&pattern("^devices: over")?, WORK_LIMIT)
        .map_err(|missing| no_line("the end of the work", &missing))?;
    Ok(shell)
}

/// A device with so many interrupts has had them on several processors: they were sent elsewhere ten times a second.
const MANY_INTERRUPTS: u64 = 100;

/// Interrupts of devices came on every processor, and those of each busy one on several.
fn must_interrupt_all(shell: &Shell, processors: u32) -> Result<(), Verdict> {
    let mut counts = vec![0; processors as usize];
    for line in shell.run.lines() {
        let Some((_, numbers)) = line.text.split_once(':') else {
            continue;
        };
        if line.text.contains("xen-pirq") {
            let numbers = numbers.split_whitespace().take(processors as usize);
            let own: Vec<u64> = numbers.map(|number| number.parse().unwrap_or(0)).collect();
            for (count, own) in counts.iter_mut().zip(&own) {
                *count += own;
            }
            let is_busy = own.iter().sum::<u64>() >= MANY_INTERRUPTS;
            if processors > 1 && is_busy && own.iter().filter(|&&count| count != 0).count() < 2 {
                return Err(Verdict::Fail(format!(
                    "interrupts of a device that do not move: {}",
                    line.text.trim_end()
                )));
            }
        }
    }
    if counts.contains(&0) {
        return Err(Verdict::Fail(format!(
            "interrupts of devices on each processor: {counts:?}"
        )));
    }
    Ok(())
}

/// All devices have done what they should.
fn must_have_worked(shell: &Shell) -> Result<(), Verdict> {
    let lines = shell.run.lines();
    for part in [
        "disk vdb",
        "disk nvme0n1",
        "disk sda",
        "network eth0",
        "network eth1",
    ] {
        let wanted = pattern(&format!("^{part}: [1-9][0-9]* rounds, 0 bad$"))?;
        if !lines
            .iter()
            .any(|line| wanted.is_match(line.text.trim_end()))
        {
            let found = lines.iter().find(|line| line.text.starts_with(part));
            return Err(Verdict::Fail(match found {
                Some(line) => line.text.clone(),
                None => format!("nothing is said about {part}"),
            }));
        }
    }
    Ok(())
}

fn complaints_in(shell: &Shell) -> Result<BTreeSet<String>, Verdict> {
    complaints(shell.run.lines().iter().map(|line| line.text.as_str()))
}
