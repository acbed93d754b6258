//! The tiny paravirtualized kernels of `tests/kernels`, each booted as the first domain: of the image that
//! is shipped, and of the reference hypervisor.
//!
//! Both must come to the same verdict, but for the cases that `docs/REFERENCE-DIFFERENCES.md` lists.

use super::endings::{self, Aftermath};
use super::kernels_known::compare;
use super::{Extent, IMAGE, TEST_IMAGE, no_line};
use crate::iso::Recipe;
use crate::machine::{AtEnd, Machine, Medium, Reader};
use crate::qemu::Qemu;
use crate::run::{Missing, Run};
use crate::suite::{Case, Context};
use crate::verdict::Verdict;
use kernels::catalogue::{self, CASES, Ending, FAULTS_OF_EMULATOR};
use regex_lite::Regex;
use std::path::PathBuf;
use std::time::Duration;

/// Each case runs on so many processors, one after the other, where all of it is asked for.
const PROCESSORS: [u32; 3] = [1, 2, 4];
/// Else on this many. vCPUs, of which there are several, share it.
const FEWEST_PROCESSORS: [u32; 1] = [1];
/// Those that are about several processors on these.
const FEW_PROCESSORS: [u32; 1] = [4];
/// The domain has this many vCPUs on every one of them, so that vCPUs also share a processor.
const VCPUS: u32 = 4;
const MEMORY_MIB: u32 = 1024;
/// From QEMU's start to the verdict, on a machine with other work to do.
const VERDICT_LIMIT: Duration = Duration::from_secs(90);
/// From a verdict to the machine's end.
const EXIT_LIMIT: Duration = Duration::from_secs(10);
/// How long cases run that take their time, where all of it is asked for.
const LONG_S: u32 = 60;
/// Where instructions are counted, each takes two to this power, in ns.
const COUNTED_SHIFT: u32 = 2;
/// For a domain that nobody knows the end of.
const LOST_LIMIT: Duration = Duration::from_secs(30);
/// What such a domain's harm counts for at most.
const LONGEST_HARM: Duration = Duration::from_secs(3);
/// From the domain's end to the audit's result.
const AUDIT_LIMIT: Duration = Duration::from_secs(60);

/// What the first domain runs on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hypervisor {
    /// The image that is shipped.
    Paravane,
    /// Debian's package, unpacked by `tests/reference-hypervisor`.
    Reference,
}

impl Hypervisor {
    fn group(self) -> &'static str {
        match self {
            Self::Paravane => "kernels",
            Self::Reference => "reference",
        }
    }

    pub(super) fn image(self) -> &'static str {
        match self {
            Self::Paravane => IMAGE,
            Self::Reference => "build/reference/xen",
        }
    }

    pub(super) fn options(self) -> String {
        let own = match self {
            // When the domain has ended, all counts of references must be exact.
            Self::Paravane => " frame_audit",
            // Self-maps of page tables are a choice at boot there; here they are always refused. And the emulated MWAIT
            // refuses the hints that it gives on AMD's processors.
            Self::Reference => " pv-linear-pt=0 cpuidle=0",
        };
        format!(
            "console=com1 loglvl=all guest_loglvl=all noreboot dom0_mem=64M dom0_max_vcpus={VCPUS}{own}"
        )
    }
}

/// What the emulator does wrong, under either hypervisor: these fail where it does.
pub fn faults_of_emulator() -> Vec<Case> {
    let under = |hypervisor| cases_of(FAULTS_OF_EMULATOR, hypervisor, Extent::AllPairs);
    let mut cases = under(Hypervisor::Paravane);
    cases.extend(under(Hypervisor::Reference));
    cases
}

/// All kernels on this hypervisor.
pub fn cases(hypervisor: Hypervisor, extent: Extent) -> Vec<Case> {
    cases_of(CASES, hypervisor, extent)
}

/// Those that most of the hypervisor's locks are taken in, one under the other; and those that see what is left of what
/// memory had in it.
const ON_TEST_IMAGE: [&str; 5] = [
    "domain/cycles",
    "hostile/everything",
    "start/start-of-day",
    "start/ram-disk",
    "start/ram-disk-end",
];

