//! Guests of a stock Debian kernel under `xm`: to their shell and through their life, from outside and from inside.

use super::accounts::{self, Ran};
use super::guests_devices::{filling, in_guest, must_be_same, sum_of};
use super::shell::{Boot, PROMPT, Shell};
use super::{Extent, TEST_IMAGE};
use crate::machine::{Board, Machine};
use crate::suite::{Case, Context};
use crate::verdict::Verdict;
use std::time::Duration;

/// What the guest's shell asks with.
pub(super) const GUEST_PROMPT: &str = r"guest# $";
/// From a guest's creation to its shell, two kernels on one emulated processor.
pub(super) const GUEST_LIMIT: Duration = Duration::from_secs(200);
/// What a guest writes before it is started again, all asked for and else.
const WRITTEN_MIB: (u32, u32) = (64, 4);
/// Waits until there is no guest.
const GONE: &str = "while xm domid demo 2>/dev/null; do sleep 1; done";
/// Ctrl-], which leaves a console.
const LEAVE: &str = "\x1d";
/// How long nothing else is typed behind it.
const ALONE: Duration = Duration::from_secs(1);
const LEAVE_LIMIT: Duration = Duration::from_secs(10);
const TRIES: u32 = 6;

/// All cases.
pub fn cases(extent: Extent) -> Vec<Case> {
    let mib = match extent {
        Extent::WholeProduct => WRITTEN_MIB.0,
        Extent::AllPairs => WRITTEN_MIB.1,
    };
    let mut cases = vec![
        case("shell", 1, |shell| {
            refusals(shell)?;
            shell_works(shell, 1)?;
            shell.output("xm destroy demo")?;
            nothing_is_left(shell)
        }),
        case("life", 2, life),
        case("dies", 1, dies),
        case("compute", COMPUTE_PROCESSORS, compute),
        case("reboot", 2, move |shell| reboot(shell, mib)).idle(),
        Case::new("guests/other-version", other_version),
    ];
    if extent == Extent::WholeProduct {
        cases.push(case("autostart", 1, autostart));
    }
    cases
}

pub(super) fn case(
    name: &str,
    processors: u32,
    judge: impl Fn(&mut Shell) -> Result<(), Verdict> + Send + Sync + 'static,
) -> Case {
    Case::new(format!("guests/{name}"), move |context| {
        let machine = Machine {
            board: Board::Q35,
            processors,
            ..Machine::default()
        };
        let judged = Boot::of(&machine).shell(context).and_then(|mut shell| {
            judge(&mut shell)?;
            shell.must_be_healthy()?;
            shell.send("poweroff\n")?;
            shell.must_end()?;
            Ok(Verdict::Pass("guests lived and died".into()))
        });
        judged.unwrap_or_else(|verdict| verdict)
    })
}

/// Creates the demonstration guest, and waits for its shell.
pub(super) fn create(shell: &mut Shell, more: &str) -> Result<(), Verdict> {
    shell.send(&format!("xm create -c demo {more}\n"))?;
    shell.must_say_within(r"^Started domain demo \(id=\d+\)", GUEST_LIMIT)?;
    shell.must_ask(GUEST_PROMPT, GUEST_LIMIT)
}

/// Leaves the guest's console. The key counts only if it comes alone, and the prompt is seen only on a line of its own.
pub(super) fn leave(shell: &mut Shell) -> Result<(), Verdict> {
    leave_by(shell, LEAVE)
}

/// Leaves what has the terminal, by a key.
pub(super) fn leave_by(shell: &mut Shell, key: &str) -> Result<(), Verdict> {
    let mut left = Ok(());
    for _ in 0..TRIES {
        shell.send(key)?;
        std::thread::sleep(ALONE);
        shell.send("\n")?;
        left = shell.must_ask(PROMPT, LEAVE_LIMIT);
        if left.is_ok() {
            break;
        }
    }
    left
}

/// The guest's shell works on all its processors, and the console can be left and taken up again.
pub(super) fn shell_works(shell: &mut Shell, vcpus: u32) -> Result<(), Verdict> {
    create(shell, &format!("vcpus={vcpus}"))?;
    shell.send("echo there are $(nproc)\n")?;
    shell.must_say(&format!("^there are {vcpus}$"))?;
    shell.send("cat /sys/hypervisor/type\n")?;
    shell.must_say("^xen$")?;
    asks_the_store(shell)?;
    leave(shell)?;
    shell.must_print(
        "xm list demo | awk 'NR == 2 { print NF, $1, $3, $4 }'",
        &format!("6 demo 128 {vcpus}"),
    )?;
    shell.must_print("xm vcpu-list demo | wc -l", &(vcpus + 1).to_string())?;
    to_console(shell)?;
    leave(shell)
}

