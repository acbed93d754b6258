//! Disks and networks of guests: stock drivers at both ends, and what goes wrong with them.

use super::guests::{GUEST_LIMIT, GUEST_PROMPT, case, create, leave, nothing_is_left};
use super::shell::Shell;
use super::traffic::{self, Moved};
use super::{Extent, pattern};
use crate::suite::Case;
use crate::verdict::Verdict;
use std::time::Duration;

/// What the guest writes, in bytes.
const WRITTEN: u64 = 8 << 20;
/// What it sends with a bound of 1 MB a second.
const BOUNDED: u64 = 4_000_000;
/// How long scripts and guests have, where they take too long.
const PATIENCE_S: u32 = 5;
/// From a command's end to the next prompt, unless something is said in between.
const PROMPT_LIMIT: Duration = Duration::from_secs(10);
/// Of a whole transfer, two kernels on one emulated processor.
pub(super) const TRANSFER_LIMIT: Duration = Duration::from_secs(240);

/// All cases.
pub fn cases(extent: Extent) -> Vec<Case> {
    let mut cases = vec![
        case("disk-and-network", 2, disk_and_network),
        case("device-refusals", 2, refusals),
    ];
    if extent == Extent::WholeProduct {
        cases.extend([
            case("devices-attached", 2, attached),
            case("killed-while-plugging", 1, killed_while_plugging),
            case("devices-under-load", 2, under_load),
        ]);
    }
    cases
}

/// Runs a command in the guest, on whose console one is, and returns what it prints.
pub(super) fn in_guest(shell: &mut Shell, command: &str) -> Result<Vec<String>, Verdict> {
    let before = shell.run.lines().len();
    shell.send(&format!("{command}; echo guest-$?\n"))?;
    shell.must_say_within(r"^guest-\d+$", TRANSFER_LIMIT)?;
    // What the first domain's kernel says may stand behind the prompt.
    if shell.must_ask(GUEST_PROMPT, PROMPT_LIMIT).is_err() {
        shell.send("\n")?;
        shell.must_ask(GUEST_PROMPT, GUEST_LIMIT)?;
    }
    let kernel = pattern(r"^\[ *\d+\.\d+\] ")?;
    let lines = shell.run.lines().iter().skip(before);
    let lines = lines.map(|line| line.text.trim_end().to_string());
    let mut lines: Vec<_> = lines
        .filter(|line| !line.contains("guest#") && !kernel.is_match(line))
        .collect();
    match lines.iter().position(|line| line.starts_with("guest-")) {
        Some(end) if lines[end] == "guest-0" => {
            lines.truncate(end);
            Ok(lines)
        }
        _ => Err(Verdict::Fail(format!(
            "in the guest '{command}' ends with {lines:?}"
        ))),
    }
}

/// What fills so much of a disk with anything and prints its checksum. It writes by the tens of KiB: of what is less than a
/// page, all of the page is read first, which on an emulated machine takes minutes.
pub(super) fn filling(disk: &str, mib: u32) -> String {
    format!(
        "mkfifo /tmp/p; md5sum </tmp/p >/tmp/s & head -c {mib}m /dev/urandom | tee /tmp/p | \
         dd of={disk} bs=64k iflag=fullblock conv=fsync 2>/dev/null && wait && cat /tmp/s"
    )
}

/// The one checksum that a command prints.
pub(super) fn sum_of(lines: &[String]) -> Result<String, Verdict> {
    let sum = pattern(r"^[0-9a-f]{32}")?;
    let sums: Vec<_> = lines.iter().filter_map(|line| sum.find(line)).collect();
    match sums.as_slice() {
        [sum] => Ok(sum.as_str().to_string()),
        _ => Err(Verdict::Fail(format!(
            "a checksum was to be printed, not {lines:?}"
        ))),
    }
}

pub(super) fn must_be_same(what: &str, one: &str, other: &str) -> Result<(), Verdict> {
    if one == other {
        return Ok(());
    }
    Err(Verdict::Fail(format!("{what}: {one} here, {other} there")))
}

