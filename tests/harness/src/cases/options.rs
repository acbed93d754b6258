//! Boot options do what the manual says, and mistakes in them are named.

use super::boot::{BOOT_COMPLETE, BOOT_LIMIT};
use super::{IMAGE, no_line, pattern};
use crate::iso::Recipe;
use crate::machine::{Board, Machine};
use crate::qemu::Qemu;
use crate::run::{Missing, Run};
use crate::suite::{Case, Context};
use crate::verdict::Verdict;
use std::path::PathBuf;
use std::time::Duration;

/// What a line of options leads to, on a machine of four processors.
#[derive(Clone, Copy, Debug)]
struct Effect {
    name: &'static str,
    options: &'static str,
    /// Patterns of lines that come up to the end-of-boot line, in this order.
    lines: &'static [&'static str],
    /// A pattern of lines that do not come.
    absent: &'static str,
}

const NOTHING: &str = "PANIC";

const EFFECTS: [Effect; 8] = [
    Effect {
        name: "options/mistakes-are-named",
        options: "console=com1 loglvl=none consle=vga frobnicate maxcpus=x sched=credit2 vga=ask \
                  NOSMP watchdog_timeout=1 sched=credit",
        lines: &[
            r#"warning: command line: "consle=vga" is not an option.*did you mean "console="#,
            r#"warning: command line: "frobnicate" is not an option"#,
            r#"warning: command line: "maxcpus=x" is ignored: "x" is not a number"#,
            r#"warning: command line: "sched=credit2" is ignored: "credit2" is not offered here; offered: credit"#,
            r#"warning: command line: "vga=ask" is ignored: "ask" is not offered here"#,
            r#"warning: command line: "NOSMP" is not an option.*did you mean "nosmp"#,
            r#"warning: command line: "watchdog_timeout=1" is too small; 2 is taken instead"#,
            "boot complete: 4 processors",
        ],
        absent: "PANIC|Memory:|line: \"sched=credit\"",
    },
    Effect {
        name: "options/many-mistakes-are-named",
        options: "console=com1 loglvl=none w1 w2 w3 w4 w5 w6 w7 w8 w9 w10 w11 w12 w13 w14 w15 w16 w17 com1=fast",
        lines: &[
            r#"warning: command line: "w1" is not an option"#,
            r#"warning: command line: "w17" is not an option"#,
            r#"warning: command line: "com1=fast" is ignored"#,
            "boot complete",
        ],
        absent: NOTHING,
    },
    Effect {
        name: "options/maxcpus",
        options: "console=com1 maxcpus=2",
        lines: &["boot complete: 2 processors"],
        absent: NOTHING,
    },
    Effect {
        name: "options/nosmp",
        options: "console=com1 nosmp",
        lines: &["boot complete: 1 processor,"],
        absent: NOTHING,
    },
    Effect {
        name: "options/com1",
        options: "console=com1 com1=9600,7e2",
        lines: &[
            "Paravane ",
            r"Serial line: 9600 bit/s, 7e2, port 0x3f8",
            "boot complete",
        ],
        absent: NOTHING,
    },
    Effect {
        name: "options/com1-auto",
        options: "console=com1 com1=auto",
        lines: &["Serial line: speed as it was", "boot complete"],
        absent: NOTHING,
    },
    Effect {
        name: "options/loglvl-info",
        options: "console=com1 loglvl=info",
        lines: &["Memory: ", "boot complete"],
        absent: "warning",
    },
    Effect {
        name: "options/loglvl-none",
        options: "console=com1 loglvl=none",
        lines: &["boot complete"],
        absent: "Memory:|Time:|Processor:",
    },
];