/// A program in the guest asks the store by the kernel's device: for the guest's name, by a message of 21 bytes.
fn asks_the_store(shell: &mut Shell) -> Result<(), Verdict> {
    let asks = r"printf '\2\0\0\0\7\0\0\0\0\0\0\0\5\0\0\0name\0' >&3";
    let takes = "dd bs=20 count=1 iflag=fullblock <&3 2>/dev/null | tail -c 4";
    in_guest(shell, "stty columns 250")?;
    in_guest(shell, "exec 3<>/dev/xen/xenbus")?;
    in_guest(shell, asks)?;
    let name = in_guest(shell, &format!("echo named-$({takes})"))?;
    in_guest(shell, "exec 3>&-")?;
    must_be_same("the name", "named-demo", &name.concat())
}

/// Takes up the console of the demonstration guest, whose shell waits.
pub(super) fn to_console(shell: &mut Shell) -> Result<(), Verdict> {
    shell.send("xm console demo\n")?;
    shell.send("\n")?;
    shell.must_ask(GUEST_PROMPT, GUEST_LIMIT)
}

pub(super) fn nothing_is_left(shell: &mut Shell) -> Result<(), Verdict> {
    shell.must_print("xm list | awk 'NR > 1 { print $1 }'", "Domain-0")?;
    shell.must_print("xenstore-list /local/domain", "0")?;
    shell.must_print("ls /var/lib/xend/running 2>/dev/null | wc -l", "0")
}

/// Pause, shutdown and reboot, from outside and from inside.
fn life(shell: &mut Shell) -> Result<(), Verdict> {
    in_a_zone(shell, ZONE)?;
    create(shell, "on_poweroff=destroy localtime=1")?;
    shell.send("while sleep 1; do date +t%s; done &\n")?;
    leave(shell)?;
    stands_still(shell)?;
    // Hours later there, whole seconds read one after the other.
    shell.must_print("d=$((a + 10800)); echo $((d * d <= 4))", "1")?;
    in_a_zone(shell, "UTC0")?;
    shell.output("xm rename demo renamed && xm rename renamed demo")?;
    let lines = shell.output_within("xm shutdown -w demo", GUEST_LIMIT)?;
    if lines != ["Domain demo terminated", "All domains terminated"] {
        return Err(Verdict::Fail(format!("xm shutdown -w prints {lines:?}")));
    }
    nothing_is_left(shell)?;
    lingers(shell)?;
    // The kernel is unpacked by now.
    create(shell, "")?;
    shell.send("poweroff\n")?;
    shell.must_prompt()?;
    shell.output_within(GONE, GUEST_LIMIT)?;
    nothing_is_left(shell)?;
    // One that has not lived for a minute is not started again.
    create(shell, "on_reboot=restart")?;
    shell.send("reboot\n")?;
    shell.must_prompt()?;
    shell.output_within(GONE, GUEST_LIMIT)?;
    shell.must_print("grep -c 'restarting too fast' /var/log/xen/xend.log", "1")?;
    nothing_is_left(shell)
}

/// Three hours east of Greenwich.
const ZONE: &str = "EAST-3";

/// `xend` is started again, in a time zone.
fn in_a_zone(shell: &mut Shell, zone: &str) -> Result<(), Verdict> {
    shell.output(&format!("xend stop && TZ={zone} xend start"))?;
    Ok(())
}

