//! Disks of guests whose images a process serves: what they hold, who else may have them, and what goes wrong.
//!
//! `tests/make-test-disk` makes the disk with the programs.

use super::guests::{GUEST_LIMIT, GUEST_PROMPT, leave};
use super::guests_devices::{
    TRANSFER_LIMIT, create_of, filling, in_guest, must_be_same, no_device_is_left, prepare, sum_of,
};
use super::shell::{Boot, Shell};
use super::{Extent, dom0_load};
use crate::machine::{Board, Machine};
use crate::suite::Case;
use crate::verdict::Verdict;
use std::time::Duration;

/// What the guest writes.
const WRITTEN_MIB: u32 = 64;
/// What the image that others are based on has, in bytes.
const BASE: u64 = 1 << 20;
/// Layouts as a configuration names them and as the server does, beside the one that images are based on others in.
const LAYOUTS: [(&str, &str); 6] = [
    ("sync", "raw"),
    ("qcow", "qcow"),
    ("vmdk", "vmdk"),
    ("vhd", "vpc"),
    ("vhdx", "vhdx"),
    ("vdi", "vdi"),
];
/// A guest that has lived for less is not started again.
const LEAST_LIFE: Duration = Duration::from_secs(61);
const REBOOT_LIMIT: Duration = Duration::from_secs(200);

/// All cases.
pub fn cases(extent: Extent) -> Vec<Case> {
    match extent {
        Extent::WholeProduct => vec![
            case("images", images),
            case("image-refusals", refusals),
            case("killed-while-serving", killed_while_serving),
        ],
        Extent::AllPairs => Vec::new(),
    }
}

fn case(
    name: &str,
    judge: impl Fn(&mut Shell) -> Result<(), Verdict> + Send + Sync + 'static,
) -> Case {
    Case::new(format!("guests/{name}"), move |context| {
        let judged = dom0_load::test_disk().and_then(|extra| {
            let machine = Machine {
                board: Board::Q35,
                processors: 2,
                extra,
                ..Machine::default()
            };
            let mut shell = Boot::of(&machine).shell(context)?;
            prepare(&mut shell)?;
            install(&mut shell)?;
            judge(&mut shell)?;
            shell.must_be_healthy()?;
            shell.send("poweroff\n")?;
            shell.must_end()?;
            Ok(Verdict::Pass("images were served".into()))
        });
        judged.unwrap_or_else(|verdict| verdict)
    })
}

/// Puts the programs where an administrator has them, and what they leave into what is compared.
pub(super) fn install(shell: &mut Shell) -> Result<(), Verdict> {
    for command in [
        "modprobe -a virtio_pci virtio_blk ext4",
        "mount -o ro /dev/vda /mnt && mkdir -p /lib64 /usr/lib",
        "ln -s /mnt/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 /lib64",
        "ln -s /mnt/usr/lib/x86_64-linux-gnu /usr/lib",
        "ln -s /mnt/usr/bin/qemu-img /mnt/usr/bin/qemu-nbd /bin",
        "devices() { losetup -a; ls /sys/class/net /sys/bus/xen-backend/devices; }",
        // There may be neither such processes nor devices in use.
        "served() { pidof qemu-nbd; cat /sys/block/nbd*/pid; ls /run/xen-images; }",
        "state() { devices; served 2>/dev/null; }",
        "modprobe nbd max_part=0 && mkdir -p /run/xen-images",
        "cd /tmp; state >before; true",
    ] {
        shell.output(command)?;
    }
    shell.output("qemu-nbd --version >/dev/null").map(drop)
}

fn sum_in_guest(shell: &mut Shell, command: &str) -> Result<String, Verdict> {
    sum_of(&in_guest(shell, command)?)
}

fn to_guest(shell: &mut Shell) -> Result<(), Verdict> {
    shell.send("xm console demo\n\n")?;
    shell.must_ask(GUEST_PROMPT, GUEST_LIMIT)
}

/// `xm create` of a configuration with these disks says this.
fn must_refuse(shell: &mut Shell, disks: &str, told: &str) -> Result<(), Verdict> {
    shell.output(&format!("with other \"name='other';disk=[{disks}]\""))?;
    let lines = shell.output("xm create -q /tmp/other 2>&1 || true")?;
    let text = lines.join(" ");
    if text.starts_with(told) {
        return Ok(());
    }
    Err(Verdict::Fail(format!(
        "{disks}: {lines:?} instead of '{told}'"
    )))
}

