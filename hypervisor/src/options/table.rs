//! The table of options.
#![forbid(unsafe_code)]

use super::serial::Com1;
use super::values;
use super::warning::Problem;
use super::{Options, Watchdog};
use core::fmt;

/// One option.
#[derive(Clone, Copy, Debug)]
pub struct Descriptor {
    /// Its name.
    pub name: &'static str,
    /// The form of what follows the name, `=` or brackets included.
    pub form: &'static str,
    /// What holds without the option; empty where there is nothing to say.
    pub default: &'static str,
    /// What it does, Markdown.
    pub meaning: &'static str,
    /// Whether it exists in test builds only and is in no manual.
    pub is_for_tests: bool,
    /// What takes its value.
    pub(super) takes: Takes,
}

/// What an option takes, and what is done with it. A function that fails changes nothing.
#[derive(Clone, Copy, Debug)]
pub(super) enum Takes {
    /// A truth value.
    Switch(fn(&mut Options, bool)),
    /// A truth value or one of its own.
    SwitchOr(fn(&mut Options, bool), Take),
    /// A value.
    Value(Take),
    /// Anything: accepted because boot loaders' scripts write it, and without effect.
    Nothing,
}

/// Reads a value into the options.
type Take = for<'a> fn(&mut Options, &'a str) -> Result<(), Problem<'a>>;

impl Descriptor {
    /// Name and form, as one would type it.
    #[must_use]
    pub fn usage(&self) -> impl fmt::Display + use<> {
        let (name, form) = (self.name, self.form);
        fmt::from_fn(move |f| write!(f, "{name}{form}"))
    }
}

