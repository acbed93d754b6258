//! A stock kernel as the first domain under load, on four processors: whether its clocks go forward and right, and
//! whether all that it does for processes works.
//!
//! `tests/make-test-disk` makes the disk with what is run.

use super::shell::{Boot, Shell};
use super::{Extent, pattern};
use crate::machine::{Machine, Threads};
use crate::suite::{Case, Context};
use crate::verdict::Verdict;
use std::path::Path;
use std::time::Duration;

const DISK: &str = "build/test-disk/disk.img";
const PROCESSORS: u32 = 4;
/// What the machine's clock says when it is switched on, and the same in seconds since 1970.
const SWITCHED_ON: &str = "2031-05-06T07:08:09";
const SWITCHED_ON_S: f64 = 1_935_817_689.0;
/// What the first domain sets the clock to (in `clocks.sh`), in seconds since 1970.
const SET_TO_S: f64 = 1_988_247_845.0;
/// Clocks of whole seconds that are read one after the other on a machine with other work to do.
const CLOCK_TOLERANCE_S: f64 = 5.0;
/// How far time may be from the time outside, of it: the clock that tells the frequency is read by a loaded machine.
const RATE_TOLERANCE: f64 = 0.05;
/// How late a line may be seen outside, beside that.
const SEEN_TOLERANCE_S: f64 = 1.0;
/// How much longer than it should the work may take: five processors' work on less than one.
const SLOWEST: u32 = 20;

/// All cases.
pub fn cases(extent: Extent) -> Vec<Case> {
    let (clock_s, stress_s) = match extent {
        Extent::AllPairs => (10, 12),
        Extent::WholeProduct => (60, 300),
    };
    vec![
        Case::new("dom0/clocks-q35-4cpu", move |context| {
            clocks(context, clock_s).unwrap_or_else(|verdict| verdict)
        }),
        Case::new("dom0/stress-q35-4cpu", move |context| {
            stress(context, stress_s).unwrap_or_else(|verdict| verdict)
        }),
    ]
}

/// What gives a machine the test disk, as /dev/vda.
pub(super) fn test_disk() -> Result<Vec<String>, Verdict> {
    if !Path::new(DISK).exists() {
        return Err(Verdict::Skipped(format!(
            "there is no {DISK}: tests/make-test-disk makes it"
        )));
    }
    let drive = format!("file={DISK},if=none,id=tests,format=raw,snapshot=on");
    let extra = ["-drive", &drive, "-device", "virtio-blk-pci,drive=tests"];
    Ok(extra.map(String::from).to_vec())
}

/// A shell with the test disk at /mnt.
fn shell_with_disk(context: &Context<'_>) -> Result<Shell, Verdict> {
    let mut extra = test_disk()?;
    extra.extend(["-rtc".to_string(), format!("base={SWITCHED_ON}")]);
    let machine = Machine {
        processors: PROCESSORS,
        extra,
        ..Machine::default()
    };
    // These are about processors that truly run at once.
    let boot = Boot {
        threads: Threads::Many,
        ..Boot::of(&machine)
    };
    let mut shell = boot.shell(context)?;
    shell.output("modprobe -a virtio_pci virtio_blk ext4 && mount /dev/vda /mnt")?;
    Ok(shell)
}

/// A line of `clocks.sh` about the clocks, which came at this time.
struct Clocks {
    at_s: f64,
    date_s: f64,
    rtc_s: f64,
    source: String,
}

fn clocks_in(shell: &Shell) -> Result<Vec<Clocks>, Verdict> {
    let wanted = pattern(r"^clock: date (\d+), rtc (\d+), source (\S+)")?;
    let clocks = shell.run.lines().iter().filter_map(|line| {
        let found = wanted.captures(&line.text)?;
        Some(Clocks {
            at_s: line.at.as_secs_f64(),
            date_s: found[1].parse().ok()?,
            rtc_s: found[2].parse().ok()?,
            source: found[3].into(),
        })
    });
    Ok(clocks.collect())
}

