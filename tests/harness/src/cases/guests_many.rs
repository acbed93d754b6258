//! Many guests, and bad ones, under `xm`: tiny kernels, which cost next to nothing, beside a stock first domain.
//!
//! `tests/tiny-guests` makes what is booted.

use super::guests::nothing_is_left;
use super::shell::{Boot, Shell};
use super::{Extent, dom0_load, guests_images, pattern};
use crate::machine::{Board, Machine};
use crate::suite::{Case, Context};
use crate::verdict::Verdict;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

pub(super) const INITRD: &str = "build/tiny-guests/initrd";
/// Guests that come and go, all asked for and else.
const CYCLES: (u32, u32) = (200, 16);
/// Guests with disks and networks that come and go, where all is asked for: each takes many times as long.
const CYCLES_WITH_DEVICES: u32 = 100;
/// Each cycle of so many has a guest with a stock kernel, too, which connects its devices and uses them.
const STOCK: u32 = 10;
/// Cycles after which lists that grow and stay have grown.
const FIRST_CYCLES: u32 = 8;
/// For a cycle, on a machine with much else to do.
const CYCLE_LIMIT: Duration = Duration::from_secs(30);
/// Guests at once, where the machine has a GiB.
const MANY: u32 = 50;
const MANY_LIMIT: Duration = Duration::from_secs(900);
/// `xm list` of all of them takes less, the quickest of three, on an emulated processor with much else to do. A sixth of that
/// is usual.
const MOST_LIST_SECONDS: f64 = 1.0;
/// How long the store is attacked, all asked for and else.
const ATTACK: (Duration, Duration) = (Duration::from_secs(40), Duration::from_secs(15));
/// What an honest guest waits for the store at most.
const MOST_WAIT_MS: u64 = 5_000;
/// What it gets done at least, a second.
const LEAST_REQUESTS: u64 = 1;
/// What the store may take then: two guests' quotas, and itself.
const MOST_STORE_KIB: u64 = 64 << 10;
/// What it may write into its log meanwhile.
const MOST_LOG_BYTES: u64 = 64 << 10;
const LOG: &str = "/var/log/xen/xenstored.log";

/// All cases.
pub fn cases(extent: Extent) -> Vec<Case> {
    let (cycles, attack) = match extent {
        Extent::WholeProduct => (CYCLES.0, ATTACK.0),
        Extent::AllPairs => (CYCLES.1, ATTACK.1),
    };
    let mut cases = vec![
        case("come-and-go", move |shell| {
            come_and_go(shell, cycles, FIRST_CYCLES, 0)
        }),
        case("many", many),
        case("outputs", |shell| {
            super::outputs::are_as_specified(shell)?;
            Ok("every subcommand prints what is specified".into())
        }),
        case("store-attacked", move |shell| store_attacked(shell, attack)),
    ];
    if extent == Extent::WholeProduct {
        cases.push(case_on(
            "devices-come-and-go",
            dom0_load::test_disk,
            |shell| {
                give_devices(shell)?;
                come_and_go(shell, CYCLES_WITH_DEVICES, 1, CYCLES_WITH_DEVICES / STOCK)
            },
        ));
    }
    cases
}

pub(super) fn case(
    name: &str,
    judge: impl Fn(&mut Shell) -> Result<String, Verdict> + Send + Sync + 'static,
) -> Case {
    case_on(name, || Ok(Vec::new()), judge)
}

/// The same on a machine that has more.
fn case_on(
    name: &str,
    extra: impl Fn() -> Result<Vec<String>, Verdict> + Send + Sync + 'static,
    judge: impl Fn(&mut Shell) -> Result<String, Verdict> + Send + Sync + 'static,
) -> Case {
    Case::new(format!("guests/{name}"), move |context| {
        extra()
            .and_then(|extra| boot(context, extra))
            .and_then(|mut shell| {
                let said = judge(&mut shell)?;
                shell.must_be_healthy()?;
                shell.send("poweroff\n")?;
                shell.must_end()?;
                Ok(Verdict::Pass(said))
            })
            .unwrap_or_else(|verdict| verdict)
    })
}

fn boot(context: &Context<'_>, extra: Vec<String>) -> Result<Shell, Verdict> {
    make()?;
    let machine = Machine { extra, ..machine() };
    Boot {
        initrd: Some(Path::new(INITRD)),
        ..Boot::of(&machine)
    }
    .shell(context)
}

/// Makes what is booted.
pub(super) fn make() -> Result<(), Verdict> {
    let made = Command::new("tests/tiny-guests")
        .output()
        .map_err(|error| Verdict::NoVerdict(format!("tests/tiny-guests: {error}")))?;
    if made.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&made.stderr).trim().to_string();
    Err(Verdict::Skipped(why))
}