/// Kernels on the image that asserts the order of its locks and gives memory away soiled: those that are tried always, and
/// all others.
pub fn on_test_image() -> (Vec<Case>, Vec<Case>) {
    let cases = CASES.iter().map(|case| {
        let processors = match case.is_about_processors {
            true => 4,
            false => 1,
        };
        let name = format!("checked/{}-{processors}cpu", case.name);
        let made = Case::new(name, move |context| {
            let found = judge(
                context,
                Hypervisor::Paravane,
                TEST_IMAGE,
                case,
                processors,
                Extent::AllPairs,
            );
            compare(
                Hypervisor::Paravane,
                case,
                found.unwrap_or_else(|verdict| verdict),
            )
        });
        (ON_TEST_IMAGE.contains(&case.name), made)
    });
    let (always, others): (Vec<_>, Vec<_>) = cases.partition(|(is_always, _)| *is_always);
    let without = |list: Vec<(bool, Case)>| list.into_iter().map(|(_, case)| case).collect();
    (without(always), without(others))
}

fn cases_of(list: &'static [catalogue::Case], hypervisor: Hypervisor, extent: Extent) -> Vec<Case> {
    let mut cases = Vec::new();
    for case in list {
        let counts: &[u32] = match (extent, case.is_about_processors) {
            (Extent::WholeProduct, _) => &PROCESSORS,
            (Extent::AllPairs, true) => &FEW_PROCESSORS,
            (Extent::AllPairs, false) => &FEWEST_PROCESSORS,
        };
        for &processors in counts {
            let name = format!("{}/{}-{processors}cpu", hypervisor.group(), case.name);
            cases.push(Case::new(name, move |context| {
                let found = judge(
                    context,
                    hypervisor,
                    hypervisor.image(),
                    case,
                    processors,
                    extent,
                );
                compare(hypervisor, case, found.unwrap_or_else(|verdict| verdict))
            }));
        }
    }
    cases
}

/// Boots one kernel and sees how it ends.
fn judge(
    context: &Context<'_>,
    hypervisor: Hypervisor,
    image: &str,
    case: &catalogue::Case,
    processors: u32,
    extent: Extent,
) -> Result<Verdict, Verdict> {
    let installed = || Qemu::installed().map_err(Verdict::NoVerdict);
    let qemu = match case.wants_right_interrupts {
        _ if case.counts_instructions => Qemu::that_counts(processors).map_err(Verdict::Skipped)?,
        // Without one, the kernel finds out and says so.
        true => Qemu::with_right_interrupts().or_else(|_| installed())?,
        false => installed()?,
    };
    // On our own image the hypervisor has the last word: the audit.
    let end = match hypervisor {
        Hypervisor::Paravane => " end=domain",
        // The machine is to go on.
        Hypervisor::Reference if case.ending == Ending::AnythingAgain => " end=domain",
        Hypervisor::Reference => "",
    };
    let usual = Machine::default();
    let machine = Machine {
        // Where it isn't asked for, chance alone would find it.
        has_exit_port: end.is_empty(),
        cpu: case.cpu.map_or(usual.cpu.clone(), String::from),
        processors,
        memory_mib: MEMORY_MIB,
        reader: Reader::Virtio,
        at_end: match expected(hypervisor, case.ending) {
            Some((_, Some(_))) => AtEnd::Show,
            _ if case.ending == Ending::AnythingAgain => AtEnd::Show,
            _ => AtEnd::Exit,
        },
        extra: case
            .devices
            .iter()
            .flat_map(|device| ["-device", device])
            .map(String::from)
            .collect(),
        ..usual
    };
    let machine = match case.counts_instructions {
        true => machine.by_instructions(COUNTED_SHIFT),
        false => machine,
    };
    let module = PathBuf::from("build/kernels").join(case.kernel.file_name());
    // There, most of such a domain's ends are circles, which nobody need wait for again and again.
    let is_short = case.ending == Ending::AnythingAgain && hypervisor == Hypervisor::Reference;
    let seconds = match extent {
        Extent::WholeProduct if case.runs_for_s != 0 && !is_short => LONG_S,
        _ => case.runs_for_s,
    };
    let mut line = format!(
        "test={} processors={processors} {}{end}",
        case.name, case.arguments
    );
    if seconds != 0 {
        line += &format!(" seconds={seconds}");
    }
    if case.counts_instructions {
        line += " exact=1";
    }
    // A case that failed is run again with what its log says.
    if let Ok(seed) = std::env::var("SEED") {
        line += &format!(" seed={seed}");
    }
    let mut options = hypervisor.options();
    for word in case.options.split_whitespace() {
        options = format!("{options} {word}");
    }
    if case.runs_for_s != 0 {
        // It would fill the console with its mistakes.
        options += " guest_loglvl=none/error";
    }
    let ram_disk = match case.ram_disk {
        0 => None,
        bytes => Some(ram_disk(bytes).map_err(Verdict::NoVerdict)?),
    };
    let medium = match hypervisor {
        Hypervisor::Paravane => {
            let mut recipe = Recipe::new(image, options);
            recipe.modules.push((module, line));
            recipe
                .modules
                .extend(ram_disk.map(|file| (file, String::new())));
            Medium::Disc(context.iso(&recipe)?)
        }
        Hypervisor::Reference => Medium::Direct {
            image: image.into(),
            options,
            module,
            line,
            ram_disk,
        },
    };
    let boot = || context.boot_from(&qemu, &machine, &medium);
    let mut run = boot()?;

    let said =
        Regex::new(r"(VERDICT: (PASS|FAIL|SKIP) \S+?|EXPECT \w+ \S+|Hardware Dom0 \w+|(PANIC|Panic) on CPU.*)(: .*)?$")
            .map_err(|error| Verdict::NoVerdict(error.to_string()))?;
    let limit = VERDICT_LIMIT + Duration::from_secs(seconds.into());
    let line = run
        .wait_for(&said, limit)
        .map_err(|missing| no_line("the verdict", &missing))?;
    let text = line.text.trim_end();
    let verdict = if text.contains("VERDICT:") {
        let verdict = spoken(text, case.name);
        // What is on the last line counts; that the machine ends is the kernel's doing and checked once.
        if hypervisor == Hypervisor::Reference {
            run.wait_for_end(EXIT_LIMIT);
        }
        verdict
    } else if text.contains("EXPECT") {
        ended(&mut run, hypervisor, case.ending)?
    } else if text.to_lowercase().contains("panic on cpu") {
        Verdict::Fail(format!("the hypervisor died: '{text}'"))
    } else {
        Verdict::Fail(format!("the domain ended before its verdict: '{text}'"))
    };
    if hypervisor == Hypervisor::Paravane && !verdict.is_failure() {
        if case.ram_disk != 0 {
            taken_over(&run)?;
        }
        audited(&mut run)?;
    }
    if case.ending == Ending::AnythingAgain && !verdict.is_failure() {
        drop(run);
        return again(boot, hypervisor, Duration::from_secs(seconds.into()));
    }
    Ok(verdict)
}