fn clocks(context: &Context<'_>, seconds: u32) -> Result<Verdict, Verdict> {
    let mut shell = shell_with_disk(context)?;
    let limit = Duration::from_secs(u64::from(60 + seconds * SLOWEST));
    let said = shell.output_within(&format!("sh /mnt/clocks.sh {seconds}"), limit)?;
    if let Some(line) = said.iter().find(|line| line.starts_with("suspicious:")) {
        return Err(Verdict::Fail(line.clone()));
    }
    let about = pattern(r"^clocks: 4 processors, \d+ looks, 0 backwards, .* \d+ naps, 0 early$")?;
    let found = said
        .iter()
        .find(|line| line.starts_with("clocks: 4 processors"));
    let found = found.cloned().unwrap_or_default();
    if !about.is_match(&found) || !said.iter().any(|line| line == "clocks: status 0") {
        return Err(Verdict::Fail(format!("'{found}'")));
    }
    rate_is_right(&shell)?;
    let shown = clocks_in(&shell)?;
    let [first, after, set, from_rtc] = shown.as_slice() else {
        return Err(Verdict::NoVerdict("the clocks are not shown".into()));
    };
    for clocks in [first, after] {
        let wanted = SWITCHED_ON_S + clocks.at_s;
        is_near("date", clocks.date_s, wanted)?;
        is_near("the hardware's clock", clocks.rtc_s, wanted)?;
        if clocks.source != first.source {
            return Err(Verdict::Fail(format!(
                "the clock source is {} now",
                clocks.source
            )));
        }
    }
    for clocks in [set, from_rtc] {
        let wanted = SET_TO_S + (clocks.at_s - set.at_s);
        is_near("date, which was set,", clocks.date_s, wanted)?;
        is_near("the hardware's clock, which was set,", clocks.rtc_s, wanted)?;
    }
    super::dom0_matrix::turns_off(&mut shell)?;
    shell.must_be_healthy()?;
    Ok(Verdict::Pass(format!("{}: {found}", first.source)))
}

fn is_near(what: &str, found_s: f64, wanted_s: f64) -> Result<(), Verdict> {
    if (found_s - wanted_s).abs() <= CLOCK_TOLERANCE_S {
        Ok(())
    } else {
        let off = found_s - wanted_s;
        Err(Verdict::Fail(format!(
            "{what} says {found_s}, which is {off:+.0} s off"
        )))
    }
}

/// The time that has gone by inside is what has gone by outside.
fn rate_is_right(shell: &Shell) -> Result<(), Verdict> {
    let lines = shell.run.lines();
    let at = |text: &str| {
        let line = lines.iter().find(|line| line.text.trim_end() == text);
        line.map(|line| line.at.as_secs_f64())
    };
    let (Some(begin), Some(end)) = (at("clocks: begin"), at("clocks: end")) else {
        return Err(Verdict::NoVerdict("nobody has looked at the clocks".into()));
    };
    let wanted = pattern(r"^clocks: (\d+) ms monotonic, (\d+) ms raw, (\d+) ms real")?;
    let found = lines
        .iter()
        .find_map(|line| wanted.captures(&line.text))
        .ok_or_else(|| Verdict::NoVerdict("the clocks are not compared".into()))?;
    for clock in 1..=3 {
        let inside: f64 = found[clock].parse().unwrap_or_default();
        let off = (inside / 1000.0 - (end - begin)).abs();
        if off > RATE_TOLERANCE * (end - begin) + SEEN_TOLERANCE_S {
            return Err(Verdict::Fail(format!(
                "{} after {:.1} s",
                &found[0],
                end - begin
            )));
        }
    }
    Ok(())
}

fn stress(context: &Context<'_>, seconds: u32) -> Result<Verdict, Verdict> {
    let mut shell = shell_with_disk(context)?;
    let limit = Duration::from_secs(u64::from(120 + seconds * SLOWEST));
    let said = shell.output_within(&format!("sh /mnt/stress.sh {seconds}"), limit)?;
    let compat = pattern(r"^compat: [1-9]\d* rounds, 0 bad$")?;
    for (what, is_right) in [
        ("stress: --fork", pattern("^stress: --fork status 0$")?),
        (
            "stress: --mprotect",
            pattern("^stress: --mprotect status 0$")?,
        ),
        ("stress: --clone", pattern("^stress: --clone status 0$")?),
        ("stress: --vm", pattern("^stress: --vm status 0$")?),
        ("compat:", compat.clone()),
        ("self:", pattern("^self: cat, some mappings$")?),
    ] {
        if !said.iter().any(|line| is_right.is_match(line)) {
            let found = said.iter().find(|line| line.starts_with(what));
            return Err(Verdict::Fail(match found {
                Some(line) => line.clone(),
                None => format!("nothing is said about '{what}'"),
            }));
        }
    }
    let failed = pattern(r"stress-ng: (fail|error):")?;
    if let Some(line) = said.iter().find(|line| failed.is_match(line)) {
        return Err(Verdict::Fail(line.clone()));
    }
    super::dom0_matrix::turns_off(&mut shell)?;
    shell.must_be_healthy()?;
    let rounds = said.iter().find(|line| compat.is_match(line));
    Ok(Verdict::Pass(format!(
        "{seconds} s, {}",
        rounds.cloned().unwrap_or_default()
    )))
}
