//! Recipes of `docs/ADMIN.md` with the demonstration guest, typed as they stand there, and what has come of each.
//!
//! Those for a full Debian are in `dom0_recipes`, those for networks in `guests_networks`, for kernels on guests' disks in
//! `guests_pygrub`, and for guests that start by themselves in `guests`.

use super::dom0_disk::type_block;
use super::guests::{GUEST_LIMIT, GUEST_PROMPT, case, leave, leave_by, nothing_is_left};
use super::guests_devices::{in_guest, must_be_same, sum_of};
use super::manual::{ADMIN, commands_of, recipe};
use super::shell::{COMMAND_LIMIT, Shell};
use super::{Extent, pattern};
use crate::suite::Case;
use crate::verdict::Verdict;

/// How long a guest has to give a device back.
const PATIENCE_S: u32 = 5;

/// The only case, with many starts of guests.
pub fn cases(extent: Extent) -> Vec<Case> {
    match extent {
        Extent::AllPairs => Vec::new(),
        Extent::WholeProduct => vec![case("recipes", 2, are_followed)],
    }
}

/// Types a line of a recipe; one that goes on until somebody ends it is ended.
fn type_line(shell: &mut Shell, line: &str) -> Result<(), Verdict> {
    let command = line.split(" #").next().unwrap_or_default().trim_end();
    match command {
        "xenstore-watch /local/domain" => {
            shell.send(&format!("{line}\n"))?;
            shell.must_say("^/local/domain$")?;
            shell.send("\x03")?;
        }
        // It draws: it ends no line, and goes past blanks.
        "xentop" => {
            shell.send(&format!("{line}\n"))?;
            shell.must_ask(r"xentop-\d\d:.*Domain-0", COMMAND_LIMIT)?;
            return leave_by(shell, "q");
        }
        _ if command.starts_with("xm create -c ") => {
            shell.send(&format!("{line}\n"))?;
            shell.must_ask(GUEST_PROMPT, GUEST_LIMIT)?;
            return leave(shell);
        }
        // Help ends with 1.
        _ if command.contains("--help") => {
            return shell.output(&format!("{command}; true")).map(drop);
        }
        _ => return type_block(shell, &[line.to_string()]),
    }
    shell.must_prompt()
}

fn type_lines(shell: &mut Shell, lines: &[String]) -> Result<(), Verdict> {
    lines.iter().try_for_each(|line| type_line(shell, line))
}

/// On the guest's console, which is left then.
fn on_console(
    shell: &mut Shell,
    work: impl FnOnce(&mut Shell) -> Result<(), Verdict>,
) -> Result<(), Verdict> {
    shell.send("xm console demo\n\n")?;
    shell.must_ask(GUEST_PROMPT, GUEST_LIMIT)?;
    work(shell)?;
    leave(shell)
}

fn are_followed(shell: &mut Shell) -> Result<(), Verdict> {
    shell.output("stty columns 250")?;
    guests(shell)?;
    kept(shell)?;
    store(shell)?;
    devices(shell)?;
    drives(shell)?;
    scripts(shell)?;
    errors_of_both_ends(shell)?;
    memory(shell)?;
    processors(shell)?;
    watching(shell)?;
    shell.output_within("xm shutdown -w demo", GUEST_LIMIT)?;
    nothing_is_left(shell)
}

/// The first block of a section whose parts have others.
fn first_of(heading: &str) -> Result<Vec<String>, Verdict> {
    let blocks = commands_of(ADMIN, heading)?;
    let first = blocks.into_iter().next();
    first.ok_or_else(|| Verdict::Fail(format!("{ADMIN} has no commands in '{heading}'")))
}

fn guests(shell: &mut Shell) -> Result<(), Verdict> {
    let first = first_of("## Guests")?;
    shell.output_within("xend stop", GUEST_LIMIT)?;
    type_lines(shell, &first)?;
    nothing_is_left(shell)
}

fn kept(shell: &mut Shell) -> Result<(), Verdict> {
    let [block] = recipe("### Domains that are kept")?;
    let [new, start, delete] = block.as_slice() else {
        return Err(Verdict::Fail(format!("three commands, not {block:?}")));
    };
    type_line(shell, new)?;
    shell.must_print("xm list demo | awk 'NR == 2 { print $1, NF }'", "demo 4")?;
    type_line(shell, start)?;
    shell.must_print("xm domid demo", "2")?;
    for command in ["suspend", "resume"] {
        let told = format!("Error: xm {command} comes with xm save, which is not there yet.");
        shell.must_print(&format!("xm {command} demo 2>&1; [ $? = 1 ]"), &told)?;
    }
    shell.must_print("xm domid demo", "2")?;
    shell.output_within("xm shutdown -w demo", GUEST_LIMIT)?;
    shell.must_print("xm list demo | awk 'NR == 2 { print $1, NF }'", "demo 4")?;
    type_line(shell, delete)?;
    nothing_is_left(shell)
}