/// Boots machines, one after another's end of its domain, until what came between the line that tells of the end and that end has
/// taken long enough. Each is a new one: what a first domain has written to the clock's memory is there after a reset, and may keep
/// the firmware from booting.
fn again(
    boot: impl Fn() -> Result<Run, Verdict>,
    hypervisor: Hypervisor,
    wanted: Duration,
) -> Result<Verdict, Verdict> {
    /// Nobody waits for ever for kernels that end at once.
    const MOST: u32 = 1000;
    let expect = super::pattern(r"EXPECT ANYTHING|(?i:panic on cpu)")?;
    let mut spent = Duration::ZERO;
    for booted in 2..=MOST {
        let mut run = boot()?;
        let begin = run
            .wait_for(&expect, VERDICT_LIMIT)
            .map_err(|missing| no_line("the next boot's hostile kernel", &missing))?;
        let verdict = match begin.text.to_lowercase().contains("panic on cpu") {
            true => Verdict::Fail(format!("the hypervisor died: '{}'", begin.text)),
            false => ended(&mut run, hypervisor, Ending::AnythingAgain)?,
        };
        if verdict.is_failure() {
            return Ok(verdict);
        }
        let end = run.lines().last().map_or(begin.at, |line| line.at);
        spent += end.saturating_sub(begin.at).min(LONGEST_HARM);
        if hypervisor == Hypervisor::Paravane {
            audited(&mut run)?;
        }
        if spent >= wanted {
            let seconds = spent.as_secs_f32();
            return Ok(Verdict::Pass(format!("{seconds:.1} s in {booted} boots")));
        }
    }
    Ok(Verdict::Fail(format!("only {spent:?} in {MOST} boots")))
}

