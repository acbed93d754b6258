//! A front end that lies, on a disk and on a network interface, against the stock back ends: the first domain goes on, and so
//! do another guest's disk and network.
//!
//! The guest is `guest/device-attack` of the tiny kernels, which says what it does.

use super::Extent;
use super::guests::{GUEST_LIMIT, GUEST_PROMPT, leave};
use super::guests_devices::{create_of, in_guest, no_device_is_left, prepare, sum_of};
use super::guests_many::{case, number, seed};
use super::shell::Shell;
use crate::suite::Case;
use crate::verdict::Verdict;
use std::time::Duration;

/// How long it lasts, all asked for and else.
const ATTACK: (Duration, Duration) = (Duration::from_secs(600), Duration::from_secs(60));
/// After how long the attacked interface is replaced, and less often the disk: after the worst, its back end never serves a
/// front end again.
const ROUND: Duration = Duration::from_secs(10);
/// What the guest connects with nonsense, which it does every other time, is refused, at once or when the time for it is over,
/// and nothing of it is left. So attaching is tried so often, with so many seconds each.
const TRIES: u32 = 20;
const CONNECT_S: u32 = 30;
/// For any command of a round: for all tries, and as long as any other command, on a machine whose first domain is flooded.
const ROUND_LIMIT: Duration =
    Duration::from_secs((TRIES * CONNECT_S) as u64 + GUEST_LIMIT.as_secs());
/// What the honest guest gets again and again, and writes, and reads, in bytes.
const TRANSFERRED: u64 = 1 << 20;
/// Which ways the attacker has.
const WAYS: u64 = 8;
/// How often the honest guest's transfers must have been whole, and what the attacker must have been served itself.
const LEAST_TRANSFERS: u64 = 3;
const LEAST_SERVED: u64 = 3;
/// What a kernel says in trouble; written so that it is not found where it is looked for.
const COMPLAINTS: &str = "WARNIN[G]:|BU[G]:|Oops|stall|blocked for more";
/// What Linux's back end says itself of a disk that was never quite connected, and goes on: it has put by fewer requests
/// than it would have.
const OF_NO_MATTER: &str = "WARNIN[G]: .* xen_blkif_disconnect";

/// All cases.
pub fn cases(extent: Extent) -> Vec<Case> {
    let attack = match extent {
        Extent::WholeProduct => ATTACK.0,
        Extent::AllPairs => ATTACK.1,
    };
    vec![case("devices-attacked", move |shell| {
        attacked(shell, attack)
    })]
}

fn attacked(shell: &mut Shell, attack: Duration) -> Result<String, Verdict> {
    prepare(shell)?;
    honest_guest(shell)?;
    let seed = seed();
    for command in [
        "t() { { cat /etc/xen/tiny; echo \"$2\" | tr ';' '\\n'; } >/tmp/$1; }",
        "t bad \"disk=['file:/tmp/b.img,xvda,w'];vif=['bridge=xenbr1,mac=00:16:3e:00:00:66']\"",
        // What is sent there has somebody to be sent to.
        "arp -i xenbr1 -s 10.9.1.66 00:16:3e:00:00:66",
        "(ping -i 0.05 -s 1400 10.9.1.66 >/dev/null 2>&1 & echo $! >/tmp/ping)",
        // Each refusal is told, which is a lot.
        "dmesg -n 1; dmesg -c >/dev/null; : >/tmp/said",
        "N='xm network'; D='xm block'; M=00:16:3e:00:00:66",
        &format!("echo '(device-create-timeout {CONNECT_S})' >>/etc/xen/xend-config.sxp"),
        "xend reload",
        &format!(
            "again() {{ for i in $(seq {TRIES}); do \"$@\" 2>/tmp/refused && return; done; cat /tmp/refused; false; }}"
        ),
        "l() { xm $1-list tiny | awk 'NR > 1 { print $1 }'; }",
        "d() { xenstore-read /local/domain/$(xm domid tiny)/data/$1; }",
    ] {
        shell.output(command)?;
    }
    let again = |said: String| format!("{said}; SEED={seed} does the same again");
    shell.output(&format!(
        "xm create -q /tmp/bad extra='test=guest/device-attack end=domain seed={seed}'"
    ))?;
    for round in 0..attack.as_secs() / ROUND.as_secs() {
        let mut run = |command: &str| shell.output_within(command, ROUND_LIMIT).map(drop);
        run(&format!("sleep {}", ROUND.as_secs()))?;
        run("dmesg -c >>/tmp/said")?;
        run("for i in $(l network); do $N-detach --force tiny $i; done")?;
        run("again $N-attach tiny bridge=xenbr1 mac=$M")?;
        if round % 4 == 3 {
            run("$D-detach --force tiny xvda")?;
            run("again $D-attach tiny file:/tmp/b.img xvda w")?;
        }
    }
    let said = is_told(shell)?;
    let complaints = shell.output(&format!(
        "grep -E '{COMPLAINTS}' /tmp/said | grep -v '{OF_NO_MATTER}' | head -n5; true"
    ))?;
    if !complaints.is_empty() {
        return Err(Verdict::Fail(again(format!(
            "the first domain's kernel complains: {complaints:?}"
        ))));
    }
    shell.output("xm destroy tiny; kill $(cat /tmp/ping)")?;
    let transfers = is_whole(shell)?;
    shell.output_within("xm shutdown -w demo", GUEST_LIMIT)?;
    no_device_is_left(shell)?;
    Ok(again(format!(
        "{said}; meanwhile {transfers} times {TRANSFERRED} bytes by the honest guest's network, to its disk and back"
    )))
}