/// Every effect, and the screen.
pub fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = EFFECTS
        .into_iter()
        .map(|effect| {
            Case::new(effect.name, move |context| {
                has_effect(context, effect).unwrap_or_else(|verdict| verdict)
            })
        })
        .collect();
    cases.push(Case::new("options/dom0-mem-is-not-there", |context| {
        says_what_is_not_there(context).unwrap_or_else(|verdict| verdict)
    }));
    cases.push(Case::new("options/what-is-not-had-is-said", |context| {
        says_what_is_not_had(context).unwrap_or_else(|verdict| verdict)
    }));
    cases.push(Case::new("options/dom0-max-vcpus", |context| {
        has_many_vcpus(context).unwrap_or_else(|verdict| verdict)
    }));
    for (name, line_of_guest, heard) in [
        ("options/quiet-and-deaf", QUIET, false),
        ("options/loud-and-polled", LOUD, true),
    ] {
        cases.push(Case::new(name, move |context| {
            obeys(context, line_of_guest, heard).unwrap_or_else(|verdict| verdict)
        }));
    }
    cases.push(Case::new("options/console-none", |context| {
        says_nothing(context).unwrap_or_else(|verdict| verdict)
    }));
    for (name, options, screen) in [
        ("options/vga", "console=com1,vga", Screen::Released),
        (
            "options/vga-keep",
            "console=com1,vga vga=keep",
            Screen::Kept,
        ),
        (
            "options/vga-text-80x25",
            "console=vga,com1 vga=text-80x25",
            Screen::Released,
        ),
        ("options/console-com1", "console=com1", Screen::Unused),
    ] {
        cases.push(Case::new(name, move |context| {
            shows(context, options, screen).unwrap_or_else(|verdict| verdict)
        }));
    }
    cases
}

fn has_effect(context: &Context<'_>, effect: Effect) -> Result<Verdict, Verdict> {
    let qemu = Qemu::installed().map_err(Verdict::NoVerdict)?;
    let machine = Machine {
        processors: 4,
        ..Machine::default()
    };
    let mut run = context.boot(&qemu, &machine, &Recipe::new(IMAGE, effect.options))?;
    run.wait_for(&pattern(BOOT_COMPLETE)?, BOOT_LIMIT)
        .map_err(|missing| no_line("the end-of-boot line", &missing))?;
    let mut lines = run.lines().iter();
    for expected in effect.lines {
        let expected = pattern(expected)?;
        if !lines.any(|line| expected.is_match(&line.text)) {
            return Ok(Verdict::Fail(format!(
                "no line matches '{expected}', or not in its place"
            )));
        }
    }
    let absent = pattern(effect.absent)?;
    let unwanted = run.lines().iter().find(|line| absent.is_match(&line.text));
    Ok(match unwanted {
        Some(line) => Verdict::Fail(format!("this must not come: '{}'", line.text)),
        None => Verdict::Pass(String::new()),
    })
}

/// Boots `machine`, with a first domain that ends at once if `domain` says so, and waits for lines in their order.
fn says(
    context: &Context<'_>,
    machine: &Machine,
    options: &str,
    domain: Domain,
    lines: &[&str],
) -> Result<Verdict, Verdict> {
    let qemu = Qemu::installed().map_err(Verdict::NoVerdict)?;
    let mut recipe = Recipe::new(IMAGE, options);
    if domain == Domain::EndsAtOnce {
        recipe.modules.push((
            PathBuf::from("build/kernels/kernel"),
            "test=trap/unhandled".into(),
        ));
    }
    let mut run = context.boot(&qemu, machine, &recipe)?;
    for line in lines {
        run.wait_for(&pattern(line)?, DOMAIN_LIMIT)
            .map_err(|missing| no_line(line, &missing))?;
    }
    Ok(Verdict::Pass(String::new()))
}

/// What runs on the hypervisor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Domain {
    None,
    EndsAtOnce,
}

/// The first domain starts with less than was asked for, and that is said whatever the log level.
fn says_what_is_not_there(context: &Context<'_>) -> Result<Verdict, Verdict> {
    let machine = Machine {
        memory_mib: 512,
        ..Machine::default()
    };
    says(
        context,
        &machine,
        "console=com1 loglvl=none noreboot dom0_mem=64M,min:4G,max:1G",
        Domain::EndsAtOnce,
        &[
            r"warning: dom0_mem=64M is below the minimum asked for: the first domain starts with (3|4)\d\d MiB",
            r"warning: dom0_mem=min:4G is more than the machine has free: .* starts with (3|4)\d\d MiB",
            r"warning: dom0_mem=max:1G is more than the machine has free: .* can have (3|4)\d\d MiB",
            LAST,
        ],
    )
}