/// The daemon is started, and the third domain shut down, as the recipe has it.
fn store(shell: &mut Shell) -> Result<(), Verdict> {
    let first = first_of("## The store")?;
    let [wrong] = recipe("### When something looks wrong")?;
    type_line(shell, "xm create -c demo")?;
    shell.must_print("xm domid demo", "3")?;
    shell.output("kill $(cat /run/xenstored.pid)")?;
    shell.output("while pidof xenstored; do sleep 1; done")?;
    type_lines(shell, &first)?;
    let gone = "while xm domid demo 2>/dev/null; do sleep 1; done";
    shell.output_within(gone, GUEST_LIMIT)?;
    type_lines(shell, &wrong)?;
    shell.output("xenstore-control log off")?;
    shell.must_print("xenstore-control check", "OK")
}

/// A guest with all disks and interfaces of the recipe, and its commands.
fn devices(shell: &mut Shell) -> Result<(), Verdict> {
    let blocks = commands_of(ADMIN, "## Disks and networks")?;
    let [configuration, commands, ..] = blocks.as_slice() else {
        return Err(Verdict::Fail("no recipe for disks and networks".into()));
    };
    for command in [
        "mkdir -p /srv /dev/vg0 && modprobe loop",
        "for f in etch data more; do truncate -s 8M /srv/$f.img; done",
        "head -c 1m /dev/urandom >/srv/debian.iso",
        "truncate -s 8M /srv/volume && losetup /dev/loop7 /srv/volume",
        "ln -s /dev/loop7 /dev/vg0/etch",
        "/etc/xen/scripts/network-bridge start netdev=none bridge=xenbr1",
    ] {
        shell.output(command)?;
    }
    let lines: String = configuration
        .iter()
        .map(|line| format!("{line}\n"))
        .collect();
    shell.send(&format!("cat >>/etc/xen/demo <<'END'\n{lines}END\n"))?;
    shell.output("true")?;
    type_line(shell, "xm create -c demo")?;
    shell.must_print(
        "basename $(readlink /sys/class/net/etch.1/master)",
        "xenbr1",
    )?;
    let [_setting, in_it] = recipe("### The bridge that is there")?;
    on_console(shell, |shell| {
        in_guest(shell, "stty columns 250")?;
        in_guest(shell, "[ $(cat /sys/block/xvdb/ro) = 1 ]")?;
        in_guest(
            shell,
            "grep -x 00:16:3e:00:00:11 /sys/class/net/eth1/address",
        )?;
        for command in &in_it {
            in_guest(shell, command)?;
        }
        in_guest(shell, "ping -c 2 10.9.0.1 >/tmp/ping").map(drop)
    })?;
    type_lines(shell, commands)?;
    let numbers = "awk 'NR > 1 { print $1 }' | xargs";
    shell.must_print(&format!("xm block-list demo | {numbers}"), "51712 51728")?;
    shell.must_print(&format!("xm network-list demo | {numbers}"), "0 2")
}

fn drives(shell: &mut Shell) -> Result<(), Verdict> {
    let [block] = recipe("### Drives")?;
    let [empty, full, out] = block.as_slice() else {
        return Err(Verdict::Fail(format!("three commands, not {block:?}")));
    };
    type_line(shell, empty)?;
    on_console(shell, |shell| {
        in_guest(shell, "! [ -e /dev/xvdc ]").map(drop)
    })?;
    type_line(shell, full)?;
    must_have_image(shell, "xvdc", "/srv/debian.iso")?;
    type_line(shell, out)?;
    shell.must_print("losetup -a | grep -c debian; true", "0")?;
    shell.output("xm block-detach demo xvdc").map(drop)
}

/// The guest reads what an image has.
fn must_have_image(shell: &mut Shell, disk: &str, image: &str) -> Result<(), Verdict> {
    let there = sum_of(&shell.output(&format!("md5sum {image}"))?)?;
    on_console(shell, |shell| {
        in_guest(
            shell,
            &format!("until [ -b /dev/{disk} ]; do sleep 1; done"),
        )?;
        let here = sum_of(&in_guest(shell, &format!("md5sum /dev/{disk}"))?)?;
        must_be_same(image, &there, &here)
    })
}

