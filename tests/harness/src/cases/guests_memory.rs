//! Memory that goes from a stock guest to others and back, and from the first domain to guests.

use super::Extent;
use super::guests::{GUEST_LIMIT, GUEST_PROMPT, create, leave, nothing_is_left};
use super::guests_many::{self, number};
use super::shell::{Boot, Shell};
use crate::machine::{Board, Machine};
use crate::suite::Case;
use crate::verdict::Verdict;
use std::time::{Duration, Instant};

/// What the first domain keeps: it has 512 MiB at the start, of the machine's 1024.
const FIRST_LEAST_MIB: u64 = 300;
const FIRST_MIB: u64 = 512;
/// What guests have at the start, what they may have, and the least that they are brought down to.
const START_MIB: u64 = 192;
const MOST_MIB: u64 = 256;
const LEAST_MIB: u64 = 64;
/// Of a stock kernel: its code, its data and its lists of frames are 51 MiB, and what it makes of them when it starts 25
/// more. It gives no more up than that, on no hypervisor, and ends when it is brought there and still has to work.
const LEAST_OF_STOCK_MIB: u64 = 96;
/// From one target to the next, all asked for.
const STEP_MIB: usize = 32;
/// What it may have for a while, and what it would like then.
const LIMIT_MIB: u64 = 224;
/// Of another guest, for which the first domain has to give some up; and of one for which it would be too much.
const OTHER_MIB: u64 = 320;
const TOO_MUCH_MIB: u64 = 600;
/// Until a kernel has followed its target, with much else to do.
const FOLLOW_LIMIT: Duration = Duration::from_secs(120);
/// Looks at a guest that can't get what it would like.
const LOOKS: u32 = 5;

/// All cases.
pub fn cases(extent: Extent) -> Vec<Case> {
    let sweep = guests_many::case("memory-sweep", move |shell| sweep(shell, extent));
    let memory = Case::new("guests/memory", move |context| {
        let machine = Machine {
            board: Board::Q35,
            processors: 2,
            ..Machine::default()
        };
        let judged = Boot::of(&machine).shell(context).and_then(|mut shell| {
            let said = memory(&mut shell, extent)?;
            shell.must_be_healthy()?;
            shell.send("poweroff\n")?;
            shell.must_end()?;
            Ok(Verdict::Pass(said))
        });
        judged.unwrap_or_else(|verdict| verdict)
    });
    vec![memory, sweep]
}

/// What `xm info --memory` shows, in KiB.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Accounts {
    total: u64,
    hypervisor: u64,
    domains: u64,
    free: u64,
    claimed: u64,
    refusal: String,
    rows: Vec<Row>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Row {
    name: String,
    current: u64,
    target: u64,
    /// None for no limit.
    maximum: Option<u64>,
    ballooned: u64,
}

impl Accounts {
    fn read(lines: &[String]) -> Option<Self> {
        let mut accounts = Self::default();
        for line in lines {
            if let Some((name, value)) = line.split_once(": ") {
                let number = || value.trim().parse().ok();
                match name.trim() {
                    "total_kib" => accounts.total = number()?,
                    "hypervisor_kib" => accounts.hypervisor = number()?,
                    "domains_kib" => accounts.domains = number()?,
                    "free_kib" => accounts.free = number()?,
                    "claimed_kib" => accounts.claimed = number()?,
                    "last_refusal" => accounts.refusal = value.to_owned(),
                    _ => return None,
                }
            } else if !line.starts_with("Name ") {
                let words: Vec<_> = line.split_whitespace().collect();
                let [name, _, current, target, maximum, ballooned] = words.as_slice() else {
                    return None;
                };
                accounts.rows.push(Row {
                    name: (*name).to_owned(),
                    current: current.parse().ok()?,
                    target: target.parse().ok()?,
                    maximum: match *maximum {
                        "unlimited" => None,
                        number => Some(number.parse().ok()?),
                    },
                    ballooned: ballooned.parse().ok()?,
                });
            }
        }
        Some(accounts)
    }

    fn row(&self, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.name == name)
    }

    /// What can't be right, whatever the moment.
    fn mistake(&self) -> Option<&'static str> {
        let rows: u64 = self.rows.iter().map(|row| row.current).sum();
        let is_beyond = |row: &Row| row.maximum.is_some_and(|most| row.current > most);
        if self.hypervisor + self.domains + self.free != self.total || rows != self.domains {
            Some("the accounts are not all of the memory")
        } else if self.claimed > self.free {
            Some("more is set aside than is free")
        } else if self.rows.iter().any(is_beyond) {
            Some("a domain has more than it may")
        } else if self
            .row("Domain-0")
            .is_none_or(|row| row.current < FIRST_LEAST_MIB << 10)
        {
            Some("the first domain has less than its least")
        } else {
            None
        }
    }
}