/// Kernels that die before they have come to anything: who looks at their console is told, and what is to be done is done.
fn dies(shell: &mut Shell) -> Result<(), Verdict> {
    // It finds no root.
    let dead = "xm create demo ramdisk=/etc/profile";
    shell.output(&format!(
        "d() {{ {dead} -c $1 >/tmp/o 2>/tmp/e; echo = $?; }}"
    ))?;
    let is_told = |shell: &mut Shell, more: &str, then: &str| -> Result<(), Verdict> {
        shell.must_print_within(&format!("d {more}"), "= 1", GUEST_LIMIT)?;
        shell.must_print("grep -c 'Kernel panic - not syncing: VFS' /tmp/o", "1")?;
        let wanted = format!(
            r"^Error: the guest's kernel has crashed \d+\.\d seconds after its start{then}\.$"
        );
        match shell.output("cat /tmp/e")?.as_slice() {
            [line] if super::pattern(&wanted)?.is_match(line) => Ok(()),
            lines => Err(Verdict::Fail(format!("{lines:?} instead of {wanted}"))),
        }
    };
    is_told(shell, "", "")?;
    nothing_is_left(shell)?;
    let kept = "; it is kept, as on_crash = preserve says, until 'xm destroy demo'";
    is_told(shell, "on_crash=preserve", kept)?;
    shell.must_print("xm list demo | awk 'NR == 2 { print $5 }'", "----c-")?;
    shell.output("xm destroy demo")?;
    nothing_is_left(shell)?;
    // There is room.
    shell.output("rm -rf /var/xen; ln -s /tmp /var/xen")?;
    let dumped = "; its core is in /var/xen/dump/demo";
    is_told(shell, "on_crash=coredump-destroy", dumped)?;
    shell.must_print("ls /var/xen/dump/demo | wc -l", "1")?;
    shell.output("rm -r /var/xen/dump/demo")?;
    nothing_is_left(shell)?;
    // Nobody looks at this one: it was started, and the log has what becomes of it and what it died of.
    shell.output("n() { grep -c \"demo: it said: .*$VFS\" /var/log/xen/xend.log; }")?;
    shell.output("VFS='Kernel panic - not syncing: VFS'")?;
    shell.must_print("n", "3")?;
    shell.must_print(&format!("{dead} -q; echo = $?"), "= 0")?;
    shell.output_within(GONE, GUEST_LIMIT)?;
    shell.output("cd /var/log/xen")?;
    shell.must_print("grep -c 'ended: crash; Refuse' xend.log; cd /", "2")?;
    shell.must_print("n", "4")?;
    nothing_is_left(shell)?;
    by_the_kernel(shell)?;
    without_a_store(shell)
}

/// Where there is no socket, tools of the store reach the daemon by the first domain's kernel, but for those who don't want
/// that.
fn by_the_kernel(shell: &mut Shell) -> Result<(), Verdict> {
    shell.output("stty columns 250; cd /run/xenstored; mv socket away")?;
    shell.output("xenstore-write k/a 1 k/b 'two words'")?;
    for (command, printed) in [
        ("xenstore-read k/b", "two words"),
        ("xenstore-read /local/domain/0/k/a", "1"),
        ("xenstore-list k | xargs", "a b"),
        ("xenstore-ls k | xargs", "a = 1 b = two words"),
        ("xenstore-exists k/a && echo there", "there"),
        (
            "xenstore-chmod k/a n0 r3; xenstore-ls -p k | grep -o 'n0,r3'",
            "n0,r3",
        ),
        ("xenstore-control check", "OK"),
    ] {
        shell.must_print(command, printed)?;
    }
    shell.output("({ xenstore-watch -n 2 k; echo end; } >/tmp/o &)")?;
    shell.output("until grep -q . /tmp/o; do sleep 1; done")?;
    shell.output("xenstore-rm k/b; until grep -q end /tmp/o; do sleep 1; done")?;
    shell.must_print("xargs </tmp/o", "k k/b end")?;
    let told = "No such file or directory (os error 2); is xenstored running?";
    let told =
        format!("xenstore-read: the store is not reached at /var/run/xenstored/socket: {told}");
    shell.must_print("xenstore-read -s domid 2>&1; true", &told)?;
    shell
        .output("xenstore-rm k; mv away socket; cd /")
        .map(drop)
}

/// Where no store daemon runs, tools of the store say so, although the kernel takes their requests.
fn without_a_store(shell: &mut Shell) -> Result<(), Verdict> {
    shell.output("kill $(cat /run/xenstored.pid); sleep 1")?;
    for (command, tool) in [
        ("xenstore-read domid", "xenstore-read"),
        ("xenstore-ls", "xenstore-ls"),
        ("xenstore-write /a 1", "xenstore-write"),
    ] {
        let sentence = "the store is not reached at /var/run/xenstored/socket: it does not answer within 10 seconds";
        let told = format!("{tool}: {sentence}; is xenstored running?");
        shell.must_print(&format!("{command} 2>&1; echo = $? >/tmp/s"), &told)?;
        shell.must_print("cat /tmp/s", "= 1")?;
    }
    shell.output("xenstored").map(drop)
}

