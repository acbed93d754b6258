//! The demonstration guest of `make run`: a Debian on a disk, with a network, to a login by its init system, and what an
//! administrator does with it.
//!
//! `boot/make-guest` makes its disk.

use super::guests::{GUEST_LIMIT, GUEST_PROMPT, leave, nothing_is_left};
use super::guests_devices::{create_of, in_guest, must_be_same, sum_of};
use super::shell::{Boot, Shell};
use crate::machine::Machine;
use crate::suite::{Case, Context};
use crate::verdict::Verdict;
use std::path::Path;
use std::time::Duration;

const DISK: &str = "build/guest/disk.img";
/// From its creation to its login.
const LOGIN_LIMIT: Duration = Duration::from_secs(900);
const LOGIN: &str = "debian login: $";
const ROOT_PROMPT: &str = r"root@debian:~# $";
/// A command that moves much.
const WORK_LIMIT: Duration = Duration::from_secs(600);
/// What it writes, and what it sends, in MiB.
const WRITTEN_MIB: u32 = 64;
const SENT_MIB: u32 = 8;
/// A guest that has lived for less is not started again.
const LEAST_LIFE_S: u32 = 61;

/// All cases.
pub fn cases() -> Vec<Case> {
    vec![Case::new("guests/debian", |context| {
        debian(context).unwrap_or_else(|verdict| verdict)
    })]
}

fn debian(context: &Context<'_>) -> Result<Verdict, Verdict> {
    if !Path::new(DISK).exists() {
        return Err(Verdict::Skipped(format!(
            "there is no {DISK}: boot/make-guest makes it"
        )));
    }
    let drive = format!("file={DISK},if=none,id=guest,format=raw,snapshot=on");
    let machine = Machine {
        processors: 2,
        extra: ["-drive", &drive, "-device", "virtio-blk-pci,drive=guest"]
            .map(String::from)
            .to_vec(),
        ..Machine::default()
    };
    let boot = Boot {
        words: " GUEST_DISK=vda",
        ..Boot::of(&machine)
    };
    let mut shell = boot.shell(context)?;
    for command in [
        "stty columns 250; truncate -s 16M /tmp/b.img; truncate -s 16M /tmp/c.img",
        "/etc/xen/scripts/network-bridge start netdev=none bridge=xenbr1",
        "ip addr add 10.9.1.1/24 dev xenbr1",
        "cp /etc/xen/debian /tmp/two",
        "echo \"disk += ['file:/tmp/b.img,xvdb,w']; vif += ['bridge=xenbr1']\" >>/tmp/two",
    ] {
        shell.output(command)?;
    }
    shell.send("xm create -c /tmp/two\n")?;
    shell.must_say_within(r"^Started domain debian \(id=\d+\)", GUEST_LIMIT)?;
    log_in(&mut shell)?;
    let write = format!("head -c {WRITTEN_MIB}M /dev/urandom >f; sync; md5sum f | tee s; sync");
    let written = sum_of(&in_debian(&mut shell, &write)?)?;
    in_debian(&mut shell, "uptime -s; ping -c 2 10.9.0.1 >/dev/null")?;
    // The second network, which the system does not bring up by itself.
    in_debian(
        &mut shell,
        "ip addr add 10.9.1.2/24 dev enX1; ip link set enX1 up",
    )?;
    in_debian(&mut shell, "ping -c 2 10.9.1.1 >/dev/null")?;
    let second = sum_of(&in_debian(&mut shell, &fill("xvdb"))?)?;
    leave(&mut shell)?;
    transfers(&mut shell)?;
    and_with_another(&mut shell)?;
    devices(&mut shell)?;
    shell.output_within(&format!("sleep {LEAST_LIFE_S}"), WORK_LIMIT)?;
    shell.output_within("xm reboot -w debian", WORK_LIMIT)?;
    shell.send("xm console debian\n")?;
    log_in(&mut shell)?;
    let read = sum_of(&in_debian(
        &mut shell,
        "md5sum f && md5sum -c s >/dev/null",
    )?)?;
    must_be_same("what was written before the reboot", &written, &read)?;
    let read = sum_of(&in_debian(&mut shell, "head -c 4M /dev/xvdb | md5sum")?)?;
    must_be_same("the second disk before the reboot", &second, &read)?;
    in_debian(&mut shell, "test -e /sys/class/net/enX1")?;
    leave(&mut shell)?;
    shell.output_within("xm shutdown -w debian", WORK_LIMIT)?;
    nothing_is_left(&mut shell)?;
    shell.must_be_healthy()?;
    shell.send("poweroff\n")?;
    shell.must_end()?;
    Ok(Verdict::Pass(
        "a Debian with two disks and two networks was logged in to, twice, and kept what it had written".into(),
    ))
}

fn log_in(shell: &mut Shell) -> Result<(), Verdict> {
    shell.must_ask(LOGIN, LOGIN_LIMIT)?;
    shell.send("root\n")?;
    shell.must_ask(ROOT_PROMPT, LOGIN_LIMIT)?;
    in_debian(shell, "stty columns 250").map(drop)
}

/// Goes to the console of the guest, in which root is logged in.
fn enter(shell: &mut Shell) -> Result<(), Verdict> {
    shell.send("xm console debian\n\n")?;
    shell.must_ask(ROOT_PROMPT, GUEST_LIMIT)
}