/// Asks, and judges what is told.
fn accounts(shell: &mut Shell) -> Result<Accounts, Verdict> {
    let lines = shell.output("xm info -m")?;
    let accounts = Accounts::read(&lines)
        .ok_or_else(|| Verdict::Fail(format!("'xm info -m' prints {lines:?}")))?;
    match accounts.mistake() {
        Some(mistake) => Err(Verdict::Fail(format!("{mistake}: {accounts:?}"))),
        None => Ok(accounts),
    }
}

/// Frames on their way from one owner to the next, which seem to be the hypervisor's for a moment: a kernel gives them up
/// by the thousand, and each processor has one in hand.
const MOST_ON_THE_WAY_KIB: u64 = 64;

/// Waits until a domain has so much and the hypervisor what it had before, to the last frame, and returns what was told
/// then: what one gives up another one has, or it is free.
fn has(shell: &mut Shell, name: &str, kib: u64, own_kib: u64) -> Result<Accounts, Verdict> {
    let began = Instant::now();
    loop {
        let told = accounts(shell)?;
        if told.hypervisor.abs_diff(own_kib) > MOST_ON_THE_WAY_KIB {
            return Err(Verdict::Fail(format!(
                "the hypervisor had {own_kib} KiB of its own: {told:?}"
            )));
        }
        match told.row(name) {
            Some(row) if row.current == kib && told.hypervisor == own_kib => return Ok(told),
            Some(_) if began.elapsed() < FOLLOW_LIMIT => {}
            _ => {
                return Err(Verdict::Fail(format!(
                    "{name} does not get to {kib} KiB, with the hypervisor's own at {own_kib}: {told:?}"
                )));
            }
        }
    }
}

/// What a kernel is asked to have, one after the other, and not less than this.
fn targets(extent: Extent, least_mib: u64) -> Vec<u64> {
    match extent {
        Extent::AllPairs => vec![least_mib, MOST_MIB],
        Extent::WholeProduct => {
            let up: Vec<_> = (least_mib..=MOST_MIB).step_by(STEP_MIB).collect();
            let down = up.iter().rev().skip(1);
            down.chain(up.iter().skip(1)).copied().collect()
        }
    }
}

fn first_keeps_some(shell: &mut Shell) -> Result<(), Verdict> {
    let least = format!("(dom0-min-mem {FIRST_LEAST_MIB})");
    shell.output(&format!("echo '{least}' >>/etc/xen/xend-config.sxp"))?;
    shell.output("xend reload").map(drop)
}

/// Brings a guest to a size, with all accounts as they should be.
fn is_brought_to(
    shell: &mut Shell,
    name: &str,
    mib: u64,
    own_kib: u64,
) -> Result<Accounts, Verdict> {
    shell.output_within(&format!("xm mem-set {name} {mib}"), GUEST_LIMIT)?;
    let told = has(shell, name, mib << 10, own_kib)?;
    let row = told
        .row(name)
        .map(|row| (row.target, row.maximum, row.ballooned));
    if row != Some((mib << 10, Some(MOST_MIB << 10), (MOST_MIB - mib) << 10)) {
        return Err(Verdict::Fail(format!("the guest's row is {row:?}")));
    }
    Ok(told)
}