/// What was asked for and can't be had is said, whatever the log level.
fn says_what_is_not_had(context: &Context<'_>) -> Result<Verdict, Verdict> {
    let machine = Machine {
        cpu: "qemu64,-x2apic".into(),
        ..Machine::default()
    };
    says(
        context,
        &machine,
        "console=com1 loglvl=none x2apic=yes",
        Domain::None,
        &[
            "warning: option x2apic: the processor has no x2APIC",
            BOOT_COMPLETE,
        ],
    )
}

/// The first domain has as many vCPUs as the option says, up to the most it takes.
fn has_many_vcpus(context: &Context<'_>) -> Result<Verdict, Verdict> {
    says(
        context,
        &Machine::default(),
        "console=com1 noreboot dom0_mem=64M dom0_max_vcpus=8192",
        Domain::EndsAtOnce,
        &[r"First domain: .*, 8192 vCPUs", LAST],
    )
}

/// Messages that guests cause are not wanted, and the serial line's interrupt is not what it is: what is typed is
/// not heard. More virtual processors than there are processors.
const QUIET: &str = "guest_loglvl=none com1=115200,8n1,0x3f8,3 dom0_max_vcpus=3-5";
/// All messages are wanted, the line is looked at, and there are fewer virtual processors than processors.
const LOUD: &str = "guest_loglvl=all com1=,,,0 dom0_max_vcpus=-1";
/// How long nothing must come of what is typed: it takes some milliseconds where it is heard.
const SILENCE: Duration = Duration::from_secs(2);

/// Boots a kernel that makes mistakes on two processors, and types when it has made them. Whether its mistakes are told, and
/// whether what is typed is heard, is `heard`.
fn obeys(context: &Context<'_>, options: &str, heard: bool) -> Result<Verdict, Verdict> {
    let qemu = Qemu::installed().map_err(Verdict::NoVerdict)?;
    let machine = Machine {
        processors: 2,
        ..Machine::default()
    };
    let options = format!("console=com1 loglvl=all noreboot dom0_mem=64M {options}");
    let mut recipe = Recipe::new(IMAGE, options);
    recipe.modules.push((
        PathBuf::from("build/kernels/kernel"),
        "test=call/unknown-numbers end=none".into(),
    ));
    let mut run = context.boot(&qemu, &machine, &recipe)?;
    let vcpus = if heard { 1 } else { 3 };
    for line in [&format!("First domain: .*, {vcpus} vCPUs"), "VERDICT: PASS"] {
        run.wait_for(&pattern(line)?, DOMAIN_LIMIT)
            .map_err(|missing| no_line(line, &missing))?;
    }
    let has = |run: &Run, wanted: &str| -> Result<bool, Verdict> {
        let wanted = pattern(wanted)?;
        Ok(run.lines().iter().any(|line| wanted.is_match(&line.text)))
    };
    if has(&run, "there is no hypercall")? != heard {
        return Ok(Verdict::Fail(format!(
            "the kernel's mistakes should be told: {heard}"
        )));
    }
    if has(&run, "com1: no interrupt")? != heard {
        return Ok(Verdict::Fail(format!(
            "the line should be looked at: {heard}"
        )));
    }
    run.send("\x01\x01\x01")
        .map_err(|error| Verdict::NoVerdict(format!("nothing can be typed: {error}")))?;
    let limit = if heard { DOMAIN_LIMIT } else { SILENCE };
    Ok(match run.wait_for(&pattern("Input goes to")?, limit) {
        Ok(_) if heard => Verdict::Pass(String::new()),
        Ok(_) => Verdict::Fail("what is typed is heard by another interrupt".into()),
        Err(missing) if heard => no_line("an answer to what is typed", &missing),
        Err(Missing::TimedOut) => Verdict::Pass(String::new()),
        Err(missing) => no_line("nothing", &missing),
    })
}

