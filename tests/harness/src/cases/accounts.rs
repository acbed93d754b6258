//! What `xentop` tells while domains compute: their time and that of idle processors is all the time there was, `xm
//! list` tells the same of them, and with what their kernels tell as stolen and idle it is all of a guest's time.

use super::guests::{GUEST_LIMIT, GUEST_PROMPT, leave};
use super::guests_devices::in_guest;
use super::pattern;
use super::shell::Shell;
use crate::verdict::Verdict;
use std::time::Duration;

/// Between two looks, in seconds.
const DELAY: u32 = 4;
/// Of two looks, on a machine with much else to do.
const LIMIT: Duration = Duration::from_secs(120);
/// What may be missing or too much, of all time.
const MOST_OFF: f64 = 0.01;
/// Between two commands a domain may run for so many seconds, and so much may be cut off.
const MOST_BETWEEN: f64 = 20.0;
/// Columns of the table behind that of virtual processors.
const BEHIND_VCPUS: usize = 10;
/// Between two looks at percents, in seconds; and by how many of them they may differ: `xm list` looks a little before and
/// after `xentop`.
const PERCENT_DELAY: u32 = 10;
const MOST_OFF_PERCENT: f64 = 3.0;
/// Of a guest that computes beside others, at least so much time is stolen, or nothing is seen of it.
const LEAST_STOLEN: f64 = 0.1;
/// `xm list` tells tenths of a second.
const TENTHS_S: f64 = 0.15;
/// Types what [`Told`] is read from.
pub(super) const TELL: &str = "look; echo t$((1)) $up $of";