/// Destroyed while the first domain still maps a frame of its console, a guest is listed as dying until that is given up.
fn lingers(shell: &mut Shell) -> Result<(), Verdict> {
    create(shell, "")?;
    leave(shell)?;
    shell.output("n=$(xm domid demo); p=$(pidof xenconsoled); kill -STOP $p")?;
    shell.output("xm destroy demo")?;
    shell.must_print("xm domid demo 2>/dev/null | wc -l", "0")?;
    let listed = "xm list | awk '$2 == '$n' { print $1 $5 }' | tr -d 0-9";
    shell.must_print(listed, "(unknown-)-----d")?;
    shell.output("kill -CONT $p")?;
    shell.output_within(
        "while xm list | grep -q unknown; do sleep 1; done",
        GUEST_LIMIT,
    )?;
    nothing_is_left(shell)
}

/// What the guest says is a line a second with its clock. Paused, it says nothing; afterwards it goes on, and its clock is
/// as far from the first domain's as it was.
fn stands_still(shell: &mut Shell) -> Result<(), Verdict> {
    shell.output("L=/var/log/xen/console/guest-demo.log")?;
    shell.output("last() { grep ^t $L | tail -n1 | tr -dc 0-9; }")?;
    shell.output("off() { echo $(($(date +%s) - $(last))); }")?;
    shell.output("lines() { grep -c ^t $L; }")?;
    shell.output_within("while [ $(lines) -lt 3 ]; do sleep 1; done", GUEST_LIMIT)?;
    shell.output("a=$(off)")?;
    shell.output("xm pause demo && sleep 1 && n=$(lines)")?;
    shell.must_print("xm list demo | awk 'NR == 2 { print $5 }'", "--p---")?;
    shell.must_print("xm domstate demo", "paused by admin")?;
    shell.output("sleep 5")?;
    shell.must_print(
        "echo $(($(lines) - n)) lines while paused",
        "0 lines while paused",
    )?;
    shell.output("xm unpause demo")?;
    shell.output_within(
        "while [ $(lines) -lt $((n + 3)) ]; do sleep 1; done",
        GUEST_LIMIT,
    )?;
    // Whole seconds, read one after the other.
    shell.must_print("d=$(($(off) - a)); echo $((d * d <= 4))", "1")
}

/// Guests start by themselves, and end before the first domain.
fn autostart(shell: &mut Shell) -> Result<(), Verdict> {
    let [link] = super::manual::recipe("### Guests that start by themselves")?;
    super::dom0_disk::type_block(shell, &link)?;
    shell.output("sed -i s/5000000/0/ /etc/default/xendomains")?;
    shell.must_print("xendomains start", "demo started")?;
    shell.must_print("xendomains start", "demo (skip)")?;
    let log = "/var/log/xen/console/guest-demo.log";
    let ready = format!("until grep -q 'is a guest' {log}; do sleep 1; done");
    shell.output_within(&ready, GUEST_LIMIT)?;
    let stop = "xendomains stop 2>/dev/null";
    let lines = shell.output_within(stop, GUEST_LIMIT)?;
    if lines != ["demo shut down"] {
        return Err(Verdict::Fail(format!("xendomains stop prints {lines:?}")));
    }
    nothing_is_left(shell)
}

const COMPUTE_PROCESSORS: u32 = 2;
/// Of 32 MiB of zeros.
const SUM: &str = "58f06dd588d8ffb3beb46ada6309436b";
/// So many that all three compute at once.
const ROUNDS: u32 = 2;

/// How long a guest does nothing in between, in seconds.
const IDLE_S: u32 = 3;