/// A guest that gets a file, writes it to its disk, and reads it from there, again and again.
fn honest_guest(shell: &mut Shell) -> Result<(), Verdict> {
    shell.output("mkdir /tmp/w; httpd -h /tmp/w")?;
    shell.output(&format!("head -c {TRANSFERRED} /dev/urandom >/tmp/w/f"))?;
    let sum = sum_of(&shell.output("md5sum /tmp/w/f")?)?;
    shell.output("with good \"disk=['file:/tmp/a.img,xvda,w'];vif=['bridge=xenbr0']\"")?;
    create_of(shell, "good")?;
    for command in [
        "ip addr add 10.9.0.2/24 dev eth0; ip link set eth0 up",
        &format!("s() {{ [ \"$(md5sum | cut -c1-32)\" = {sum} ]; }}"),
        "get() { wget -q -O /tmp/r http://10.9.0.1/f && s </tmp/r; }",
        "put() { dd if=/tmp/r of=/dev/xvda bs=64k conv=fsync 2>/dev/null; }",
        "free() { echo 3 >/proc/sys/vm/drop_caches; }",
        &format!("back() {{ head -c {TRANSFERRED} /dev/xvda | s; }}"),
        "mkdir /tmp/w; httpd -h /tmp/w; :>/tmp/n",
        "all() { while get && put && free && back; do echo >>/tmp/n; done; }",
        "(all & echo $! >/tmp/p)",
    ] {
        in_guest(shell, command)?;
    }
    leave(shell)
}

/// What the attacker has told, which must be enough.
fn is_told(shell: &mut Shell) -> Result<String, Verdict> {
    let mut said = Vec::new();
    let mut is_enough = true;
    for device in ["disk", "network"] {
        let mut read = |what: &str| number(shell, &format!("d {device}/{what}"));
        let (attacks, ways) = (read("attacks")?, read("ways")?);
        let (bad, connects) = (read("bad-connects")?, read("connects")?);
        let (served, silences) = (read("served")?, read("silences")?);
        said.push(format!(
            "{device}: {attacks} attacks in {ways} ways, connected {bad} times with nonsense and {connects} times properly, \
             served {served} times afterwards, {silences} times not"
        ));
        is_enough &= ways == WAYS && served >= LEAST_SERVED && connects > 1 && bad > 0;
    }
    shell.must_print("xm list tiny | awk 'NR == 2 { print $3 }'", "8")?;
    let refused = number(shell, "grep -c 'bogus ring requests' /tmp/said; true")?;
    said.push(format!("the disk's back end has given up {refused} rings"));
    let said = said.join("; ");
    if is_enough && refused > 0 {
        Ok(said)
    } else {
        Err(Verdict::Fail(format!("not attacked enough: {said}")))
    }
}

/// All that the honest guest has got, written and read was as it should be, and goes on. How often that was.
fn is_whole(shell: &mut Shell) -> Result<u64, Verdict> {
    shell.send("xm console demo\n\n")?;
    shell.must_ask(GUEST_PROMPT, GUEST_LIMIT)?;
    in_guest(shell, "kill -0 $(cat /tmp/p)")?;
    let lines = in_guest(shell, "cp /tmp/r /tmp/w/f; wc -l </tmp/n")?;
    leave(shell)?;
    let transfers = lines.concat().trim().parse().unwrap_or(0);
    let fetch = "wget -q -O - http://10.9.0.2/f | cmp - /tmp/w/f";
    shell.output_within(fetch, GUEST_LIMIT)?;
    if transfers < LEAST_TRANSFERS {
        return Err(Verdict::Fail(format!(
            "the honest guest has transferred {transfers} times only"
        )));
    }
    Ok(transfers)
}