fn scripts(shell: &mut Shell) -> Result<(), Verdict> {
    let [_answer, network, disk] = recipe("## Scripts of your own")?;
    shell.output("head -c 1m /dev/urandom >/srv/etch.img")?;
    type_block(shell, &network)?;
    shell.output("n=$(xm network-list demo | awk 'END { print $1 }')")?;
    shell.must_print("cat /sys/class/net/vif4.$n/carrier", "1")?;
    type_block(shell, &disk)?;
    must_have_image(shell, "xvdd", "/srv/etch.img")?;
    shell.must_print("losetup -a | grep -c etch.img", "1")?;
    // What is in use is not cleaned up.
    let cleanup = "XENBUS_PATH=backend/vbd/4/51760 /etc/xen/scripts/xen-hotplug-cleanup remove";
    shell.must_print(
        &format!("{cleanup} 2>&1; true"),
        "xen-hotplug-cleanup: backend/vbd/4/51760 is in use: detach it first (xm block-detach, xm network-detach)",
    )?;
    shell.output("xenstore-exists backend/vbd/4/51760/physical-device")?;
    shell.output("xm block-detach demo xvdd && xm network-detach demo $n")?;
    shell.must_print("losetup -a | grep -c etch.img; true", "0")
}

/// A driver that can't open what a script has given it, and a guest that does not answer.
fn errors_of_both_ends(shell: &mut Shell) -> Result<(), Verdict> {
    for command in [
        "cd /etc/xen/scripts && sed '/physical-device/s/\"$(stat.*/ffe:0/' block-named >block-wrong",
        "grep -q 'physical-device\" ffe:0$' block-wrong && chmod +x block-wrong; cd",
    ] {
        shell.output(command)?;
    }
    let refused = shell.output("xm block-attach demo wrong:etch xvdd w 2>&1; [ $? = 1 ]")?;
    let told = pattern(
        r"^Error: Device 51760 \(vbd\) could not be connected\. Its backend says: \d+ creating vbd structure$",
    )?;
    if refused.first().is_none_or(|line| !told.is_match(line)) {
        return Err(Verdict::Fail(format!(
            "a disk that is not there: {refused:?}"
        )));
    }
    shell.must_print("losetup -a | grep -c etch.img; true", "0")?;
    shell.must_print("xenstore-ls -f | grep -c 51760; true", "0")?;

    let settings = "/etc/xen/xend-config.sxp";
    shell.output(&format!(
        "echo '(device-destroy-timeout {PATIENCE_S})' >>{settings} && xend reload"
    ))?;
    shell.output("xm pause demo")?;
    shell.must_print(
        "xm block-detach demo xvdb 2>&1 | head -n1",
        &format!(
            "Error: Device 51728 (vbd) could not be disconnected. The guest has not closed it within {PATIENCE_S} seconds; --force does not ask it."
        ),
    )?;
    shell.must_print("xm block-list demo | wc -l", "3")?;
    shell.output("xm unpause demo")?;
    shell.output("xm block-detach demo xvdb")?;
    shell.must_print("losetup -a | grep -c data.img; true", "0")?;
    shell.output(&format!("sed -i '$d' {settings} && xend reload"))?;
    shell.output("xm block-attach demo file:/srv/data.img xvdb w")?;
    on_console(shell, |shell| {
        in_guest(shell, "until [ -b /dev/xvdb ]; do sleep 1; done").map(drop)
    })
}

fn memory(shell: &mut Shell) -> Result<(), Verdict> {
    let [block] = recipe("## Memory")?;
    type_lines(shell, &block)?;
    let settled = "until [ $(xm list | awk 'NR > 1 { print $1 $3 }' | xargs | tr -d ' ') = Domain-0400demo96 ]; do sleep 1; done";
    shell.output_within(settled, GUEST_LIMIT).map(drop)
}

fn processors(shell: &mut Shell) -> Result<(), Verdict> {
    let [block] = recipe("## Sharing the processors")?;
    type_lines(shell, &block)?;
    shell.must_print(
        "xm sched-credit -d demo | awk '$1 == \"demo\" { print $3, $4 }'",
        "512 50",
    )?;
    shell.must_print(
        "xm sched-credit -s | grep -c 'tslice=10ms ratelimit=500us'",
        "1",
    )
}

fn watching(shell: &mut Shell) -> Result<(), Verdict> {
    let [block] = recipe("## Watching")?;
    type_lines(shell, &block)
}
