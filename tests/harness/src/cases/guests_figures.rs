//! What a guest's disk and network do here and on the reference hypervisor, as fio and iperf3 tell it: the same first domain
//! with the same tools, the same guest, one after the other on the same machine. Nothing is judged; the ratios are told.

use super::dom0_speed::work_of;
use super::guests::{GUEST_LIMIT, GUEST_PROMPT, leave};
use super::guests_devices::in_guest;
use super::kernels::Hypervisor;
use super::shell::{Boot, Shell};
use crate::machine::Machine;
use crate::suite::{Case, Context};
use crate::verdict::Verdict;
use std::path::Path;

const INITRD: &str = "build/stock-tools/initrd";
const DISK: &str = "build/figures-disk/disk.img";
/// How often both are tried: the best counts.
const ROUNDS: usize = 2;
const NR_STEPS: usize = 6;
/// What is measured, and the command, which prints KiB or Kbit a second on a line of its own.
const STEPS: [(&str, &str); NR_STEPS] = [
    (
        "disk, written in a row by 64 KiB",
        "disk --rw=write --bs=64k --size=32m",
    ),
    (
        "disk, read in a row by 64 KiB",
        "disk --rw=read --bs=64k --size=32m",
    ),
    (
        "disk, written at random by 4 KiB",
        "disk --rw=randwrite --bs=4k --size=4m",
    ),
    (
        "disk, read at random by 4 KiB",
        "disk --rw=randread --bs=4k --size=4m",
    ),
    ("network, to the first domain", "network -n 48M"),
    ("network, from the first domain", "network -n 48M -R"),
];

/// On request: it takes minutes, and needs a disk of its own.
pub fn comparison() -> Case {
    Case::new("figures/devices", |context| {
        compare(context).unwrap_or_else(|verdict| verdict)
    })
}

/// What a step has moved a second, by the guest's clock, and how long the emulator worked for it.
#[derive(Clone, Copy, Debug)]
struct Figure {
    rate: f64,
    work_s: f64,
}

impl Figure {
    fn better(self, other: Self) -> Self {
        Self {
            rate: self.rate.max(other.rate),
            work_s: self.work_s.min(other.work_s),
        }
    }
}

fn compare(context: &Context<'_>) -> Result<Verdict, Verdict> {
    for (file, maker) in [
        (INITRD, "tests/stock-tools"),
        (DISK, "tests/make-test-disk figures"),
    ] {
        if !Path::new(file).exists() {
            return Ok(Verdict::Skipped(format!(
                "there is no {file}: {maker} makes it"
            )));
        }
    }
    let nothing = [Figure {
        rate: 0.0,
        work_s: f64::INFINITY,
    }; NR_STEPS];
    let mut figures = [nothing; 2];
    for _ in 0..ROUNDS {
        for (best, hypervisor) in figures
            .iter_mut()
            .zip([Hypervisor::Paravane, Hypervisor::Reference])
        {
            let new = measure(context, hypervisor)?;
            *best = std::array::from_fn(|step| best[step].better(new[step]));
        }
    }
    let [ours, reference] = figures;
    let mut said = String::from(
        "\n| what | here, MB/s | reference | ratio | emulator's work, ratio |\n|---|---:|---:|---:|---:|",
    );
    for (((what, _), ours), reference) in STEPS.iter().zip(ours).zip(reference) {
        said += &format!(
            "\n| {what} | {:.1} | {:.1} | {:.2} | {:.2} |",
            ours.rate / 1e6,
            reference.rate / 1e6,
            ours.rate / reference.rate,
            ours.work_s / reference.work_s
        );
    }
    Ok(Verdict::Pass(said))
}

