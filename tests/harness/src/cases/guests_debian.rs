//! The demonstration guest of `make run`: a Debian on a disk, with a network, to a login by its init system, and what an
//! administrator does with it.
//!
//! `boot/make-guest` makes its disk.

use super::guests::{GUEST_LIMIT, leave, nothing_is_left};
use super::guests_devices::{must_be_same, sum_of};
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
    shell.output("stty columns 250")?;
    shell.send("xm create -c debian\n")?;
    shell.must_say_within(r"^Started domain debian \(id=\d+\)", GUEST_LIMIT)?;
    log_in(&mut shell)?;
    let write = format!("head -c {WRITTEN_MIB}M /dev/urandom >f; sync; md5sum f | tee s; sync");
    let written = sum_of(&in_debian(&mut shell, &write)?)?;
    in_debian(&mut shell, "uptime -s; ping -c 2 10.9.0.1 >/dev/null")?;
    leave(&mut shell)?;
    transfers(&mut shell)?;
    devices(&mut shell)?;
    shell.output_within(&format!("sleep {LEAST_LIFE_S}"), WORK_LIMIT)?;
    shell.output_within("xm reboot -w debian", WORK_LIMIT)?;
    // It has a number before it has a console.
    let has_console =
        "until xenstore-exists /local/domain/$(xm domid debian)/console/tty; do sleep 1; done";
    shell.output_within(has_console, WORK_LIMIT)?;
    shell.send("xm console debian\n")?;
    log_in(&mut shell)?;
    let read = sum_of(&in_debian(
        &mut shell,
        "md5sum f && md5sum -c s >/dev/null",
    )?)?;
    must_be_same("what was written before the reboot", &written, &read)?;
    leave(&mut shell)?;
    shell.output_within("xm shutdown -w debian", WORK_LIMIT)?;
    nothing_is_left(&mut shell)?;
    shell.must_be_healthy()?;
    shell.send("poweroff\n")?;
    shell.must_end()?;
    Ok(Verdict::Pass(
        "a Debian was logged in to, twice, and kept what it had written".into(),
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

/// What it gets from the first domain, and what the first domain gets from it.
fn transfers(shell: &mut Shell) -> Result<(), Verdict> {
    shell.output("mkdir /tmp/w && httpd -h /tmp/w")?;
    shell.output(&format!("head -c {SENT_MIB}m /dev/urandom >/tmp/w/f"))?;
    let sent = sum_of(&shell.output("md5sum /tmp/w/f")?)?;
    enter(shell)?;
    let got = in_debian(shell, "wget -q -O g http://10.9.0.1/f && md5sum g")?;
    must_be_same("what the guest got", &sent, &sum_of(&got)?)?;
    leave(shell)?;
    shell.output("({ nc -l -p 9000 | md5sum >/tmp/back; } &)")?;
    enter(shell)?;
    in_debian(shell, "cat g >/dev/tcp/10.9.0.1/9000")?;
    leave(shell)?;
    shell.output_within("until [ -s /tmp/back ]; do sleep 1; done", WORK_LIMIT)?;
    let back = sum_of(&shell.output("cat /tmp/back")?)?;
    must_be_same("what came back", &sent, &back)
}

/// A second disk and a second interface come and go while the first ones work.
fn devices(shell: &mut Shell) -> Result<(), Verdict> {
    enter(shell)?;
    in_debian(
        shell,
        "busy() { while md5sum -c s >/dev/null && wget -q -O h http://10.9.0.1/f; do sync; done; }",
    )?;
    in_debian(shell, "busy & echo $! >p")?;
    leave(shell)?;
    shell.output("truncate -s 16M /tmp/b.img")?;
    shell.output("xm block-attach debian file:/tmp/b.img xvdb w")?;
    shell.output("xm network-attach debian bridge=xenbr0")?;
    enter(shell)?;
    let there = "until [ -b /dev/xvdb ] && [ -e /sys/class/net/enX1 ]; do sleep 1; done";
    in_debian(shell, there)?;
    let written = in_debian(
        shell,
        "head -c 4M /dev/urandom | tee /dev/xvdb | md5sum; sync",
    )?;
    leave(shell)?;
    shell.output_within("xm block-detach debian xvdb", WORK_LIMIT)?;
    shell.output_within("xm network-detach debian 1", WORK_LIMIT)?;
    let image = sum_of(&shell.output("head -c 4m /tmp/b.img | md5sum")?)?;
    must_be_same("what is on the second disk", &sum_of(&written)?, &image)?;
    enter(shell)?;
    in_debian(shell, "kill -0 $(cat p) && kill $(cat p)")?;
    leave(shell)
}