/// Two guests and the first domain compute checksums at once, all are right, and all tell the same of the time.
fn compute(shell: &mut Shell) -> Result<(), Verdict> {
    let sums = format!("for i in $(seq {ROUNDS}); do head -c 33554432 /dev/zero | md5sum; done");
    let names = ["one", "two"];
    for name in names {
        shell.send(&format!("xm create -c demo name={name}\n"))?;
        shell.must_say_within(&format!("^Started domain {name} "), GUEST_LIMIT)?;
        shell.must_ask(GUEST_PROMPT, GUEST_LIMIT)?;
        accounts::prepare_to_tell(shell)?;
        leave(shell)?;
    }
    let before = [Ran::look(shell, names[0])?, Ran::look(shell, names[1])?];
    // Not the shell's own: it would say when it ends, at any moment.
    shell.output(&format!("({{ {sums}; mv /tmp/s /tmp/sums; }} >/tmp/s &)"))?;
    let tell = accounts::TELL;
    for name in names {
        shell.send(&format!("xm console {name}\n"))?;
        shell.send("\n")?;
        shell.must_ask(GUEST_PROMPT, GUEST_LIMIT)?;
        shell.send(&format!("{{ {tell}; {sums}; sleep {IDLE_S};\n"))?;
        shell.send(&format!("{tell}; echo o$((1))ver; }} &\n"))?;
        leave(shell)?;
    }
    accounts::add_up(shell, COMPUTE_PROCESSORS)?;
    accounts::are_those_of_xm(shell)?;
    shell.output("cd /var/log/xen/console")?;
    let wait = "until [ -e /tmp/sums ]; do sleep 1; done";
    shell.output_within(wait, GUEST_LIMIT)?;
    for (name, before) in names.into_iter().zip(before) {
        let log = format!("guest-{name}.log");
        let wait = format!("until grep -q o1ver {log}; do sleep 1; done");
        shell.output_within(&wait, GUEST_LIMIT)?;
        accounts::are_those_of_guest(shell, name, before)?;
        shell.output(&format!(
            "grep -o '[0-9a-f]\\{{32\\}}  -' {log} >>/tmp/sums"
        ))?;
    }
    shell.must_print(
        "sort /tmp/sums | uniq -c | tr -s ' '",
        &format!(" {} {SUM} -", 3 * ROUNDS),
    )?;
    shell.output("xm destroy one && xm destroy two; cd /")?;
    nothing_is_left(shell)
}

/// A guest that has lived for a minute is built again, asked for from outside and from inside, with its name, its identity,
/// and what is on its disk.
fn reboot(shell: &mut Shell, mib: u32) -> Result<(), Verdict> {
    shell.output("stty columns 250; truncate -s 64M /tmp/a.img")?;
    create(shell, "disk=file:/tmp/a.img,xvda,w")?;
    in_guest(shell, "stty columns 250")?;
    let written = sum_of(&in_guest(shell, &filling("/dev/xvda", mib))?)?;
    leave(shell)?;
    shell.output("xm list --long demo | grep uuid > /tmp/before")?;
    shell.output_within("sleep 61", GUEST_LIMIT)?;
    let lines = shell.output_within("xm reboot -w demo", GUEST_LIMIT)?;
    if lines != ["Domain demo rebooted", "All domains rebooted"] {
        return Err(Verdict::Fail(format!("xm reboot -w prints {lines:?}")));
    }
    shell.output("xm list --long demo | grep uuid > /tmp/after")?;
    shell.output("cmp /tmp/before /tmp/after")?;
    shell.send("xm console demo\n")?;
    shell.must_ask(GUEST_PROMPT, GUEST_LIMIT)?;
    in_guest(shell, "stty columns 250")?;
    let read = in_guest(shell, &format!("head -c {mib}m /dev/xvda | md5sum"))?;
    must_be_same("what is on the disk", &written, &sum_of(&read)?)?;
    // From inside, the same: it comes back with another number, to its shell.
    in_guest(shell, "sleep 61")?;
    shell.send("reboot\n")?;
    shell.must_prompt()?;
    let back = "until xm domid demo | grep -qx 3; do sleep 1; done";
    shell.output_within(back, GUEST_LIMIT)?;
    shell.output("xm list --long demo | grep uuid > /tmp/after")?;
    shell.output("cmp /tmp/before /tmp/after")?;
    shell.send("xm console demo\n")?;
    shell.must_ask(GUEST_PROMPT, GUEST_LIMIT)?;
    leave(shell)?;
    shell.output("xm destroy demo")?;
    nothing_is_left(shell)
}

