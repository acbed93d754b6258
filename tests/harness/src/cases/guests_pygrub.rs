//! A guest that boots from its own disk, as the boot loader on it says.

use super::guests::{GUEST_LIMIT, GUEST_PROMPT, case, leave};
use super::guests_devices::{in_guest, no_device_is_left, prepare};
use super::manual::recipe;
use super::shell::Shell;
use crate::suite::Case;
use crate::verdict::Verdict;
use std::time::Duration;

/// A guest that has lived for less is not started again.
const LEAST_LIFE: Duration = Duration::from_secs(61);
const REBOOT_LIMIT: Duration = Duration::from_secs(200);

/// All cases.
pub fn cases() -> Vec<Case> {
    vec![case("pygrub", 2, boots_its_own_kernel)]
}

/// A disk with a partition, a kernel on it and three entries, and configurations of domains, one of them the manual's, whose
/// disk is a volume.
fn make_disk(shell: &mut Shell, own: &[String]) -> Result<(), Verdict> {
    for command in [
        "cd /tmp && truncate -s 64M d.img && modprobe -a loop ext4",
        "printf 'n\\np\\n1\\n2048\\n\\nw\\n' | fdisk -u d.img >/dev/null 2>&1; true",
        "losetup -o 1048576 /dev/loop0 d.img && mkdir m",
        "mke2fs /dev/loop0 >/dev/null 2>&1; mount /dev/loop0 m",
        "mkdir -p m/boot/grub && cp /boot/vmlinuz m/boot",
        "cp /boot/guest-initrd m/boot && cp /boot/vmlinuz m",
        "cp /boot/guest-initrd m/initrd.img",
        "L='linux /boot/vmlinuz console=hvc0'",
        "i() { echo 'initrd /boot/guest-initrd'; echo '}'; }",
        "e() { echo \"menuentry $1 {\"; echo \"$L entry=$1\"; i; }",
        "{ echo 'set default=one'; e one; e two; e three; } >menu",
        "mv menu m/boot/grub/grub.cfg && umount m",
        "losetup -d /dev/loop0 && losetup /dev/loop7 d.img",
        "mkdir -p /dev/vg0 && ln -s /dev/loop7 /dev/vg0/etch",
        "c=\"name='demo';memory=160;extra='own=1'\"",
        "o() { echo \"$c;$1\" | tr ';' '\\n'; }",
        "b() { o \"bootloader='pygrub';disk=['file:/tmp/$1,xvda,w']\"; }",
        "b a.img >bad; b none.img >none",
        &format!("o \"{}\" >own", own.join(";")),
        "state >/tmp/before",
    ] {
        shell.output(command)?;
    }
    Ok(())
}

/// What the manual's `bootargs` choose, by the guest's command line.
fn chooses_by_arguments(shell: &mut Shell, arguments: &[String]) -> Result<(), Verdict> {
    let chosen = ["console=hvc0 entry=three", "console=hvc0 entry=one", ""];
    if arguments.len() != chosen.len() {
        return Err(Verdict::Fail(format!("three settings, not {arguments:?}")));
    }
    // Where GRUB's entry does not say it.
    shell.output("sed -i s/own=1/'own=1 console=hvc0'/ own")?;
    for (setting, line) in arguments.iter().zip(chosen) {
        shell.send(&format!("cat own - >/tmp/chosen <<'END'\n{setting}\nEND\n"))?;
        shell.output_within("xm create -q /tmp/chosen", GUEST_LIMIT)?;
        shell.send("xm console demo\n\n")?;
        shell.must_ask(GUEST_PROMPT, GUEST_LIMIT)?;
        in_guest(
            shell,
            &format!("[ \"$(xargs </proc/cmdline)\" = \"$(echo {line} own=1 console=hvc0)\" ]"),
        )?;
        leave(shell)?;
        shell.output("xm destroy demo")?;
    }
    Ok(())
}

fn boots_its_own_kernel(shell: &mut Shell) -> Result<(), Verdict> {
    prepare(shell)?;
    let [own, arguments] = recipe("### Kernels on guests' own disks")?;
    make_disk(shell, &own)?;
    for (file, told) in [
        (
            "bad",
            "Error: pygrub: file:/tmp/a.img: there is neither a table of partitions nor an ext4",
        ),
        (
            "none",
            "Error: Disk isn't accessible: /tmp/none.img: No such file",
        ),
    ] {
        let lines = shell.output(&format!("xm create -q /tmp/{file} 2>&1 || true"))?;
        if !lines.join(" ").starts_with(told) {
            return Err(Verdict::Fail(format!("{file}: {lines:?}, not '{told}'")));
        }
        no_device_is_left(shell)?;
    }

    chooses_by_arguments(shell, &arguments)?;

    shell.send("xm create -c /tmp/own\n")?;
    shell.must_say_within("^pygrub: up and down choose", GUEST_LIMIT)?;
    shell.send("j")?;
    shell.must_say("^ > two")?;
    shell.send("\r")?;
    shell.must_say_within(r"^Started domain demo \(id=\d+\)", GUEST_LIMIT)?;
    shell.must_ask(GUEST_PROMPT, GUEST_LIMIT)?;
    in_guest(shell, "grep 'entry=two own=1' /proc/cmdline")?;
    // What the guest writes is what its next boot reads.
    in_guest(
        shell,
        "modprobe -a xen-blkfront ext4; mount /dev/xvda1 /mnt",
    )?;
    in_guest(
        shell,
        "sed -i s/entry=one/entry=new/ /mnt/boot/grub/grub.cfg",
    )?;
    in_guest(shell, "umount /mnt")?;
    leave(shell)?;
    let wait = format!("sleep {}", LEAST_LIFE.as_secs());
    shell.output_within(&wait, LEAST_LIFE * 3)?;
    shell.output_within("xm reboot -w demo", REBOOT_LIMIT)?;
    shell.send("xm console demo\n\n")?;
    shell.must_ask(GUEST_PROMPT, GUEST_LIMIT)?;
    in_guest(shell, "grep 'entry=new own=1' /proc/cmdline")?;
    leave(shell)?;
    shell.output_within("xm shutdown -w demo", GUEST_LIMIT)?;
    no_device_is_left(shell)
}