/// All options, in the manual's order.
pub static TABLE: &[Descriptor] = &[
    Descriptor {
        name: "console",
        form: "=<com1|vga|none>[,...]",
        default: "com1,vga",
        meaning: "Where messages go: the first serial line, the screen, both, or nowhere.",
        is_for_tests: false,
        takes: Takes::Value(|options, value| {
            options.consoles = values::consoles(value)?;
            Ok(())
        }),
    },
    Descriptor {
        name: "com1",
        form: "=<baud|auto>[/<clock-hz>][,<DPS>[,<io-base>[,<irq>]]]",
        default: "115200,8n1,0x3f8,4",
        meaning: "The first serial line: its speed in bits per second (`auto` leaves what firmware set), its clock if \
                  that is not 1843200 Hz, data bits (5 to 8), parity (`n`, `o`, `e`, `m`, `s`) and stop bits (1 or 2), \
                  its first I/O port, and its interrupt, by which what is typed arrives; with 0 the line is polled. An \
                  empty field keeps its default.",
        is_for_tests: false,
        takes: Takes::Value(|options, value| {
            options.com1 = Com1::parse(value)?;
            Ok(())
        }),
    },
    Descriptor {
        name: "vga",
        form: "=<current|text-80x25>[,keep]",
        default: "current",
        meaning: "The screen's mode. It is used as the boot loader left it if that is text. `text-80x25` says that it \
                  has to be text of 80 columns and 25 rows, and is a warning where the boot loader left anything else: \
                  the BIOS is never called, so the mode can't be changed from here (GRUB: `set gfxpayload=text`). UEFI has no text mode. When \
                  the first domain starts, the screen is left to it; `keep` goes on writing to it, though the domain may \
                  draw on it at the same time.",
        is_for_tests: false,
        takes: Takes::Value(|options, value| {
            options.vga = values::vga(value)?;
            Ok(())
        }),
    },
    Descriptor {
        name: "loglvl",
        form: "=<level>[/<rate-limited level>]",
        default: "info",
        meaning: "Which of the hypervisor's own messages are printed: those up to the first level always, those above \
                  it up to the second level as long as there are not too many, 10 in 5 seconds; a second level below the \
                  first adds nothing. Levels: `none`, `error`, \
                  `warning`, `info`, `debug`, `all`.",
        is_for_tests: false,
        takes: Takes::Value(|options, value| {
            options.loglvl = values::log_threshold(value)?;
            Ok(())
        }),
    },
    Descriptor {
        name: "guest_loglvl",
        form: "=<level>[/<rate-limited level>]",
        default: "none/warning",
        meaning: "As `loglvl=`, for messages that guests cause. The end of the first domain is always said.",
        is_for_tests: false,
        takes: Takes::Value(|options, value| {
            options.guest_loglvl = values::log_threshold(value)?;
            Ok(())
        }),
    },
    Descriptor {
        name: "noreboot",
        form: "[=<switch>]",
        default: "no",
        meaning: "Stay after a crash of the hypervisor or of the first domain, with its message on the console, and do not reboot.",
        is_for_tests: false,
        takes: Takes::Switch(|options, is_on| options.is_noreboot = is_on),
    },
    Descriptor {
        name: "maxcpus",
        form: "=<number>",
        default: "",
        meaning: "Start at most so many processors. 0 means 1.",
        is_for_tests: false,
        takes: Takes::Value(|options, value| {
            options.maxcpus = Some(values::number(value, 0, u32::MAX.into())? as u32);
            Ok(())
        }),
    },
    Descriptor {
        name: "nosmp",
        form: "[=<switch>]",
        default: "no",
        meaning: "Start no second processor.",
        is_for_tests: false,
        takes: Takes::Switch(|options, is_on| options.is_nosmp = is_on),
    },
    Descriptor {
        name: "dom0_mem",
        form: "=[<size>][,min:<size>][,max:<size>]",
        default: "",
        meaning: "Memory of the first domain: what it starts with, what it starts with at least, and what it can ever \
                  have. A size after `-` means all memory but so much. Given twice, the parts add up. What can't be had, or \
                  contradicts another part, is a warning that says what it became. Without it, the first domain gets all memory \
                  but a reserve for the hypervisor.",
        is_for_tests: false,
        takes: Takes::Value(|options, value| {
            options.dom0_mem = values::dom0_memory(options.dom0_mem, value)?;
            Ok(())
        }),
    },
    Descriptor {
        name: "dom0_max_vcpus",
        form: "=<number>|<min>-<max>",
        default: "",
        meaning: "Virtual processors of the first domain: so many, or as many as there are processors within the \
                  range, either end of which can be left out. Without it, one for each processor.",
        is_for_tests: false,
        takes: Takes::Value(|options, value| {
            options.dom0_max_vcpus = Some(values::vcpu_count(value)?);
            Ok(())
        }),
    },
    Descriptor {
        name: "dom0_vcpus_pin",
        form: "[=<switch>]",
        default: "no",
        meaning: "Run each virtual processor of the first domain on one processor only: the first on the first and so \
                  on, from the first again where there are more.",
        is_for_tests: false,
        takes: Takes::Switch(|options, is_on| options.is_dom0_vcpus_pin = is_on),
    },
    Descriptor {
        name: "sched",
        form: "=credit",
        default: "",
        meaning: "The scheduler. There is one: domains share the processors by weight, up to their caps (`xm \
                  sched-credit`).",
        is_for_tests: false,
        takes: Takes::Value(|_, value| values::scheduler(value)),
    },
    Descriptor {
        name: "sched_credit_tslice_ms",
        form: "=<1..1000>",
        default: "30",
        meaning: "The longest time that a virtual processor runs while others wait, in milliseconds. Tools can change it.",
        is_for_tests: false,
        takes: Takes::Value(|options, value| {
            options.sched_credit_tslice_ms = values::number(value, 1, 1000)? as u32;
            Ok(())
        }),
    },
    Descriptor {
        name: "sched_ratelimit_us",
        form: "=<0|100..500000>",
        default: "1000",
        meaning: "The shortest time that a virtual processor runs before one that is woken takes its place, in \
                  microseconds, but for a few times; 0 for none. It is never more than `sched_credit_tslice_ms`. Tools \
                  can change it.",
        is_for_tests: false,
        takes: Takes::Value(|options, value| {
            options.sched_ratelimit_us = values::ratelimit_us(value)?;
            Ok(())
        }),
    },
    Descriptor {
        name: "x2apic",
        form: "[=<switch>]",
        default: "",
        meaning: "Whether interrupt controllers are used in x2APIC mode. Without it, where the processors have it.",
        is_for_tests: false,
        takes: Takes::Switch(|options, is_on| options.x2apic = Some(is_on)),
    },
    Descriptor {
        name: "watchdog",
        form: "[=<switch>|force]",
        default: "no",
        meaning: "Catch a processor that is stuck with interrupts off, by a non-maskable interrupt. `force` says \
                  the same: there is no test at boot that it could overrule.",
        is_for_tests: false,
        takes: Takes::SwitchOr(
            |options, is_on| options.watchdog = if is_on { Watchdog::On } else { Watchdog::Off },
            |options, value| {
                options.watchdog = values::watchdog(value)?;
                Ok(())
            },
        ),
    },
    Descriptor {
        name: "watchdog_timeout",
        form: "=<seconds>",
        default: "5",
        meaning: "How long a processor may be stuck until the watchdog ends it; 1 is too short and becomes 2. 0 turns the watchdog off.",
        is_for_tests: false,
        takes: Takes::Value(|options, value| {
            options.watchdog_timeout_s = values::number(value, 0, 3600)? as u32;
            Ok(())
        }),
    },
    Descriptor {
        name: "frame_audit",
        form: "[=<switch>]",
        default: "no",
        meaning: "When the first domain ends, compare the books of memory with every reference that can be found, and \
                  say how many frames are wrong, before the machine ends.",
        is_for_tests: false,
        takes: Takes::Switch(|options, is_on| options.is_frame_audit = is_on),
    },
    Descriptor {
        name: "placeholder",
        form: "",
        default: "",
        meaning: "Accepted and without effect, as `noplaceholder` too: boot loaders' scripts write it.",
        is_for_tests: false,
        takes: Takes::Nothing,
    },
    Descriptor {
        name: "real-mode",
        form: "",
        default: "",
        meaning: "Accepted and without effect, as `no-real-mode` too: the BIOS is never called.",
        is_for_tests: false,
        takes: Takes::Nothing,
    },
    Descriptor {
        name: "edd",
        form: "=<word>",
        default: "",
        meaning: "Accepted and without effect: the BIOS is never asked about disks.",
        is_for_tests: false,
        takes: Takes::Nothing,
    },
    #[cfg(feature = "planted-faults")]
    Descriptor {
        name: "test",
        form: "=exit|audit|lose-reference|low-limit|other-version|fault:<name>@<cpu>",
        default: "",
        meaning: "What a test build is to do to itself.",
        is_for_tests: true,
        takes: Takes::Value(|options, value| {
            options.test = Some(values::test(value)?);
            Ok(())
        }),
    },
];