/// A file of the bytes that a kernel expects in its RAM disk.
fn ram_disk(bytes: u32) -> Result<PathBuf, String> {
    let path = PathBuf::from(format!("build/kernels/ram-disk-{bytes}"));
    let content: Vec<u8> = (0..bytes.div_ceil(8))
        .flat_map(|index| catalogue::ram_disk_word(index.into()).to_le_bytes())
        .take(bytes as usize)
        .collect();
    // Others may be reading it.
    if !std::fs::read(&path).is_ok_and(|found| found == content) {
        let unfinished = path.with_extension(format!("{}", std::process::id()));
        std::fs::write(&unfinished, content)
            .and_then(|()| std::fs::rename(&unfinished, &path))
            .map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(path)
}

/// Whether the kernel has found its RAM disk in the frames into which the boot loader had put the second module.
fn taken_over(run: &Run) -> Result<(), Verdict> {
    let find = |wanted: &str| -> Result<Option<u64>, Verdict> {
        let wanted = super::pattern(wanted)?;
        let mut found = run
            .lines()
            .iter()
            .filter_map(|line| wanted.captures(&line.text));
        let digits = found.next().and_then(|found| found.get(1));
        Ok(digits.and_then(|digits| u64::from_str_radix(digits.as_str(), 16).ok()))
    };
    // The kernel has a command line, the RAM disk has none.
    let loaded = find(r"module at 0x([0-9a-f]+)-0x[0-9a-f]+: *$")?;
    let found = find(r"RAM disk at machine address 0x([0-9a-f]+)")?;
    match (loaded, found) {
        (Some(loaded), Some(found)) if loaded == found => Ok(()),
        other => Err(Verdict::Fail(format!(
            "the RAM disk was loaded to, and is at: {other:x?}"
        ))),
    }
}

/// Whether the books of memory were right when the domain had ended.
pub(super) fn audited(run: &mut Run) -> Result<(), Verdict> {
    const MARK: &str = "Frame audit: ";
    let last = super::pattern(r"Frame audit: (\d+ findings|not done)|PANIC on CPU")?;
    let said = |run: &Run| {
        let mut lines = run.lines().iter();
        lines.find(|line| last.is_match(&line.text)).cloned()
    };
    let line = match said(run) {
        Some(line) => line,
        None => run
            .wait_for(&last, AUDIT_LIMIT)
            .map_err(|missing| no_line("the audit", &missing))?,
    };
    if line.text.contains("Frame audit: 0 findings") {
        return Ok(());
    }
    let lines = run.lines().iter();
    let mut findings = lines.filter(|line| line.text.contains(MARK));
    let first = findings.next().map_or("", |line| line.text.trim_end());
    Err(Verdict::Fail(format!(
        "afterwards: {}; first '{first}'",
        line.text.trim_end()
    )))
}

/// The verdict that a kernel has printed.
pub(super) fn spoken(line: &str, name: &str) -> Verdict {
    let said = line.split("VERDICT: ").nth(1).unwrap_or_default();
    let (word, rest) = said.split_once(' ').unwrap_or((said, ""));
    let (about, why) = rest.split_once(": ").unwrap_or((rest, ""));
    if about != name {
        return Verdict::NoVerdict(format!("a verdict about '{about}'"));
    }
    match word {
        "PASS" => Verdict::Pass(why.into()),
        "SKIP" => Verdict::Skipped(why.into()),
        _ => Verdict::Fail(why.into()),
    }
}

/// What is said at the end of a domain, and what follows that is looked at.
fn expected(hypervisor: Hypervisor, ending: Ending) -> Option<(&'static str, Option<Aftermath>)> {
    Some(match ending {
        Ending::Verdict => return None,
        Ending::Anything | Ending::AnythingAgain => (r"Hardware Dom0", None),
        Ending::DomainCrash => (
            r"Hardware Dom0 crashed: ('noreboot' set - not rebooting\.|rebooting machine in 5 seconds\.)",
            None,
        ),
        Ending::CrashStays => (
            r"Hardware Dom0 crashed: 'noreboot' set - not rebooting\.",
            Some(Aftermath::Stay),
        ),
        Ending::CrashReboots => (
            r"Hardware Dom0 crashed: rebooting machine in 5 seconds\.",
            Some(Aftermath::RebootAfterPause),
        ),
        Ending::Poweroff => (
            r"Hardware Dom0 halted: halting machine",
            Some(match hypervisor {
                Hypervisor::Paravane => Aftermath::Off,
                // There, it only halts: switching it off is the first domain's own doing, before.
                Hypervisor::Reference => Aftermath::Stay,
            }),
        ),
        Ending::Reboot => (
            r"Hardware Dom0 shutdown: rebooting machine",
            Some(Aftermath::Reboot),
        ),
        Ending::SuspendStays => (
            r"Hardware Dom0 shutdown \(unknown reason 2\): 'noreboot' set - not rebooting\.",
            Some(Aftermath::Stay),
        ),
        Ending::SuspendReboots => (
            r"Hardware Dom0 shutdown \(unknown reason 2\): rebooting machine in 5 seconds\.",
            Some(Aftermath::RebootAfterPause),
        ),
        Ending::Watchdog => (
            r"Hardware Dom0 shutdown: watchdog rebooting machine",
            Some(Aftermath::Reboot),
        ),
        Ending::SoftReset => (
            r"Hardware domain 0 did unsupported soft reset, rebooting\.",
            Some(Aftermath::Reboot),
        ),
    })
}

/// The verdict on a kernel that has said how its domain will end.
fn ended(run: &mut Run, hypervisor: Hypervisor, ending: Ending) -> Result<Verdict, Verdict> {
    let Some((expected, then)) = expected(hypervisor, ending) else {
        return Ok(Verdict::Fail("it ends without a verdict".into()));
    };
    // The reference's last line may be lost when it resets the machine.
    let or_else = match (hypervisor, then) {
        (Hypervisor::Reference, Some(Aftermath::Reboot)) => "Xen version ",
        _ => "VERDICT",
    };
    let pattern = Regex::new(&format!("{expected}|VERDICT|{or_else}|(?i:panic on cpu)"))
        .map_err(|error| Verdict::NoVerdict(error.to_string()))?;
    let limit = match ending {
        Ending::Anything | Ending::AnythingAgain => LOST_LIMIT,
        _ => VERDICT_LIMIT,
    };
    let is_any = matches!(ending, Ending::Anything | Ending::AnythingAgain);
    match run.wait_for(&pattern, limit) {
        Ok(line) if line.text.to_lowercase().contains("panic on cpu") => Ok(Verdict::Fail(
            format!("the hypervisor died: '{}'", line.text),
        )),
        Ok(_) if is_any => Ok(Verdict::Pass(String::new())),
        Err(Missing::TimedOut) if is_any => lives_on(run, hypervisor),
        Ok(line) if line.text.contains("VERDICT") => Ok(Verdict::Fail(line.text)),
        Ok(line) if endings::is_beginning(&line.text)? => Ok(Verdict::Pass(String::new())),
        Ok(_) => match then {
            None => Ok(Verdict::Pass(String::new())),
            Some(aftermath) => aftermath.of(run),
        },
        Err(missing) => Err(no_line(expected, &missing)),
    }
}

/// The domain runs in circles, which is as good an end as any if the hypervisor still listens.
fn lives_on(run: &mut Run, hypervisor: Hypervisor) -> Result<Verdict, Verdict> {
    // Of the books of memory, where there are any, else of anything.
    let (key, answer) = match hypervisor {
        Hypervisor::Paravane => ("F", "Frame audit: (\\d+ findings|not done)"),
        Hypervisor::Reference => ("h", "key 'h' .*pressed"),
    };
    run.send(&format!("\x01\x01\x01{key}"))
        .map_err(|error| Verdict::NoVerdict(format!("nothing can be typed: {error}")))?;
    run.wait_for(&super::pattern(answer)?, AUDIT_LIMIT)
        .map_err(|missing| no_line("the answer to a debug key", &missing))?;
    Ok(Verdict::Pass("the domain runs in circles".into()))
}

#[cfg(test)]
mod tests {
    use super::{CASES, Verdict, spoken};
    use std::collections::BTreeSet;

    #[test]
    fn names_are_given_once() {
        let names: BTreeSet<_> = CASES.iter().map(|case| case.name).collect();
        assert_eq!(names.len(), CASES.len());
    }

    #[test]
    fn printed_verdicts_are_read() {
        assert_eq!(
            spoken("VERDICT: PASS a/b", "a/b"),
            Verdict::Pass(String::new())
        );
        let failed = "(d1) VERDICT: FAIL a/b: assertion: left: 1 (x.rs:1)";
        assert_eq!(
            spoken(failed, "a/b"),
            Verdict::Fail("assertion: left: 1 (x.rs:1)".into())
        );
        assert_eq!(
            spoken("VERDICT: SKIP a/b: why", "a/b"),
            Verdict::Skipped("why".into())
        );
        assert!(matches!(
            spoken("VERDICT: PASS list", "a/b"),
            Verdict::NoVerdict(_)
        ));
    }
}