/// A second bridge on which the first domain has an address, and images.
pub(super) fn prepare(shell: &mut Shell) -> Result<(), Verdict> {
    for command in [
        // What is typed must not be longer than a line, and what is longer is shown as several.
        "stty columns 250",
        "/etc/xen/scripts/network-bridge start netdev=none bridge=xenbr1",
        "ip addr add 10.9.1.1/24 dev xenbr1",
        "truncate -s 64M /tmp/a.img && truncate -s 64M /tmp/b.img",
        "with() { { cat /etc/xen/demo; echo \"$2\" | tr ';' '\\n'; } >/tmp/$1; }",
        // What there was before, to be compared.
        "state() { losetup -a; ls /sys/class/net /sys/bus/xen-backend/devices; }",
        "state >/tmp/before",
        "slow=mac=00:16:3e:00:00:13,bridge=xenbr1,rate=1MB/s,vifname=slow",
        "with both \"disk=['file:/tmp/a.img,xvda,w'];vif=['bridge=xenbr0','$slow']\"",
    ] {
        shell.output(command)?;
    }
    Ok(())
}

/// Neither guests nor what was made for their devices.
pub(super) fn no_device_is_left(shell: &mut Shell) -> Result<(), Verdict> {
    nothing_is_left(shell)?;
    let differs = "state >/tmp/after; cmp -s /tmp/before /tmp/after || cat /tmp/after";
    let left = shell.output(&format!("{differs}; true"))?;
    let backends = "for k in vbd vif; do xenstore-list backend/$k 2>/dev/null; done; true";
    let nodes = shell.output(backends)?;
    if left.is_empty() && nodes.is_empty() {
        return Ok(());
    }
    Err(Verdict::Fail(format!(
        "left behind: {left:?}, backends {nodes:?}"
    )))
}

/// Creates a guest of a file in `/tmp`, and waits for its shell.
pub(super) fn create_of(shell: &mut Shell, file: &str) -> Result<(), Verdict> {
    shell.send(&format!("xm create -c /tmp/{file}\n"))?;
    shell.must_say_within(r"^Started domain demo \(id=\d+\)", GUEST_LIMIT)?;
    shell.must_ask(GUEST_PROMPT, GUEST_LIMIT)?;
    in_guest(shell, "stty columns 250").map(drop)
}