/// What it is booted on.
pub(super) fn machine() -> Machine {
    Machine {
        board: Board::Q35,
        processors: 2,
        ..Machine::default()
    }
}

/// Guests come and go, so many that use their devices among them; tools and `xend` are killed meanwhile: what is left is what
/// was there.
fn come_and_go(
    shell: &mut Shell,
    cycles: u32,
    first: u32,
    nr_stock: u32,
) -> Result<String, Verdict> {
    shell.output_within(&format!("churn {first} 1"), CYCLE_LIMIT * (first + 3))?;
    shell.output("what-is-there > /tmp/before")?;
    for told in [
        "^node ",
        "^hypervisor Event channels",
        "^hypervisor domain 0: .* mappings of others",
        "^hypervisor .*free",
    ] {
        shell.output(&format!("grep -q '{told}' /tmp/before"))?;
    }
    let seed = seed();
    let again = |said: String| format!("{said}; SEED={seed} does the same again");
    let lines = shell.output_within(&format!("churn {cycles} {seed}"), CYCLE_LIMIT * cycles)?;
    shell.output("what-is-there > /tmp/after")?;
    let left = shell.output("diff /tmp/before /tmp/after || true")?;
    if !left.is_empty() {
        return Err(Verdict::Fail(again(format!("something is left: {left:?}"))));
    }
    let said = lines.last().cloned().unwrap_or_default();
    let numbers: Vec<u32> = pattern(r"\d+")?
        .find_iter(&said)
        .filter_map(|number| number.as_str().parse().ok())
        .collect();
    let &[_, _, early, middle, end, _, daemons, stock] = numbers.as_slice() else {
        return Err(Verdict::Fail(again(format!("churn says {said:?}"))));
    };
    // Of few cycles, chance may leave out a part of a tool's life.
    let least = if cycles >= CYCLES_WITH_DEVICES { 1 } else { 0 };
    if early + middle + end == 0 || [early, middle, end, daemons].iter().any(|&n| n < least) {
        return Err(Verdict::Fail(again(format!(
            "not killed at all times: {said}"
        ))));
    }
    if stock != nr_stock {
        return Err(Verdict::Fail(again(format!(
            "{nr_stock} guests were to use their devices: {said}"
        ))));
    }
    Ok(again(format!("{cycles} guests came and went; {said}")))
}

/// Each guest has a disk whose image is served, one by a loop device, and an interface; so has one with a stock kernel.
fn give_devices(shell: &mut Shell) -> Result<(), Verdict> {
    guests_images::install(shell)?;
    for command in [
        "truncate -s 4M base.img raw.img",
        "qemu-img create -q -f qcow2 -b base.img -F raw over.qcow2",
        "D=\"'tap:qcow2:/tmp/over.qcow2,xvda,w','file:/tmp/raw.img,xvdb,w'\"",
        "sed 's/\"demo\"/\"stock\"/' /etc/xen/demo >/etc/xen/stock",
        "for f in tiny stock; do echo \"disk=[$D]; vif=['bridge=xenbr0']\" >>/etc/xen/$f; done",
    ] {
        shell.output(command)?;
    }
    shell.output(&format!("export STOCK={STOCK}")).map(drop)
}

/// What decides what is killed when: what the environment says, else another one each time.
pub(super) fn seed() -> u32 {
    let said = std::env::var("SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    said.unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.map_or(1, |now| now.subsec_nanos() % 1_000_000)
    })
}

/// Many guests run at once, and one that dies at once leaves nothing.
fn many(shell: &mut Shell) -> Result<String, Verdict> {
    dies_at_once(shell)?;
    let create = "xm create -q tiny name=tiny$i";
    shell.output_within(
        &format!("for i in $(seq {MANY}); do {create} || break; done"),
        MANY_LIMIT,
    )?;
    // The last of them may still be starting.
    shell.output("c() { xm list | grep -c '^tiny.* 8 .* -b----';}")?;
    shell.output(&format!(
        "for i in $(seq 20);do [ $(c) = {MANY} ]&&break;sleep 1;done"
    ))?;
    shell.must_print("c", &MANY.to_string())?;
    let mut shortest = f64::INFINITY;
    for _ in 0..3 {
        let lines = shell.output("time -p xm list 2>&1 >/dev/null")?;
        let seconds = lines
            .iter()
            .find_map(|line| line.strip_prefix("real")?.trim().parse().ok());
        let seconds: f64 =
            seconds.ok_or_else(|| Verdict::NoVerdict(format!("time prints {lines:?}")))?;
        shortest = shortest.min(seconds);
    }
    if shortest > MOST_LIST_SECONDS {
        return Err(Verdict::TooSlow(format!("xm list takes {shortest} s")));
    }
    let destroy = "xm destroy tiny$i";
    shell.output_within(
        &format!("for i in $(seq {MANY}); do {destroy} || break; done"),
        MANY_LIMIT,
    )?;
    shell.must_print("xm list | awk 'NR > 1 { print $1 }'", "Domain-0")?;
    Ok(format!(
        "{MANY} guests; xm list of them takes {shortest:.2} s"
    ))
}