/// An image is based on another, which stays as it is; disks in a drive are changed; a server that dies is told of.
fn images(shell: &mut Shell) -> Result<(), Verdict> {
    let mib = WRITTEN_MIB;
    for command in [
        &format!(
            "head -c {BASE} /dev/urandom >base.img && truncate -s {}M base.img",
            mib + 4
        ),
        "qemu-img create -q -f qcow2 -b base.img -F raw over.qcow2",
        "head -c 262144 /dev/urandom >one.iso && head -c 524288 /dev/urandom >two.iso",
        "D=\"'tap:qcow2:/tmp/over.qcow2,xvda,w','tap:aio:/tmp/b.img,0xca10,w'\"",
        "with both \"disk=[$D,',xvdc:cdrom,r']\"",
        "backend() { echo backend/vbd/$(xm domid demo)/$1; }",
    ] {
        shell.output(command)?;
    }
    let base = sum_of(&shell.output("md5sum base.img")?)?;
    let begin = sum_of(&shell.output(&format!("head -c {BASE} base.img | md5sum"))?)?;
    create_of(shell, "both")?;
    let read = sum_in_guest(shell, &format!("head -c {BASE} /dev/xvda | md5sum"))?;
    must_be_same("what the guest reads of the base", &begin, &read)?;
    // The number is a name, too.
    in_guest(shell, "[ -b /dev/xvdb ] && ! [ -e /dev/xvdc ]")?;
    let written = sum_in_guest(shell, &filling("/dev/xvda", mib))?;
    leave(shell)?;

    must_refuse(
        shell,
        "'tap:qcow2:/tmp/over.qcow2,xvda,r'",
        "Error: Device 51712 (vbd) could not be connected. File /tmp/over.qcow2 is mounted read-write in a guest domain,",
    )?;
    must_refuse(
        shell,
        "'file:/tmp/base.img,xvda,w'",
        "Error: Device 51712 (vbd) could not be connected. File /tmp/base.img is mounted in a guest domain,",
    )?;
    drive(shell)?;
    remote(shell)?;
    layouts(shell)?;
    reboot(shell, mib, &written)?;
    // The kernel speaks of it, which is not to be in the midst of the line that is waited for.
    shell.output("kill -9 $(xenstore-read $(backend 51728)/server); sleep 2")?;
    let told = "xm log | grep -q 'process that served its image'";
    shell.output(&format!("until {told}; do sleep 1; done"))?;
    to_guest(shell)?;
    in_guest(shell, "! cat /dev/xvdb >/dev/null 2>&1")?;
    leave(shell)?;
    shell.output_within("xm shutdown -w demo", GUEST_LIMIT)?;
    // Who waits for its end waits for the server of its disk, too.
    no_device_is_left(shell)?;
    let now = sum_of(&shell.output("md5sum base.img")?)?;
    must_be_same("the base", &base, &now)?;
    shell.output("rm b.img && qemu-img convert -O raw over.qcow2 b.img")?;
    let image = sum_of(&shell.output(&format!("head -c {mib}m b.img | md5sum"))?)?;
    must_be_same("what is in the image", &written, &image)
}

/// The disk in a drive is changed and taken out.
fn drive(shell: &mut Shell) -> Result<(), Verdict> {
    for name in ["one", "two"] {
        shell.output(&format!(
            "xm block-configure demo file:/tmp/{name}.iso xvdc:cdrom r"
        ))?;
        let there = sum_of(&shell.output(&format!("md5sum {name}.iso"))?)?;
        to_guest(shell)?;
        in_guest(shell, "until [ -b /dev/xvdc ]; do sleep 1; done")?;
        let read = sum_in_guest(shell, "md5sum /dev/xvdc")?;
        must_be_same("what is in the drive", &there, &read)?;
        in_guest(shell, "[ $(cat /sys/block/xvdc/ro) = 1 ]")?;
        leave(shell)?;
    }
    shell.output("xm block-configure demo '' xvdc:cdrom r")?;
    shell.must_print("losetup -a | grep -c iso; true", "0")?;
    shell.must_print("xm block-list demo | wc -l", "4")?;
    let refused = shell.output("xm block-configure demo file:/tmp/one.iso xvda w 2>&1; true")?;
    let told = "Error: Refusing to reconfigure device vbd:51712 to file:/tmp/one.iso,xvda,w";
    if refused.first().is_none_or(|line| !line.starts_with(told)) {
        return Err(Verdict::Fail(format!("no drive: {refused:?}")));
    }
    Ok(())
}

/// What the guest writes is in images of all layouts.
fn layouts(shell: &mut Shell) -> Result<(), Verdict> {
    for (layout, format) in LAYOUTS {
        shell.output(&format!("qemu-img create -q -f {format} x.{layout} 8M"))?;
        shell.output(&format!(
            "xm block-attach demo tap:{layout}:/tmp/x.{layout} xvdr w"
        ))?;
        to_guest(shell)?;
        in_guest(shell, "until [ -b /dev/xvdr ]; do sleep 1; done")?;
        let written = sum_in_guest(shell, &filling("/dev/xvdr", 1))?;
        leave(shell)?;
        shell.output("xm block-detach demo xvdr")?;
        shell.output(&format!(
            "qemu-img convert -f {format} -O raw x.{layout} x && rm x.*"
        ))?;
        let image = sum_of(&shell.output("head -c 1m x | md5sum")?)?;
        must_be_same(&format!("what is in a {layout} image"), &written, &image)?;
    }
    Ok(())
}