/// What the guest writes to its disk is in the image, and what it sends over the bridge arrives, both ways.
fn disk_and_network(shell: &mut Shell) -> Result<(), Verdict> {
    prepare(shell)?;
    shell.output(&format!("head -c {WRITTEN} /dev/urandom >/tmp/sent"))?;
    shell.output("httpd -h /tmp")?;
    let sent = sum_of(&shell.output("md5sum /tmp/sent")?)?;
    create_of(shell, "both")?;
    in_guest(shell, "ip addr add 10.9.0.2/24 dev eth0")?;
    in_guest(shell, "ip link set eth0 up")?;
    let sectors = in_guest(shell, "cat /sys/block/xvda/size")?;
    must_be_same("sectors of the disk", "131072", &sectors.concat())?;
    in_guest(shell, &format!("head -c {WRITTEN} /dev/urandom >/tmp/r"))?;
    let written = sum_of(&in_guest(shell, "md5sum /tmp/r")?)?;
    in_guest(
        shell,
        "dd if=/tmp/r of=/dev/xvda bs=64k conv=fsync 2>/dev/null",
    )?;
    in_guest(shell, "echo 3 >/proc/sys/vm/drop_caches")?;
    let blocks = WRITTEN >> 16;
    let read_back = format!("dd if=/dev/xvda bs=64k count={blocks} 2>/dev/null | md5sum");
    let read = sum_of(&in_guest(shell, &read_back)?)?;
    must_be_same("what is read from the disk", &written, &read)?;
    in_guest(shell, "ping -c 3 10.9.0.1 >/tmp/ping")?;
    let received = in_guest(shell, "wget -q -O - http://10.9.0.1/sent | md5sum")?;
    must_be_same("what the guest received", &sent, &sum_of(&received)?)?;
    in_guest(shell, "httpd -h /tmp")?;
    leave(shell)?;
    let fetch = "wget -q -O - http://10.9.0.2/r | md5sum";
    let got = sum_of(&shell.output_within(fetch, TRANSFER_LIMIT)?)?;
    must_be_same("what the first domain received", &written, &got)?;
    bounded(shell)?;
    let moved = Moved {
        to_guest: WRITTEN,
        from_guest: WRITTEN + BOUNDED,
        read: WRITTEN,
        written: WRITTEN,
    };
    traffic::is_told(shell, "demo", moved)?;

    shell.must_print(
        "xm block-list demo | awk 'NR > 1 { print $1, $2, $4 }'",
        "51712 0 4",
    )?;
    shell.must_print(
        "xm network-list demo | awk 'NR > 1 { print $1, $2, $5 }' | xargs",
        "0 0 4 1 0 4",
    )?;
    shell.must_print("xm network-list --long demo | grep -c '(state 4)'", "2")?;
    shell.must_print("losetup -a | grep -c /tmp/a.img", "1")?;
    // Nobody else may have it.
    shell.output("with other \"name='other';disk=['file:/tmp/a.img,xvda,w']\"")?;
    let refused = shell.output("xm create -q /tmp/other 2>&1 || true")?;
    let told = [
        "Error: Device 51712 (vbd) could not be connected.",
        "File /tmp/a.img is mounted in a guest domain,",
        "and so cannot be mounted now.",
    ];
    if refused.iter().map(|line| line.trim_end()).ne(told) {
        return Err(Verdict::Fail(format!("a disk in use: {refused:?}")));
    }
    shell.must_print("losetup -a | grep -c /tmp/a.img", "1")?;
    shell.output_within("xm shutdown -w demo", GUEST_LIMIT)?;
    let image = shell.output(&format!("head -c {WRITTEN} /tmp/a.img | md5sum"))?;
    must_be_same("what is in the image", &written, &sum_of(&image)?)?;
    no_device_is_left(shell)
}

/// By its second interface the guest sends no more than it may.
fn bounded(shell: &mut Shell) -> Result<(), Verdict> {
    shell.send("xm console demo\n\n")?;
    shell.must_ask(GUEST_PROMPT, GUEST_LIMIT)?;
    in_guest(shell, "grep 13$ /sys/class/net/eth1/address >/tmp/mac")?;
    in_guest(
        shell,
        "ip addr add 10.9.1.2/24 dev eth1; ip link set eth1 up",
    )?;
    in_guest(shell, &format!("head -c {BOUNDED} /dev/zero >/tmp/s"))?;
    leave(shell)?;
    shell.output("now() { cut -d. -f1 /proc/uptime; }; began=$(now)")?;
    shell.output_within("wget -q -O /tmp/s http://10.9.1.2/s", TRANSFER_LIMIT)?;
    let lines = shell.output("echo $(($(now) - began)) $(wc -c </tmp/s)")?;
    let numbers: Vec<u64> = lines
        .concat()
        .split_whitespace()
        .filter_map(|number| number.parse().ok())
        .collect();
    // It counts whole seconds; at first what may be sent at once is sent at once.
    match numbers.as_slice() {
        &[seconds, BOUNDED] if seconds >= 3 => Ok(()),
        _ => Err(Verdict::Fail(format!(
            "at 1 MB/s: {lines:?}, of {BOUNDED} bytes, after seconds"
        ))),
    }
}