/// The numbers of a key in a line of JSON, or those of its list.
fn numbers(line: &str, key: &str) -> Result<Vec<f64>, Verdict> {
    let found = pattern(&format!(r#""{key}":\[?([\d,]+)"#))?;
    let numbers = found.captures_iter(line).flat_map(|found| {
        let list = found.get(1).map_or("", |list| list.as_str());
        list.split(',').filter_map(|number| number.parse().ok())
    });
    Ok(numbers.collect())
}

/// What domains and idle processors have used between two looks, and how much time there was.
fn used_and_there(first: &str, second: &str, processors: u32) -> Result<(f64, f64), Verdict> {
    let mut changes = [0.0; 3];
    for (change, key) in changes.iter_mut().zip(["at_ns", "cpu_ns", "idle_ns"]) {
        let (before, after) = (numbers(first, key)?, numbers(second, key)?);
        if before.is_empty() || before.len() != after.len() {
            return Err(Verdict::Fail(format!("{key} in {first} and in {second}")));
        }
        *change = after.iter().sum::<f64>() - before.iter().sum::<f64>();
    }
    let [elapsed, cpu, idle] = changes;
    Ok((cpu + idle, elapsed * f64::from(processors)))
}

/// Of all processors all time is somebody's.
pub(super) fn add_up(shell: &mut Shell, processors: u32) -> Result<(), Verdict> {
    let lines = shell.output_within(&format!("xentop --json -i 2 -d {DELAY}"), LIMIT)?;
    let [first, second] = lines.as_slice() else {
        return Err(Verdict::Fail(format!("xentop prints {lines:?}")));
    };
    let (used, there) = used_and_there(first, second, processors)?;
    if (used - there).abs() > MOST_OFF * there {
        return Err(Verdict::Fail(format!(
            "all domains and idle processors have used {used} ns of {there} ns"
        )));
    }
    Ok(())
}

/// Name, virtual processors, and seconds of each domain.
fn domains(
    lines: &[String],
    seconds: usize,
    vcpus: impl Fn(usize) -> usize,
) -> Vec<(String, String, f64)> {
    let domain = |line: &String| {
        let words: Vec<_> = line.split_whitespace().collect();
        let vcpus = words.get(vcpus(words.len()))?;
        let seconds = words.get(seconds)?.parse().ok()?;
        Some(((*words.first()?).to_owned(), (*vcpus).to_owned(), seconds))
    };
    let mut domains: Vec<_> = lines.iter().skip(1).filter_map(domain).collect();
    domains.sort_by(|one, other| one.0.cmp(&other.0));
    domains
}

/// `xm list` has the same domains, as large, and they have run for as long.
pub(super) fn are_those_of_xm(shell: &mut Shell) -> Result<(), Verdict> {
    let listed = shell.output("xm list")?;
    let table = shell.output("xentop -b -i 1")?;
    let of_xm = domains(&listed, 5, |_| 3);
    let of_top = domains(&table, 2, |words| words.wrapping_sub(BEHIND_VCPUS + 1));
    let is_same = |(xm, top): (&(String, String, f64), &(String, String, f64))| {
        let (before, after) = (xm.2, top.2);
        xm.0 == top.0 && xm.1 == top.1 && after + 1.0 > before && after < before + MOST_BETWEEN
    };
    if of_xm.len() < 2 || of_xm.len() != of_top.len() || !of_xm.iter().zip(&of_top).all(is_same) {
        return Err(Verdict::Fail(format!(
            "xm list prints {listed:?}, xentop {table:?}"
        )));
    }
    Ok(())
}

/// What `xentop` tells of these domains in percent, each with what it has run by `xm list` meanwhile, and both with how much
/// of the first domain's time that was: they run as steadily as they are made to.
pub(super) fn percents_are_those_of_xm(shell: &mut Shell, names: &[&str]) -> Result<(), Verdict> {
    let ran = "xm list --json | awk '/\"name\"/{n=$2}/cpu_seconds/{print n,$2}'";
    shell.output(&format!("ran() {{ {ran} | tr -d '\",'; }}"))?;
    shell.output("up() { cut -d' ' -f1 /proc/uptime; }")?;
    let top = format!("xentop -b -i 2 -d {PERCENT_DELAY} >/tmp/top");
    let lines = shell.output_within(&format!("up; ran; {top}; up; ran"), LIMIT)?;
    let table = shell.output("cat /tmp/top")?;
    for name in names {
        let told = percent_of(&table, name);
        let ran = percent_ran(&lines, name);
        let (Some(told), Some(ran)) = (told, ran) else {
            return Err(Verdict::Fail(format!("of {name}: {lines:?}, {table:?}")));
        };
        if (told - ran).abs() > MOST_OFF_PERCENT {
            return Err(Verdict::Fail(format!(
                "xentop tells {told} % of {name}, which has run {ran:.1} %"
            )));
        }
    }
    Ok(())
}

/// The last that a table tells of a domain.
fn percent_of(table: &[String], name: &str) -> Option<f64> {
    let rows = table.iter().map(|line| line.split_whitespace());
    let mut own = rows.filter_map(|mut words| (words.next()? == name).then_some(words));
    own.next_back()?.nth(2)?.parse().ok()
}

/// Of what is printed before and after: the time, and name and seconds of each domain.
fn percent_ran(lines: &[String], name: &str) -> Option<f64> {
    let times: Vec<f64> = lines.iter().filter_map(|line| line.parse().ok()).collect();
    let seconds = |line: &String| line.strip_prefix(name)?.trim().parse::<f64>().ok();
    let ran: Vec<f64> = lines.iter().filter_map(seconds).collect();
    match (times.as_slice(), ran.as_slice()) {
        (&[began, ended], &[before, after]) => Some(100.0 * (after - before) / (ended - began)),
        _ => None,
    }
}

/// What a domain of one virtual processor has run, in seconds, by `xentop` and by `xm list`, while it does nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ran {
    top: f64,
    xm: f64,
}

impl Ran {
    pub(super) fn look(shell: &mut Shell, name: &str) -> Result<Self, Verdict> {
        let lines = shell.output("xentop --json -i 1")?;
        let of_it = pattern(&format!(r#""name":"{name}",.*?"cpu_ns":(\d+)"#))?;
        let top = lines.iter().find_map(|line| {
            let ns: f64 = of_it.captures(line)?.get(1)?.as_str().parse().ok()?;
            Some(ns / 1e9)
        });
        let listed = shell.output(&format!("xm list {name}"))?;
        let xm = domains(&listed, 5, |_| 3).first().map(|(.., xm)| *xm);
        match (top, xm) {
            (Some(top), Some(xm)) => Ok(Self { top, xm }),
            _ => Err(Verdict::Fail(format!("of {name}: {lines:?}, {listed:?}"))),
        }
    }
}

/// What a guest's kernel tells of its one processor's time, in seconds. What it takes for its own running is left out: it
/// looks at each tick who runs, and has fewer ticks where an emulator has less time than its clock.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Told {
    uptime: f64,
    idle: f64,
    stolen: f64,
}

impl Told {
    /// Of what [`TELL`] has printed: the time since the boot, and hundredths for user, nice, system, idle, iowait, irq, softirq, steal.
    fn of(line: &str) -> Option<Self> {
        let words = line.strip_prefix("t1 ")?.split_whitespace();
        let numbers: Option<Vec<f64>> = words.map(|word| word.parse().ok()).collect();
        let &[
            uptime,
            _user,
            _nice,
            _system,
            idle,
            iowait,
            _irq,
            _softirq,
            steal,
            ..,
        ] = numbers?.as_slice()
        else {
            return None;
        };
        Some(Self {
            uptime,
            idle: (idle + iowait) / 100.0,
            stolen: steal / 100.0,
        })
    }

    fn since(self, before: Self) -> Self {
        Self {
            uptime: self.uptime - before.uptime,
            idle: self.idle - before.idle,
            stolen: self.stolen - before.stolen,
        }
    }

    /// All there was but what it was idle and what was stolen.
    fn rest(self) -> f64 {
        self.uptime - self.idle - self.stolen
    }

    /// Whether with what the domain has run this is all there was. It has run as long as is told of the time within its two
    /// looks at least, and as long as is told of the time around them, in which it did little else.
    fn is_all_there_was(self, around: Self, ran: Ran) -> bool {
        let off = MOST_OFF * self.uptime;
        ran.top >= self.rest() - off
            && ran.top <= around.rest() + off
            && ran.top >= around.rest() - MOST_OFF * around.uptime
            && (ran.xm - ran.top).abs() <= TENTHS_S
            && self.stolen >= LEAST_STOLEN * self.uptime
    }
}

/// Makes a guest's shell, on whose console one is, ready for [`TELL`], and has it tell for the first time.
pub(super) fn prepare_to_tell(shell: &mut Shell) -> Result<(), Verdict> {
    let look = "look() { read up x </proc/uptime; read x of </proc/stat; }";
    in_guest(shell, look)?;
    in_guest(shell, TELL).map(drop)
}

/// A guest has told of its time before one looked at what it had run, and at the beginning and at the end of some work. It
/// tells once more. What was stolen from it, what it was idle, and what it has run are one account: work and all that was
/// typed to have it done.
pub(super) fn are_those_of_guest(
    shell: &mut Shell,
    name: &str,
    before: Ran,
) -> Result<(), Verdict> {
    let now = Ran::look(shell, name)?;
    shell.send(&format!("xm console {name}\n\n"))?;
    shell.must_ask(GUEST_PROMPT, GUEST_LIMIT)?;
    in_guest(shell, TELL)?;
    leave(shell)?;
    let lines = shell.output(&format!("grep -o 't1 .*' guest-{name}.log"))?;
    let told: Vec<_> = lines.iter().filter_map(|line| Told::of(line)).collect();
    let &[first, began, ended, last] = told.as_slice() else {
        return Err(Verdict::Fail(format!("{name} tells {lines:?}")));
    };
    let (told, around) = (ended.since(began), last.since(first));
    let ran = Ran {
        top: now.top - before.top,
        xm: now.xm - before.xm,
    };
    if told.is_all_there_was(around, ran) {
        return Ok(());
    }
    Err(Verdict::Fail(format!(
        "{name} tells {told:?}, and {around:?} of the time around it, of what is {ran:?}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_added() {
        let line = |at: u64, cpu: u64, idle: u64| {
            format!(
                r#"{{"at_ns":{at},"idle_ns":[5,{idle}],"domains":[{{"cpu_ns":{cpu},"vcpus":[{{"ran_ns":9}}]}},{{"cpu_ns":7}}]}}"#
            )
        };
        let (first, second) = (line(10, 20, 30), line(110, 130, 120));
        let added = used_and_there(&first, &second, 2);
        assert!(matches!(added, Ok((used, there)) if used == 200.0 && there == 200.0));
        assert!(used_and_there(&first, "", 2).is_err());
    }

    #[test]
    fn percents_are_read() {
        let lines = |text: &str| -> Vec<String> { text.lines().map(str::to_owned).collect() };
        let top = lines(
            "NAME\n  a --b--r  1  0.0  5\n  ab --b--r  1  9.0  5\nNAME\n  a --b--r  3  21.5  5",
        );
        assert_eq!(percent_of(&top, "a"), Some(21.5));
        assert_eq!(percent_of(&top, "b"), None);
        let listed = lines("100.0\na 5.5\nab 1.0\n110.0\na 8.0\nab 1.0");
        assert_eq!(percent_ran(&listed, "a"), Some(25.0));
        assert_eq!(percent_ran(&listed[..4], "a"), None);
    }

    #[test]
    fn domains_are_read_from_both_tables() {
        let lines = |text: &str| -> Vec<String> { text.lines().map(str::to_owned).collect() };
        let xm = lines("Name ID Mem VCPUs State Time(s)\nDomain-0  0  512  2  r-----  31.4");
        let top = lines(
            "NAME\n  Domain-0 -----r  31  3.2  1494016  35.7   no limit  n/a  2  0  0  0  0  0  0  0  0  0  0",
        );
        let one = ("Domain-0".to_owned(), "2".to_owned());
        assert_eq!(
            domains(&xm, 5, |_| 3),
            [(one.0.clone(), one.1.clone(), 31.4)]
        );
        let of_top = domains(&top, 2, |words| words - BEHIND_VCPUS - 1);
        assert_eq!(of_top, [(one.0, one.1, 31.0)]);
    }

    #[test]
    fn a_guests_time_is_told_by_its_kernel() {
        let began = Told::of("t1 10.50 100 0 50 800 0 0 0 20 0 0");
        let ended = Told::of("t1 20.50 500 0 90 1100 20 10 0 260 0 0");
        let (Some(began), Some(ended)) = (began, ended) else {
            panic!("not read");
        };
        let told = ended.since(began);
        let ran = |top: f64, xm: f64| Ran { top, xm };
        let around = Told {
            uptime: 10.3,
            ..told
        };
        assert!(told.is_all_there_was(around, ran(4.62, 4.7)), "{told:?}");
        assert!(told.is_all_there_was(around, ran(4.75, 4.8)));
        // Too little, too much, and not what `xm list` tells.
        assert!(!told.is_all_there_was(around, ran(4.2, 4.2)));
        assert!(!told.is_all_there_was(around, ran(4.5, 4.5)));
        assert!(!told.is_all_there_was(around, ran(4.85, 4.85)));
        assert!(!told.is_all_there_was(told, ran(4.55, 4.55)));
        assert!(!told.is_all_there_was(around, ran(4.62, 4.8)));
        let all_idle = Told {
            idle: told.idle + told.stolen,
            stolen: 0.0,
            ..told
        };
        assert!(!all_idle.is_all_there_was(all_idle, ran(4.45, 4.5)));
        assert_eq!(Told::of("t1 10.50 100 0 50 800 0 0 0"), None);
        assert_eq!(Told::of("t1 10.50 100 0 x 800 0 0 0 1"), None);
    }
}