/// A kernel that can do with next to nothing goes through all sizes, and looks at what lies in its memory. Another guest has
/// taken so much that the first domain has to give some up for the largest.
fn sweep(shell: &mut Shell, extent: Extent) -> Result<String, Verdict> {
    first_keeps_some(shell)?;
    let create = format!("xm create -q tiny memory={START_MIB} maxmem={MOST_MIB}");
    let kernel = "extra='test=guest/balloon end=domain'";
    shell.output_within(&format!("{create} {kernel}"), GUEST_LIMIT)?;
    shell.output("d() { xenstore-read /local/domain/$(xm domid tiny)/data/$1; }")?;
    shell.output_within("until d checked 2>/dev/null; do sleep 1; done", GUEST_LIMIT)?;
    let free_mib = accounts(shell)?.free >> 10;
    let others_mib = free_mib.saturating_sub((MOST_MIB - START_MIB) / 2);
    let create = "xm create -q -p tiny name=other";
    shell.output_within(&format!("{create} memory={others_mib}"), GUEST_LIMIT)?;
    let before = accounts(shell)?;
    let own_kib = before.hypervisor;
    let targets = targets(extent, LEAST_MIB);
    let mut checked = 0;
    for mib in &targets {
        let before = number(shell, "d checked")?;
        is_brought_to(shell, "tiny", *mib, own_kib)?;
        let goes_on = format!("until [ $(d checked) -gt {before} ]; do sleep 1; done");
        shell.output_within(&goes_on, GUEST_LIMIT)?;
        checked = number(shell, "d checked")?;
        shell.must_print("d wrong", "0")?;
    }
    let given_kib = given(&before, &accounts(shell)?);
    if given_kib == 0 {
        return Err(Verdict::Fail("the first domain has given nothing".into()));
    }
    shell.output("xm destroy tiny; xm destroy other")?;
    nothing_is_left(shell)?;
    Ok(format!(
        "a guest was brought to {targets:?} MiB, for which the first domain gave {given_kib} KiB, and looked {checked} times at a frame"
    ))
}

/// What the first domain has less than before.
fn given(before: &Accounts, now: &Accounts) -> u64 {
    let has = |told: &Accounts| told.row("Domain-0").map_or(0, |row| row.current);
    has(before).saturating_sub(has(now))
}

fn memory(shell: &mut Shell, extent: Extent) -> Result<String, Verdict> {
    first_keeps_some(shell)?;
    create(shell, &format!("memory={START_MIB} maxmem={MOST_MIB}"))?;
    computes(shell)?;
    leave(shell)?;
    let own_kib = accounts(shell)?.hypervisor;
    let targets = targets(extent, LEAST_OF_STOCK_MIB);
    for mib in &targets {
        is_brought_to(shell, "demo", *mib, own_kib)?;
    }
    is_held_to_its_limit(shell, own_kib)?;
    is_right(shell)?;
    first_gives_some_up(shell)?;
    is_right(shell)?;
    shell.output("xm destroy demo")?;
    nothing_is_left(shell)?;
    Ok(format!("a guest was brought to {targets:?} MiB"))
}

/// A guest that would like more than it may have gets that and no more.
fn is_held_to_its_limit(shell: &mut Shell, own_kib: u64) -> Result<(), Verdict> {
    shell.output(&format!("xm mem-set demo {START_MIB}"))?;
    has(shell, "demo", START_MIB << 10, own_kib)?;
    shell.output(&format!("xm mem-max demo {LIMIT_MIB}"))?;
    in_guest(shell, |shell| {
        shell.send("cd /sys/devices/system/xen_memory/xen_memory0\n")?;
        shell.must_ask(GUEST_PROMPT, GUEST_LIMIT)?;
        shell.send(&format!("echo {} >target_kb; cd /tmp\n", MOST_MIB << 10))?;
        shell.must_ask(GUEST_PROMPT, GUEST_LIMIT)
    })?;
    for _ in 0..LOOKS {
        has(shell, "demo", LIMIT_MIB << 10, own_kib)?;
        shell.output("sleep 1")?;
    }
    shell.output(&format!("xm mem-set demo {START_MIB}"))?;
    has(shell, "demo", START_MIB << 10, own_kib).map(drop)
}

/// Another guest takes more than is free, and the first domain's target is lowered by as much as that takes. What would
/// bring it below its least is refused, and changes nothing.
fn first_gives_some_up(shell: &mut Shell) -> Result<(), Verdict> {
    let target = |told: &Accounts| told.row("Domain-0").map_or(0, |row| row.target);
    let before = accounts(shell)?;
    let create = "xm create -q -p demo name=other";
    shell.output_within(&format!("{create} memory={OTHER_MIB}"), GUEST_LIMIT)?;
    let with_other = accounts(shell)?;
    let missing = (OTHER_MIB << 10).saturating_sub(before.free);
    // And what the hypervisor needs beside, and whole MiB.
    let given = target(&before).saturating_sub(target(&with_other));
    if missing == 0 || given < missing || given > missing + (8 << 10) {
        return Err(Verdict::Fail(format!(
            "the first domain is to give {given} KiB for {missing}: {with_other:?}"
        )));
    }
    let create = "xm create -q demo name=third";
    let said = shell.output(&format!("{create} memory={TOO_MUCH_MIB} 2>&1|head -1"))?;
    let after = accounts(shell)?;
    let least = format!("but dom0_min_mem is {} and", FIRST_LEAST_MIB << 10);
    let is_told = |text: &str| text.contains("I need ") && text.contains(&least);
    let is_noted = after.refusal.contains(" third: ") && is_told(&after.refusal);
    if !said.iter().any(|line| is_told(line)) || !is_noted || target(&after) != target(&with_other)
    {
        return Err(Verdict::Fail(format!(
            "{said:?}; {with_other:?}, then {after:?}"
        )));
    }
    shell.output("xm destroy other")?;
    shell.output(&format!("xm mem-set Domain-0 {FIRST_MIB}"))?;
    has(shell, "Domain-0", FIRST_MIB << 10, before.hypervisor).map(drop)
}

