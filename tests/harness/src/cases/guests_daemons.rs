//! Daemons of the first domain that are killed while guests run.

use super::guests::{GUEST_LIMIT, GUEST_PROMPT, case, leave, nothing_is_left};
use super::guests_devices::must_be_same;
use super::shell::Shell;
use crate::suite::Case;
use crate::verdict::Verdict;

/// What a guest does that counts aloud.
const COUNTS: &str = "i=0; while sleep 1; do i=$((i+1)); echo count-$i; done &";
/// The numbers in a guest's log.
const COUNTED: &str = "l() { tr -d '\\r' <guest-$1.log | grep -o 'count-[0-9][0-9]*$'; }";
/// Those of them that are not where they should be: each is there once, one after the other.
const MISPLACED: &str = "m() { l $1 | cut -c 7- | awk '$1 != NR' | wc -l; }";

/// All cases.
pub fn cases() -> Vec<Case> {
    vec![case("killed-daemons", 2, killed_daemons)]
}

/// Daemons are killed and started again while one guest counts aloud and another is paused. Both go on, and nothing that they
/// say is lost: neither to who looks at their consoles afterwards, nor in their logs.
fn killed_daemons(shell: &mut Shell) -> Result<(), Verdict> {
    let names = ["demo", "still"];
    for name in names {
        shell.send(&format!("xm create -c demo name={name}\n"))?;
        shell.must_say_within(&format!("^Started domain {name} "), GUEST_LIMIT)?;
        shell.must_ask(GUEST_PROMPT, GUEST_LIMIT)?;
        shell.send(&format!("{COUNTS}\n"))?;
        shell.must_say("^count-2$")?;
        leave(shell)?;
    }
    shell.output("xm pause still; cd /var/log/xen/console")?;
    for function in [COUNTED, MISPLACED, "n() { l $1 | wc -l; }"] {
        shell.output(function)?;
    }
    let before = shell.output("n still")?;
    for killed in [
        "kill -9 $(cat /run/xend.pid) && xend start",
        "kill -9 $(cat /run/xenstored.pid) && xenstored",
        "kill -9 $(cat /run/xenconsoled.pid); sleep 3; xenconsoled --log=guest",
    ] {
        shell.output("a=$(n demo)")?;
        shell.output(killed)?;
        goes_on(shell, "demo")?;
        shell.must_print("xm list demo | wc -l", "2")?;
        shell.must_print("xm list still | awk 'NR == 2 { print $5 }'", "--p---")?;
        shell.must_print("xenstore-read /local/domain/$(xm domid demo)/name", "demo")?;
    }
    let after = shell.output("n still")?;
    must_be_same(
        "lines of the paused guest",
        &before.concat(),
        &after.concat(),
    )?;
    shell.output("a=$(n still); xm unpause still")?;
    goes_on(shell, "still")?;
    for name in names {
        shell.send(&format!("xm console {name}\n"))?;
        shell.must_say("^count-[0-9]+$")?;
        // It is the same shell.
        shell.send("kill $!; echo still-$i-there\n")?;
        shell.must_say("^still-0-there$")?;
        leave(shell)?;
        shell.must_print(&format!("m {name}"), "0")?;
        shell.output_within(&format!("xm shutdown -w {name}"), GUEST_LIMIT)?;
    }
    shell.output("cd /")?;
    nothing_is_left(shell)
}

/// A guest's log gets longer than it was.
fn goes_on(shell: &mut Shell, name: &str) -> Result<(), Verdict> {
    let waits = format!("until [ $(n {name}) -gt $((a + 2)) ]; do sleep 1; done");
    shell.output_within(&waits, GUEST_LIMIT).map(drop)
}