/// A disk of another machine, which is this one here.
fn remote(shell: &mut Shell) -> Result<(), Verdict> {
    shell.output("qemu-nbd -f raw -r -p 10809 --fork --pid-file=pid two.iso >/dev/null 2>&1")?;
    let there = sum_of(&shell.output("md5sum two.iso")?)?;
    shell.output("xm block-attach demo 'nbd:127.0.0.1 10809' xvdq r")?;
    to_guest(shell)?;
    in_guest(shell, "until [ -b /dev/xvdq ]; do sleep 1; done")?;
    let read = sum_in_guest(shell, "md5sum /dev/xvdq")?;
    must_be_same("what another machine has", &there, &read)?;
    leave(shell)?;
    shell.output("xm block-detach demo xvdq")?;
    // It serves one client.
    shell.output("while kill -0 $(cat pid) 2>/dev/null; do sleep 1; done")?;
    Ok(())
}

/// What the guest has written is there after its reboot.
fn reboot(shell: &mut Shell, mib: u32, written: &str) -> Result<(), Verdict> {
    let wait = format!("sleep {}", LEAST_LIFE.as_secs());
    shell.output_within(&wait, LEAST_LIFE * 3)?;
    shell.output_within("xm reboot -w demo", REBOOT_LIMIT)?;
    to_guest(shell)?;
    in_guest(shell, "stty columns 250")?;
    let read = sum_in_guest(shell, &format!("head -c {mib}m /dev/xvda | md5sum"))?;
    must_be_same("after the reboot", written, &read)?;
    leave(shell)
}

/// An image that is missing or damaged, a server that hangs or is not there: a sentence, and nothing is left.
fn refusals(shell: &mut Shell) -> Result<(), Verdict> {
    for command in [
        "C=/etc/xen/xend-config.sxp",
        "echo '(device-create-timeout 30)' >>$C && xend reload",
        "qemu-img create -q -f qcow2 good.qcow2 4M",
        "qemu-img create -q -f qcow2 -u -b /tmp/none.img -F raw -o size=4M alone.qcow2",
    ] {
        shell.output(command)?;
    }
    let disk = "Error: Device 51712 (vbd) could not be connected.";
    for (prepared, image, told) in [
        ("true", "none.qcow2", "/tmp/none.qcow2 does not exist."),
        (
            "true",
            "a.img",
            "/tmp/a.img can't be served: qemu-nbd: Failed to blk_new_open '/tmp/a.img': Image is not in qcow2 format",
        ),
        (
            "true",
            "alone.qcow2",
            "/tmp/alone.qcow2 can't be served: qemu-nbd: Failed to blk_new_open",
        ),
        (
            "rm /bin/qemu-nbd; printf '#!/bin/sh\\nsleep 1000\\n' >/bin/qemu-nbd; chmod +x /bin/qemu-nbd",
            "good.qcow2",
            "/etc/xen/scripts/blktap has not ended within ",
        ),
        (
            "rm /bin/qemu-nbd",
            "good.qcow2",
            "/tmp/good.qcow2 can't be served: there is no qemu-nbd here",
        ),
    ] {
        shell.output(prepared)?;
        must_refuse(
            shell,
            &format!("'tap:qcow2:/tmp/{image},xvda,w'"),
            &format!("{disk} {told}"),
        )?;
        no_device_is_left(shell)?;
    }
    shell.must_print("ps | grep -c '[s]leep 1000'; true", "0")
}

/// A daemon that is killed while an image is about to be served is cleaned up behind by the next one.
fn killed_while_serving(shell: &mut Shell) -> Result<(), Verdict> {
    shell.output("qemu-img create -q -f qcow2 good.qcow2 4M")?;
    shell.output("with slow \"disk=['tap:qcow2:/tmp/good.qcow2,xvda,w']\"")?;
    // It serves, and does not say so.
    shell.output("printf '#!/bin/sh\\n/mnt/usr/bin/qemu-nbd \"$@\"\\nsleep 1000\\n' >slow-nbd")?;
    shell.output("rm /bin/qemu-nbd && cp slow-nbd /bin/qemu-nbd && chmod +x /bin/qemu-nbd")?;
    shell.output("(xm create -q /tmp/slow 2>/dev/null &)")?;
    let runs = "until ps | grep -q '[s]leep 1000'; do sleep 1; done";
    shell.output_within(runs, TRANSFER_LIMIT)?;
    shell.must_print("ls /sys/block/nbd*/pid | wc -l", "1")?;
    shell.output("kill -9 $(cat /run/xend.pid)")?;
    shell.output_within("xend start", GUEST_LIMIT)?;
    shell.must_print("ps | grep -c '[s]leep 1000'; true", "0")?;
    no_device_is_left(shell)
}