/// Mistakes are told in a sentence and by the exit status, and leave nothing behind.
fn refusals(shell: &mut Shell) -> Result<(), Verdict> {
    shell.output("head -c 1000000 /boot/vmlinuz > /tmp/cut")?;
    shell.output("echo 'memory = = 1' > /tmp/wrong")?;
    // What the first guest brings once and for all is no leak: a domain is made, and taken away again.
    is_refused(shell, "xm create -q demo memory=16", TOO_SMALL, 1)?;
    let free = "xm info -m | grep free_kib";
    let before = shell.output(free)?;
    for (command, sentence, status) in [
        (
            "xm create none",
            "Error: Unable to open config file: none",
            1,
        ),
        (
            "xm create -q demo kernel=/none",
            "Error: Cannot find kernel \"/none\"",
            1,
        ),
        (
            "xm create -q demo memory=4000",
            "Error: I need 4098048 KiB, but dom0_min_mem is 200704",
            1,
        ),
        (
            "xm mem-set Domain-0 195",
            "Error: memory_dynamic_max too small",
            1,
        ),
        (
            "xm create -q demo ioports=02f8-02ff",
            "Error: command line: ioports = [... '02f8-02ff' ...]: only the first domain may use ports of the machine; leave it out",
            1,
        ),
        (
            "xm create -q demo irq=x",
            "Error: command line: irq = [... 'x' ...]: it is no interrupt",
            1,
        ),
        ("xm create -q demo memory=16", TOO_SMALL, 1),
        (
            "xm create -q demo kernel=/tmp/cut",
            "Error: the bzImage is truncated",
            1,
        ),
        (
            "xm create -q demo name=Domain-0",
            "Error: Domain 'Domain-0' already exists",
            1,
        ),
        (
            "xm create -q /tmp/wrong",
            "Error: Errors were found at line 1 while processing /tmp/wrong:",
            1,
        ),
        ("xm destroy demo", "Error: Domain 'demo' does not exist.", 3),
    ] {
        is_refused(shell, command, sentence, status)?;
    }
    let after = shell.output(free)?;
    if before.len() != 1 || before != after {
        return Err(Verdict::Fail(format!(
            "before refusals {before:?}, and afterwards {after:?}"
        )));
    }
    Ok(())
}

const TOO_SMALL: &str = "Error: the kernel and what it starts with take";

/// A command prints a line that begins so, ends with a status, and no guest is there.
fn is_refused(shell: &mut Shell, command: &str, sentence: &str, status: u8) -> Result<(), Verdict> {
    is_told(shell, command, sentence, status)?;
    nothing_is_left(shell)
}

/// A command prints a line that begins so, and ends with a status.
fn is_told(shell: &mut Shell, command: &str, sentence: &str, status: u8) -> Result<(), Verdict> {
    let lines = shell.output(&format!("{command} 2>&1; echo = $?"))?;
    let is_told = lines.iter().any(|line| line.starts_with(sentence));
    let ended = lines.last().cloned().unwrap_or_default();
    if !is_told || ended != format!("= {status}") {
        return Err(Verdict::Fail(format!(
            "'{command}' prints {lines:?} instead of '{sentence}' and = {status}"
        )));
    }
    Ok(())
}

/// The tools and the hypervisor are of different versions: a sentence says so, whatever is tried, and nothing is begun.
fn other_version(context: &Context<'_>) -> Verdict {
    let machine = Machine::default();
    let boot = Boot {
        image: Some(TEST_IMAGE),
        options: " test=other-version",
        ..Boot::of(&machine)
    };
    let judged = boot.shell(context).and_then(|mut shell| {
        for (command, doing) in [
            ("xm list", "Error: asking about the machine"),
            ("xm create -q demo", "Error: asking about the machine"),
            ("xm pause demo", "Error: asking about the machine"),
            ("xend start", "xend: listing domains"),
        ] {
            let sentence = format!("{doing} {OTHER_VERSION}");
            is_told(&mut shell, command, &sentence, 1)?;
        }
        shell.must_print("xenstore-list /local/domain", "0")?;
        shell.must_print("ls /var/lib/xend/running 2>/dev/null | wc -l", "0")?;
        shell.send("poweroff\n")?;
        shell.must_end()?;
        Ok(Verdict::Pass("all tools say so".into()))
    });
    judged.unwrap_or_else(|verdict| verdict)
}

const OTHER_VERSION: &str = "is refused: these tools and the hypervisor are of different interface versions; install tools that belong to the running hypervisor";
