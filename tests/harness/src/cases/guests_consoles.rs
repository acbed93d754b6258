//! Guests that print without end: what they print is taken as slowly as is allowed, the first domain's disk does not fill, and
//! nobody else's console waits for them.
//!
//! They are `guest/console-flood` of the tiny kernels, which says what it does.

use super::guests::{GUEST_LIMIT, create, leave, nothing_is_left, to_console};
use super::guests_devices::in_guest;
use super::guests_many::{case, number};
use super::shell::Shell;
use crate::suite::Case;
use crate::verdict::Verdict;

/// For so long is counted what is written.
const SECONDS: u64 = 20;
/// What a guest may print in a second, where an emulated one can print as much, and what at once.
const RATE_KIB: u64 = 64;
const BURST_BYTES: u64 = RATE_KIB << 8;
/// What a guest's log may take with all its old files.
const MOST_LOG_KIB: u64 = 6 << 10;
/// How much longer a second of an emulated machine may be.
const SLACK_SECONDS: u64 = 10;

/// All cases.
pub fn cases() -> Vec<Case> {
    vec![case("consoles-flooded", flooded)]
}

fn flooded(shell: &mut Shell) -> Result<String, Verdict> {
    shell.output("stty columns 250")?;
    shell.output("kill $(cat /run/xenconsoled.pid); sleep 1")?;
    shell.output(&format!("xenconsoled --log=guest --rate={RATE_KIB}"))?;
    create(shell, "")?;
    leave(shell)?;
    let names = ["loud", "louder"];
    for name in names {
        let extra = "extra='test=guest/console-flood end=domain'";
        shell.output(&format!("xm create -q tiny name={name} {extra}"))?;
    }
    // Each of them has to wait.
    let log = "/var/log/xen/xenconsoled.log";
    shell.output_within(
        &format!(
            "until [ $(grep -c 'prints faster than is allowed' {log}) = 2 ]; do sleep 1; done"
        ),
        GUEST_LIMIT,
    )?;
    // What the daemon has written by now, in all: nobody looks at their consoles.
    let written = "awk '/^wchar/ { print $2 }' /proc/$(cat /run/xenconsoled.pid)/io";
    let before = number(shell, written)?;
    shell.output_within(&format!("sleep {SECONDS}"), GUEST_LIMIT)?;
    let written = number(shell, written)? - before;
    let most = (SECONDS + SLACK_SECONDS) * (RATE_KIB << 10) * 2 + BURST_BYTES * 2;
    if written > most {
        return Err(Verdict::Fail(format!(
            "{written} bytes are written in {SECONDS} s, of {most} at most"
        )));
    }
    let mut said = vec![format!("{written} bytes in {SECONDS} s, of {most}")];
    for name in names {
        let files = format!("/var/log/xen/console/guest-{name}.log*");
        let kib = number(shell, &format!("cat {files} | wc -c"))? >> 10;
        if kib > MOST_LOG_KIB {
            return Err(Verdict::Fail(format!(
                "the logs of {name} have {kib} KiB, of {MOST_LOG_KIB}"
            )));
        }
        said.push(format!("{name}: {kib} KiB of logs"));
    }
    // Meanwhile another guest's console answers, and what is printed there is whole.
    to_console(shell)?;
    let lines = in_guest(shell, "seq 300 | xargs")?;
    let wanted: Vec<_> = (1..=300).map(|n: u32| n.to_string()).collect();
    let printed = lines.join(" ");
    if !printed
        .split_whitespace()
        .eq(wanted.iter().map(String::as_str))
    {
        return Err(Verdict::Fail(format!("the guest prints {printed}")));
    }
    leave(shell)?;
    for name in names {
        shell.output(&format!("xm destroy {name}"))?;
    }
    shell.output("xm destroy demo")?;
    nothing_is_left(shell)?;
    Ok(said.join("; "))
}