/// Disks and interfaces come and go while the guest runs.
fn attached(shell: &mut Shell) -> Result<(), Verdict> {
    prepare(shell)?;
    create(shell, "")?;
    in_guest(shell, "stty columns 250")?;
    leave(shell)?;
    // Its console is a device, too.
    shell.output("state >/tmp/running")?;
    for round in 0..2 {
        shell.output("xm block-attach demo file:/tmp/a.img xvdb w")?;
        shell.output("xm block-attach demo file:/tmp/b.img /dev/xvdc r")?;
        shell.output("xm network-attach demo bridge=xenbr0 mac=00:16:3e:00:00:12")?;
        shell.send("xm console demo\n\n")?;
        shell.must_ask(GUEST_PROMPT, GUEST_LIMIT)?;
        let there = "[ -b /dev/xvdb ] && [ -b /dev/xvdc ] && [ -e /sys/class/net/eth0 ]";
        in_guest(shell, &format!("until {there}; do sleep 1; done"))?;
        in_guest(
            shell,
            "cat /sys/class/net/eth0/address >/tmp/mac; grep 12$ /tmp/mac",
        )?;
        let write = "head -c 4194304 /dev/urandom | tee /tmp/r | dd of=/dev/xvdb";
        in_guest(shell, &format!("{write} bs=64k conv=fsync 2>/dev/null"))?;
        let written = sum_of(&in_guest(shell, "md5sum /tmp/r")?)?;
        // It is read-only.
        in_guest(shell, "[ $(cat /sys/block/xvdc/ro) = 1 ]")?;
        in_guest(
            shell,
            "ip addr add 10.9.0.2/24 dev eth0; ip link set eth0 up",
        )?;
        in_guest(shell, "ping -c 2 10.9.0.1 >/tmp/ping")?;
        leave(shell)?;
        shell.must_print("xm block-list demo | wc -l", "3")?;
        let again = shell.output("xm block-attach demo file:/tmp/b.img xvdb w 2>&1 || true")?;
        let told = "Error: Device xvdb (51728, vbd) is already connected.";
        if again.first().is_none_or(|line| line != told) {
            return Err(Verdict::Fail(format!(
                "attached twice in round {round}: {again:?}"
            )));
        }
        shell.output("xm block-detach demo xvdb")?;
        let image = shell.output("head -c 4194304 /tmp/a.img | md5sum")?;
        must_be_same("what is in the image", &written, &sum_of(&image)?)?;
        shell.output("xm block-detach demo 51744")?;
        shell.output("xm network-detach demo 00:16:3e:00:00:12")?;
        let listed = shell.output("xm block-list demo; xm network-list demo")?;
        let left = shell.output("state >/tmp/after; cmp /tmp/running /tmp/after; true")?;
        if !listed.is_empty() || !left.is_empty() {
            return Err(Verdict::Fail(format!(
                "after detaching: {listed:?} {left:?}"
            )));
        }
    }
    shell.output("xm block-attach demo file:/tmp/a.img xvdb w")?;
    shell.output("xm destroy demo")?;
    no_device_is_left(shell)
}