/// The guest computes checksums of what lies in its memory, and says when one is wrong.
fn computes(shell: &mut Shell) -> Result<(), Verdict> {
    shell.send("rm -r /lib/modules; cd /tmp\n")?;
    shell.must_ask(GUEST_PROMPT, GUEST_LIMIT)?;
    shell.send("head -c 4194304 /dev/urandom >f; s() { md5sum <f; }\n")?;
    shell.must_ask(GUEST_PROMPT, GUEST_LIMIT)?;
    shell.send("a=$(s); is() { [ \"$(s)\" = \"$a\" ]; }\n")?;
    shell.must_ask(GUEST_PROMPT, GUEST_LIMIT)?;
    shell.send("while is; do echo >>n; done &\n")?;
    shell.must_ask(GUEST_PROMPT, GUEST_LIMIT)
}

fn is_right(shell: &mut Shell) -> Result<(), Verdict> {
    in_guest(shell, |shell| {
        shell.send("kill -0 $! && [ $(wc -l <n) -gt 2 ] && echo ri$((4))t\n")?;
        shell.must_say("^ri4t$")?;
        shell.must_ask(GUEST_PROMPT, GUEST_LIMIT)
    })
}

fn in_guest(
    shell: &mut Shell,
    work: impl FnOnce(&mut Shell) -> Result<(), Verdict>,
) -> Result<(), Verdict> {
    shell.send("xm console demo\n")?;
    shell.send("\n")?;
    shell.must_ask(GUEST_PROMPT, GUEST_LIMIT)?;
    work(shell)?;
    leave(shell)
}

#[cfg(test)]
mod tests {
    use super::Accounts;

    /// The first domain has its least, to the last page.
    const TOLD: [&str; 8] = [
        "total_kib      : 1000000",
        "hypervisor_kib : 20000",
        "domains_kib    : 372800",
        "free_kib       : 607200",
        "claimed_kib    : 607200",
        "Name       ID Current Target Maximum   Ballooned",
        "Domain-0   0  307200  307200 unlimited 217088",
        "tiny       1  65600   65600  65600     0",
    ];

    fn mistake(line: usize, instead: &str) -> Option<&'static str> {
        let mut lines = TOLD.map(String::from);
        lines[line] = instead.into();
        Accounts::read(&lines).unwrap().mistake()
    }

    #[test]
    fn accounts_that_are_off_by_a_page_are_found() {
        assert_eq!(mistake(0, TOLD[0]), None);
        let sum = Some("the accounts are not all of the memory");
        assert_eq!(mistake(0, "total_kib : 1000004"), sum);
        assert_eq!(mistake(1, "hypervisor_kib : 19996"), sum);
        assert_eq!(mistake(2, "domains_kib : 372804"), sum);
        assert_eq!(mistake(3, "free_kib : 607196"), sum);
        assert_eq!(mistake(7, "tiny 1 65596 65600 65600 0"), sum);
        assert_eq!(
            mistake(4, "claimed_kib : 607204"),
            Some("more is set aside than is free")
        );
        assert_eq!(
            mistake(7, "tiny 1 65600 65600 65596 0"),
            Some("a domain has more than it may")
        );
    }

    #[test]
    fn a_first_domain_below_its_least_is_found() {
        let mut lines = TOLD.map(String::from);
        lines[2] = "domains_kib : 372796".into();
        lines[3] = "free_kib : 607204".into();
        lines[6] = "Domain-0 0 307196 307200 unlimited 217092".into();
        assert_eq!(
            Accounts::read(&lines).unwrap().mistake(),
            Some("the first domain has less than its least")
        );
    }
}