/// One that dies at once is told, and then done with as its configuration wants.
fn dies_at_once(shell: &mut Shell) -> Result<(), Verdict> {
    const CRASHED: &str = "Error: the guest's kernel has crashed at once";
    shell.output("d() { xm create -q tiny extra='test=none end=domain' $1 2>/tmp/e; }")?;
    let told = |on_crash: &str| format!("d on_crash={on_crash}; echo = $?");
    for on_crash in ["destroy", "restart"] {
        shell.must_print(&told(on_crash), "= 1")?;
        let sentence = format!("{CRASHED}. It has printed nothing.");
        shell.must_print("head -n1 /tmp/e", &sentence)?;
        nothing_is_left(shell)?;
    }
    shell.must_print(&told("preserve"), "= 1")?;
    let kept = "; it is kept, as on_crash = preserve says, until 'xm destroy tiny'.";
    let sentence = format!("{CRASHED}{kept} It has printed nothing.");
    shell.must_print("head -n1 /tmp/e", &sentence)?;
    shell.must_print("xm list tiny | awk 'NR == 2 { print $5 }'", "----c-")?;
    shell.output("xm destroy tiny")?;
    nothing_is_left(shell)?;
    // What it said last is shown.
    let last_words = "stty columns 250; x='test=guest/last-words end=domain'";
    shell.output(last_words)?;
    shell.must_print(
        "xm create -q tiny extra=\"$x\" on_crash=destroy 2>/tmp/e; echo = $?",
        "= 1",
    )?;
    let lines = shell.output("cat /tmp/e")?;
    let told = format!("{CRASHED}. Its last words:");
    let wanted = [&*told, "    there is no root", "    nothing can be done"];
    if lines != wanted {
        return Err(Verdict::Fail(format!("{lines:?} instead of {wanted:?}")));
    }
    nothing_is_left(shell)
}

/// One number that a command prints.
pub(super) fn number(shell: &mut Shell, command: &str) -> Result<u64, Verdict> {
    let lines = shell.output(command)?;
    let number = lines.last().and_then(|line| line.trim().parse().ok());
    number.ok_or_else(|| Verdict::Fail(format!("'{command}' prints {lines:?}")))
}

/// Two guests do what they can to the store, and a third one is served.
fn store_attacked(shell: &mut Shell, attack: Duration) -> Result<String, Verdict> {
    let process = "$(cat /run/xenstored.pid)";
    shell.output(&format!("echo {process} > /tmp/process"))?;
    let kind = |name: &str| format!("extra='test=guest/{name} end=domain seed=$i'");
    for (number, name) in [(1, "store-attack"), (2, "store-attack"), (3, "store-use")] {
        let extra = kind(name).replace("$i", &number.to_string());
        shell.output(&format!("xm create -q tiny name=tiny{number} {extra}"))?;
    }
    let count = "xenstore-read /local/domain/$(xm domid tiny3)/data/count";
    let memory = format!("awk '/^VmRSS/ {{ print $2 }}' /proc/{process}/status");
    shell.output_within(&format!("sleep {}", attack.as_secs()), attack * 4)?;
    let done = number(shell, count)?;
    let waited = number(
        shell,
        "xenstore-read /local/domain/$(xm domid tiny3)/data/longest-ms",
    )?;
    let kib = number(shell, &memory)?;
    shell.output("sleep 10")?;
    let later = number(shell, &memory)?;
    // All live, and so does the daemon that served them first.
    shell.must_print("xm list | grep -c '^tiny.* [-r][-b]----'", "3")?;
    shell.output(&format!("[ \"{process}\" = \"$(cat /tmp/process)\" ]"))?;
    shell.output("xenstore-control check | grep -x OK")?;
    for quota in ["nodes", "watches", "transactions"] {
        shell.output(&format!("grep -q 'reached its quota {quota} ' {LOG}"))?;
    }
    let log = number(shell, &format!("wc -c < {LOG}"))?;
    let said = format!(
        "{done} requests of the third guest, the longest answered in {waited} ms; the store has {later} KiB, its log {log} bytes"
    );
    let is_wrong = done < LEAST_REQUESTS * attack.as_secs()
        || waited > MOST_WAIT_MS
        || later.max(kib) > MOST_STORE_KIB
        || log > MOST_LOG_BYTES;
    shell.output("for i in 1 2 3; do xm destroy tiny$i; done")?;
    if is_wrong {
        return Err(Verdict::Fail(said));
    }
    Ok(said)
}