/// Whether two names are the same, `-` and `_` being equal.
pub(super) fn same_name(a: &str, b: &str) -> bool {
    let plain = |byte: u8| if byte == b'-' { b'_' } else { byte };
    a.len() == b.len() && a.bytes().map(plain).eq(b.bytes().map(plain))
}

/// The option that somebody who typed `name` probably meant: at most two letters are different. Capitals are the
/// same as small letters.
pub(super) fn nearest(name: &str) -> Option<&'static Descriptor> {
    let candidates = TABLE
        .iter()
        .filter_map(|descriptor| Some((distance(descriptor.name, name)?, descriptor)));
    // In a very short name two different letters make it another name.
    let similar = candidates.filter(|(distance, _)| *distance <= 2 && distance * 3 <= name.len());
    similar
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, descriptor)| descriptor)
}

/// Letters to change, add or take away to make `b` of `a` (Levenshtein); `None` for names too long to be
/// one of ours.
fn distance(a: &str, b: &str) -> Option<usize> {
    const LONGEST: usize = 32;
    let mut row: [usize; LONGEST + 1] = core::array::from_fn(|index| index);
    let row = row.get_mut(..=b.len())?;
    for (line, x) in a.bytes().enumerate() {
        let mut diagonal = line;
        row[0] = line + 1;
        for (column, y) in b.bytes().enumerate() {
            let changed = diagonal + usize::from(!x.eq_ignore_ascii_case(&y));
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row.last().copied()
}