fn measure(context: &Context<'_>, hypervisor: Hypervisor) -> Result<[Figure; NR_STEPS], Verdict> {
    let drive = format!("file={DISK},if=none,id=figures,format=raw,snapshot=on");
    let machine = Machine {
        extra: ["-drive", &drive, "-device", "virtio-blk-pci,drive=figures"]
            .map(String::from)
            .to_vec(),
        ..Machine::default()
    }
    .by_instructions(0);
    let boot = Boot {
        hypervisor,
        words: " rdinit=/stock-init",
        initrd: Some(Path::new(INITRD)),
        ..Boot::of(&machine)
    };
    let mut shell = boot.shell(context)?;
    start_guest(&mut shell)?;
    let mut figures = Vec::new();
    for (what, command) in STEPS {
        let before = work_of(&shell.run)?;
        let lines = in_guest(&mut shell, command)?;
        let work_s = work_of(&shell.run)? - before;
        let rate = lines.last().and_then(|line| line.trim().parse().ok());
        match rate {
            Some(rate) if rate > 0.0 => figures.push(Figure { rate, work_s }),
            _ => return Err(Verdict::Fail(format!("{what}: {lines:?}"))),
        }
    }
    leave(&mut shell)?;
    figures
        .try_into()
        .map_err(|_| Verdict::NoVerdict("a figure is missing".into()))
}

/// A guest whose disk is in the first domain's memory, with the programs beside it.
fn start_guest(shell: &mut Shell) -> Result<(), Verdict> {
    for command in [
        "stty columns 250; modprobe -a virtio_pci virtio_blk ext4 loop bridge",
        "modprobe -a xen-blkback xen-netback; mount -o ro /dev/vda /mnt",
        "mount -t devtmpfs dev /mnt/dev; mount -t tmpfs tmp /mnt/tmp",
        "truncate -s 64M /tmp/a.img; losetup /dev/loop0 /tmp/a.img",
        "ip link add name br0 type bridge; ip addr add 10.9.0.1/24 dev br0",
        "ip link set br0 up; chroot /mnt iperf3 -s -D >/dev/null",
        // The tools would run scripts for devices, which need what is not there.
        "mkdir -p /etc/xen; echo run_hotplug_scripts=0 >/etc/xen/xl.conf",
        "B=/local/domain/0/backend/vif/1/0",
    ] {
        shell.output(command)?;
    }
    for line in [
        "name='g'",
        "kernel='/boot/vmlinuz'",
        "ramdisk='/boot/guest-initrd'",
        "memory=192",
        "extra='console=hvc0'",
        "disk=['phy:/dev/loop0,xvda,w','phy:/dev/vda,xvdb,r']",
        "vif=['bridge=br0']",
    ] {
        shell.output(&format!("echo \"{line}\" >>/tmp/g"))?;
    }
    shell.output_within(
        "xl create /tmp/g >/tmp/log 2>&1 || cat /tmp/log",
        GUEST_LIMIT,
    )?;
    shell.output_within(
        "until [ -e /sys/class/net/vif1.0 ]; do sleep 1; done",
        GUEST_LIMIT,
    )?;
    shell.output("ip link set vif1.0 master br0 && ip link set vif1.0 up")?;
    shell.output("xenstore-write $B/hotplug-status connected")?;
    shell.send("xl console g\n\n")?;
    shell.must_ask(GUEST_PROMPT, GUEST_LIMIT)?;
    for command in [
        "stty columns 250; until [ -b /dev/xvda ] && [ -b /dev/xvdb ]; do sleep 1; done",
        "modprobe ext4 && mount -t ext4 -o ro /dev/xvdb /mnt",
        "mount -t devtmpfs dev /mnt/dev; mount -t tmpfs tmp /mnt/tmp",
        "mount -t proc proc /mnt/proc; ip addr add 10.9.0.2/24 dev eth0",
        "ip link set eth0 up; until ping -c1 10.9.0.1 >/tmp/p; do sleep 1; done",
        // In short lines: of long ones, the emulated serial line may lose some.
        "fio='chroot /mnt fio --name=f --filename=/dev/xvda --direct=1'",
        "fio=\"$fio --ioengine=psync --output-format=terse --terse-version=3\"",
        // KiB and Kbit a second as bytes: of reading or of writing, one of which is none.
        "disk() { $fio \"$@\" | awk -F';' '{ print ($7 + $48) * 1024 }'; }",
        "iperf3='chroot /mnt iperf3 -f k -c 10.9.0.1'",
        "network() { $iperf3 \"$@\" | awk '/receiver/ { print $7 * 125 }'; }",
    ] {
        in_guest(shell, command)?;
    }
    Ok(())
}