/// Runs a command in it, which must work. What it prints.
fn in_debian(shell: &mut Shell, command: &str) -> Result<Vec<String>, Verdict> {
    let before = shell.run.lines().len();
    shell.send(&format!("{command}; echo debian-$?\n"))?;
    shell.must_say_within("^debian-0$", WORK_LIMIT)?;
    shell.must_ask(ROOT_PROMPT, GUEST_LIMIT)?;
    let lines = shell.run.lines().iter().skip(before);
    Ok(lines
        .map(|line| line.text.trim_end().to_string())
        .filter(|line| !line.contains("debian-") && !line.contains("root@debian"))
        .collect())
}

/// What fills the first MiB of a disk, and prints their checksum.
fn fill(disk: &str) -> String {
    format!("head -c 4M /dev/urandom | tee /dev/{disk} | md5sum; sync")
}

/// What it gets from the first domain, and what the first domain gets from it, on both networks.
fn transfers(shell: &mut Shell) -> Result<(), Verdict> {
    shell.output("mkdir /tmp/w && httpd -h /tmp/w")?;
    shell.output(&format!("head -c {SENT_MIB}m /dev/urandom >/tmp/w/f"))?;
    let sent = sum_of(&shell.output("md5sum /tmp/w/f")?)?;
    for first in ["10.9.0.1", "10.9.1.1"] {
        enter(shell)?;
        let get = format!("wget -q -O g http://{first}/f && md5sum g");
        must_be_same(
            "what the guest got",
            &sent,
            &sum_of(&in_debian(shell, &get)?)?,
        )?;
        leave(shell)?;
        receives(shell, first, &sent)?;
    }
    Ok(())
}

/// Receives what the Debian sends.
fn receives(shell: &mut Shell, address: &str, sent: &str) -> Result<(), Verdict> {
    shell.output("({ nc -l -p 9000 | md5sum >/tmp/back; } &)")?;
    enter(shell)?;
    in_debian(shell, &format!("cat g >/dev/tcp/{address}/9000"))?;
    leave(shell)?;
    shell.output_within("until [ -s /tmp/back ]; do sleep 1; done", WORK_LIMIT)?;
    let back = sum_of(&shell.output("cat /tmp/back; rm /tmp/back")?)?;
    must_be_same("what came back", sent, &back)
}

/// The same with another guest, both ways.
fn and_with_another(shell: &mut Shell) -> Result<(), Verdict> {
    shell.output("cp /etc/xen/demo /tmp/other && echo \"vif=['bridge=xenbr0']\" >>/tmp/other")?;
    create_of(shell, "other")?;
    in_guest(
        shell,
        "ip addr add 10.9.0.3/24 dev eth0; ip link set eth0 up",
    )?;
    in_guest(shell, "mkdir /tmp/w && httpd -h /tmp/w")?;
    in_guest(
        shell,
        &format!("head -c {SENT_MIB}m /dev/urandom >/tmp/w/f"),
    )?;
    let sent = sum_of(&in_guest(shell, "md5sum /tmp/w/f")?)?;
    in_guest(shell, "({ nc -l -p 9000 | md5sum >/tmp/back; } &)")?;
    leave(shell)?;
    enter(shell)?;
    let get = "wget -q -O g http://10.9.0.3/f && md5sum g && cat g >/dev/tcp/10.9.0.3/9000";
    let got = sum_of(&in_debian(shell, get)?)?;
    must_be_same("what another guest sent", &sent, &got)?;
    leave(shell)?;
    shell.send("xm console demo\n\n")?;
    shell.must_ask(GUEST_PROMPT, GUEST_LIMIT)?;
    let back = "until [ -s /tmp/back ]; do sleep 1; done; cat /tmp/back";
    let back = sum_of(&in_guest(shell, back)?)?;
    must_be_same("what another guest got", &sent, &back)?;
    leave(shell)?;
    shell
        .output_within("xm shutdown -w demo", WORK_LIMIT)
        .map(drop)
}

/// A third disk and a third interface come and go while the others work.
fn devices(shell: &mut Shell) -> Result<(), Verdict> {
    enter(shell)?;
    in_debian(
        shell,
        "busy() { while md5sum -c s >/dev/null && wget -q -O h http://10.9.0.1/f && all; do sync; done; }",
    )?;
    in_debian(
        shell,
        "all() { head -c 4M /dev/xvdb >i && wget -q -O h http://10.9.1.1/f; }",
    )?;
    in_debian(shell, "busy & echo $! >p")?;
    leave(shell)?;
    shell.output("xm block-attach debian file:/tmp/c.img xvdc w")?;
    shell.output("xm network-attach debian bridge=xenbr0")?;
    enter(shell)?;
    let there = "until [ -b /dev/xvdc ] && [ -e /sys/class/net/enX2 ]; do sleep 1; done";
    in_debian(shell, there)?;
    let written = in_debian(shell, &fill("xvdc"))?;
    leave(shell)?;
    shell.output_within("xm block-detach debian xvdc", WORK_LIMIT)?;
    shell.output_within("xm network-detach debian 2", WORK_LIMIT)?;
    let image = sum_of(&shell.output("head -c 4m /tmp/c.img | md5sum")?)?;
    must_be_same("what is on the third disk", &sum_of(&written)?, &image)?;
    enter(shell)?;
    in_debian(shell, "kill -0 $(cat p) && kill $(cat p)")?;
    leave(shell)
}