/// What can go wrong is told in a sentence, and leaves nothing behind.
fn refusals(shell: &mut Shell) -> Result<(), Verdict> {
    prepare(shell)?;
    for command in [
        "S=/etc/xen/scripts; C=/etc/xen/xend-config.sxp",
        &format!(
            "echo '(device-create-timeout {PATIENCE_S})(device-destroy-timeout {PATIENCE_S})' >>$C && xend reload"
        ),
        "E=\"extra='console=hvc0 rdinit=/bin/sh'\"",
        "printf '#!/bin/sh\\necho no luck >&2\\nexit 3\\n' >$S/fails",
        "printf '#!/bin/sh\\nsleep 1000 & wait\\n' >$S/hangs",
        "printf '#!/bin/sh\\n[ $1 = offline ] || '\
         'xenstore-write $XENBUS_PATH/hotplug-status connected\\n' >$S/mine",
        "chmod +x $S/fails $S/hangs $S/mine",
        "modprobe loop && modprobe ext4 && losetup -f /tmp/b.img",
        "mke2fs /dev/loop0 >/dev/null && mkdir /tmp/m",
        "mount /dev/loop0 /tmp/m && state >/tmp/before",
    ] {
        shell.output(command)?;
    }
    let disk = "Error: Device 51712 (vbd) could not be connected.";
    let vif = "Error: Device 0 (vif) could not be connected.";
    for (devices, told) in [
        (
            "disk=['file:/tmp/none.img,xvda,w']",
            format!("{disk} /tmp/none.img does not exist."),
        ),
        (
            "disk=['phy:/tmp/a.img,xvda,w']",
            format!("{disk} /tmp/a.img is not a block device."),
        ),
        (
            "disk=['phy:loop0,xvda,w']",
            format!("{disk} Device /dev/loop0 is mounted in the privileged domain,"),
        ),
        (
            "disk=['file:/tmp/b.img,xvda,r']",
            format!("{disk} File /tmp/b.img is mounted read-write in the privileged domain,"),
        ),
        (
            "disk=['tap:qcow2:/tmp/none,xvda,w']",
            format!("{disk} /tmp/none does not exist."),
        ),
        (
            "disk=['file:/tmp/a.img,xvda,w'];vif=['bridge=none']",
            format!("{vif} Could not find bridge device none"),
        ),
        (
            "vif=['script=fails']",
            format!("{vif} /etc/xen/scripts/fails has failed (exit status: 3): no luck."),
        ),
        (
            "disk=['file:/tmp/a.img,xvda,w'];vif=['script=hangs']",
            format!("{vif} /etc/xen/scripts/hangs has not ended within "),
        ),
    ] {
        shell.output(&format!("with bad \"{devices}\""))?;
        let lines = shell.output("xm create -q /tmp/bad 2>&1 || true")?;
        // Where there is a second line it is told from there on.
        let text = lines
            .iter()
            .map(|line| line.trim())
            .collect::<Vec<_>>()
            .join(" ");
        if !text.starts_with(&told) {
            return Err(Verdict::Fail(format!(
                "{devices}: {lines:?} instead of '{told}'"
            )));
        }
        no_device_is_left(shell)?;
    }
    shell.must_print("ps | grep -c '[s]leep 1000'; true", "0")?;
    // A script that says no more than that it is done is enough.
    shell.output("with good \"vif=['script=mine']\"")?;
    shell.output_within("xm create -q /tmp/good && xm destroy demo", GUEST_LIMIT)?;
    // Who answers for it himself may write to what is mounted here.
    shell.output("with shared \"disk=['phy:loop0,xvda,w!']\"")?;
    shell.output_within("xm create -q /tmp/shared && xm destroy demo", GUEST_LIMIT)?;
    no_device_is_left(shell)?;
    shell.output("umount /tmp/m && losetup -d /dev/loop0; state >/tmp/before")?;
    no_device_is_left(shell)?;
    keeps_its_devices(shell)
}

/// A guest that lives, has no drivers for its devices, and so does not give them back when it is asked to.
fn keeps_its_devices(shell: &mut Shell) -> Result<(), Verdict> {
    shell.output("with deaf \"disk=['file:/tmp/a.img,xvda,w'];vif=['bridge=xenbr0'];$E\"")?;
    shell.send("xm create -c /tmp/deaf\n")?;
    shell.must_say_within(r"^Started domain demo \(id=\d+\)", GUEST_LIMIT)?;
    shell.must_ask("/ # $", GUEST_LIMIT)?;
    shell.send("PS1='guest# '\n")?;
    shell.must_ask(GUEST_PROMPT, GUEST_LIMIT)?;
    leave(shell)?;
    for (class, number, device) in [("block", 51712, "vbd"), ("network", 0, "vif")] {
        let detach = format!("xm {class}-detach demo {number}");
        let list = format!("xm {class}-list demo | awk 'NR > 1 {{ print $1 }}'");
        shell.must_print(
            &format!("{detach} 2>&1 | head -n1"),
            &format!(
                "Error: Device {number} ({device}) could not be disconnected. \
                 The guest has not closed it within {PATIENCE_S} seconds; --force does not ask it."
            ),
        )?;
        shell.must_print(&list, &number.to_string())?;
        shell.output(&format!("{detach} --force"))?;
        let left = shell.output(&list)?;
        if !left.is_empty() {
            return Err(Verdict::Fail(format!("taken away by force: {left:?}")));
        }
    }
    shell.must_print("losetup -a | grep -c /tmp/a.img; true", "0")?;
    shell.send("xm console demo\n\n")?;
    shell.must_ask(GUEST_PROMPT, GUEST_LIMIT)?;
    in_guest(shell, "[ -x /bin/busybox ]")?;
    leave(shell)?;
    shell.output("xm destroy demo")?;
    no_device_is_left(shell)
}