/// Nothing is said, by the hypervisor or for the first domain, and both run all the same.
fn says_nothing(context: &Context<'_>) -> Result<Verdict, Verdict> {
    let qemu = Qemu::installed().map_err(Verdict::NoVerdict)?;
    let mut recipe = Recipe::new(IMAGE, "console=none loglvl=all noreboot dom0_mem=64M");
    // It ends the machine by itself, with a status that says that it is content.
    recipe.modules.push((
        PathBuf::from("build/kernels/kernel"),
        "test=call/unknown-numbers".into(),
    ));
    let mut run = context.boot(&qemu, &Machine::default(), &recipe)?;
    let verdict = Verdict::of_ending(run.wait_for_end(DOMAIN_LIMIT));
    let said = pattern(r"\(PV\)|VERDICT")?;
    let unwanted = run.lines().iter().find(|line| said.is_match(&line.text));
    Ok(match unwanted {
        Some(line) => Verdict::Fail(format!("this must not come: '{}'", line.text)),
        None => verdict,
    })
}

/// What becomes of the screen when the first domain starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Screen {
    /// It is the domain's.
    Released,
    /// Messages go on.
    Kept,
    /// There never were any.
    Unused,
}

/// The text buffer: two bytes for each of 2,000 characters.
const READ_SCREEN: &str = "xp /4000bx 0xb8000";
/// Said after the first domain has started, when it has ended.
const LAST: &str = "Hardware Dom0 crashed";
/// From the end of the boot to that.
const DOMAIN_LIMIT: Duration = Duration::from_secs(60);

/// Whether the screen shows what was said before the first domain started, and after.
fn shows(context: &Context<'_>, options: &str, screen: Screen) -> Result<Verdict, Verdict> {
    let qemu = Qemu::installed().map_err(Verdict::NoVerdict)?;
    let machine = Machine {
        board: Board::Pc,
        ..Machine::default()
    };
    let mut recipe = Recipe::new(IMAGE, format!("{options} loglvl=all noreboot dom0_mem=64M"));
    recipe.modules.push((
        PathBuf::from("build/kernels/kernel"),
        "test=trap/unhandled".into(),
    ));
    let mut run = context.boot(&qemu, &machine, &recipe)?;
    run.wait_for(&pattern(BOOT_COMPLETE)?, BOOT_LIMIT)
        .map_err(|missing| no_line("the end-of-boot line", &missing))?;
    run.wait_for(&pattern(LAST)?, DOMAIN_LIMIT)
        .map_err(|missing| no_line("the domain's end", &missing))?;
    let dump = run
        .command_monitor(READ_SCREEN)
        .map_err(|error| Verdict::NoVerdict(format!("QEMU's monitor: {error}")))?;
    let text = characters(&dump);
    let found = (text.contains("boot complete"), text.contains(LAST));
    let expected = match screen {
        Screen::Released => (true, false),
        Screen::Kept => (true, true),
        Screen::Unused => (false, false),
    };
    Ok(if found == expected {
        Verdict::Pass(String::new())
    } else {
        Verdict::Fail(format!(
            "the screen shows the end of boot, the domain's end: {found:?}, should be {expected:?}; it shows '{text}'"
        ))
    })
}

/// The characters in the monitor's dump of a text buffer: every other byte.
fn characters(dump: &str) -> String {
    let bytes = dump
        .split_whitespace()
        .filter_map(|word| u8::from_str_radix(word.strip_prefix("0x")?, 16).ok());
    bytes.step_by(2).map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::characters;

    #[test]
    fn the_screen_is_read() {
        let dump = "xp /8bx 0xb8000\r\n\
                    00000000000b8000: 0x42 0x07 0x6f 0x07 0x6f 0x07 0x74 0x07\r\n(qemu) ";
        assert_eq!(characters(dump), "Boot");
    }
}