/// A daemon that is killed while a script runs is cleaned up behind by the next one.
fn killed_while_plugging(shell: &mut Shell) -> Result<(), Verdict> {
    prepare(shell)?;
    shell.output("S=/etc/xen/scripts")?;
    shell.output("printf '#!/bin/sh\\n[ $1 = offline ] || sleep 1000\\n' >$S/hangs")?;
    shell.output("chmod +x $S/hangs")?;
    shell.output("with slow \"disk=['file:/tmp/a.img,xvda,w'];vif=['script=hangs']\"")?;
    shell.output("(xm create -q /tmp/slow 2>/dev/null &)")?;
    let runs = "until ps | grep -q '[s]leep 1000'; do sleep 1; done";
    shell.output_within(runs, GUEST_LIMIT)?;
    shell.must_print("losetup -a | grep -c /tmp/a.img", "1")?;
    shell.output("kill -9 $(cat /run/xend.pid)")?;
    shell.output_within("xend start", GUEST_LIMIT)?;
    shell.must_print("ps | grep -c '[s]leep 1000'; true", "0")?;
    no_device_is_left(shell)
}

/// A guest that writes to its disk and floods its network gets and loses devices, then that network, then all and its life,
/// with and without being asked.
fn under_load(shell: &mut Shell) -> Result<(), Verdict> {
    prepare(shell)?;
    shell.output("modprobe loop && losetup -f /tmp/b.img && state >/tmp/before")?;
    shell.output("free() { xm info | grep free_memory; }")?;
    shell.output("with busy \"disk=['phy:loop0,xvda,w'];vif=['']\"")?;
    // What the first guest leaves for good, such as an unpacked kernel, is there afterwards.
    for (round, end) in ["destroy", "shutdown -w"].iter().enumerate() {
        create_of(shell, "busy")?;
        in_guest(shell, "ip addr add 10.9.0.2/24 dev eth0")?;
        in_guest(
            shell,
            "ip link set eth0 up && ping -c 1 10.9.0.1 >/tmp/ping",
        )?;
        let write = "while :; do dd if=/dev/zero of=/dev/xvda bs=64k; done";
        in_guest(shell, &format!("({write} 2>/dev/null &)"))?;
        in_guest(shell, "(ping -A -s 1400 10.9.0.1 >/dev/null &)")?;
        leave(shell)?;
        shell.output("xm block-attach demo file:/tmp/a.img xvdb w")?;
        shell.send("xm console demo\n\n")?;
        shell.must_ask(GUEST_PROMPT, GUEST_LIMIT)?;
        in_guest(shell, "until [ -b /dev/xvdb ]; do sleep 1; done")?;
        in_guest(
            shell,
            "dd if=/dev/zero of=/dev/xvdb bs=64k count=64 conv=fsync",
        )?;
        leave(shell)?;
        // This one is not in use: a driver that loses a disk under its requests waits for them for ever.
        shell.output("xm block-detach demo xvdb")?;
        shell.must_print("losetup -a | grep -c /tmp/a.img; true", "0")?;
        shell.must_print("xm block-list demo | wc -l", "2")?;
        shell.output("xm network-detach demo 0")?;
        shell.output_within(&format!("xm {end} demo"), GUEST_LIMIT)?;
        no_device_is_left(shell)?;
        shell.output(&format!("free >/tmp/free{round}"))?;
    }
    shell.output("cmp /tmp/free0 /tmp/free1").map(drop)
}
