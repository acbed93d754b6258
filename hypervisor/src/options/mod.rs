//! The boot options: one table that parses the command line and writes its own documentation.
//!
//! An option exists when it has an entry in [`TABLE`], and nowhere else: the entry holds the name, the
//! form of its value, its default, the sentence for the manual and the function that takes the value. So
//! parser, warnings and `docs/OPTIONS.md` can't disagree.
//!
//! A command line is typed by a person, who can't see it any more when something goes wrong. Hence nothing
//! in it is fatal and nothing in it is passed over: a word that is not understood changes nothing and
//! becomes a [`Warning`] that names the word and what would be right, which the caller prints as soon as
//! there is a console.
//!
//! # Words
//! Words are separated by blanks; quotation marks (`"` or `'`) keep blanks together. The later of two
//! equal options counts. `-` and `_` in names are the same. A first word that starts with `/` is the
//! image's path and is stepped over. What follows a word `--` belongs to the first domain's kernel.
#![forbid(unsafe_code)]

mod documentation;
mod dom0_memory;
mod serial;
mod table;
mod values;
mod warning;
mod words;

pub use documentation::documentation;
pub use dom0_memory::{Dom0Memory, Dom0Pages, Limit, MemoryAmount, Shortfall};
pub use serial::{Baud, Com1, Parity};
pub use table::{Descriptor, TABLE};
pub use values::{Consoles, LogLevel, LogThreshold, VcpuCount, Vga, VgaMode, Watchdog};
#[cfg(feature = "planted-faults")]
pub use values::{PlantedFault, TestRequest};
pub use warning::{Problem, Wants, Warning, WarningKind};

use crate::machine::{BootText, Bounded};
use table::Takes;

/// Warnings that are kept word for word; more are counted. [`each_warning`] names them all.
pub const MAX_WARNINGS: usize = 16;

/// The shortest `watchdog_timeout=` that makes sense, seconds: each processor beats once a second.
pub const WATCHDOG_SHORTEST_S: u32 = 2;

/// What the administrator asked for, or the defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// `console=`: where messages go.
    pub consoles: Consoles,
    /// `com1=`: the first serial line.
    pub com1: Com1,
    /// `vga=`: the screen.
    pub vga: Vga,
    /// `loglvl=`: which of the hypervisor's messages are printed.
    pub loglvl: LogThreshold,
    /// `guest_loglvl=`: which messages about guests are printed.
    pub guest_loglvl: LogThreshold,
    /// `noreboot`: stay after a crash.
    pub is_noreboot: bool,
    /// `maxcpus=`: most processors to start; `None` is all.
    pub maxcpus: Option<u32>,
    /// `nosmp`: start no second processor.
    pub is_nosmp: bool,
    /// `dom0_mem=`: memory of the first domain.
    pub dom0_mem: Dom0Memory,
    /// `dom0_max_vcpus=`: virtual processors of the first domain; `None` is one for each processor.
    pub dom0_max_vcpus: Option<VcpuCount>,
    /// `dom0_vcpus_pin`: pin the first domain's virtual processors one to one.
    pub is_dom0_vcpus_pin: bool,
    /// `x2apic=`: `None` is "where the processor has it".
    pub x2apic: Option<bool>,
    /// `watchdog`: whether a processor that is stuck is caught.
    pub watchdog: Watchdog,
    /// `watchdog_timeout=`: seconds until it counts as stuck, [`WATCHDOG_SHORTEST_S`] at least; 0 turns the
    /// watchdog off.
    pub watchdog_timeout_s: u32,
    /// `sched_credit_tslice_ms=`: longest time slice.
    pub sched_credit_tslice_ms: u32,
    /// `sched_ratelimit_us=`: shortest time slice; 0 is none.
    pub sched_ratelimit_us: u32,
    /// `frame_audit`: audit the frame table when the first domain ends.
    pub is_frame_audit: bool,
    /// `test=`: what a test build is to do to itself.
    #[cfg(feature = "planted-faults")]
    pub test: Option<TestRequest>,
}

impl Options {
    /// What holds when nothing is said.
    pub const DEFAULT: Self = Self {
        consoles: Consoles::COM1.union(Consoles::VGA),
        com1: Com1::DEFAULT,
        vga: Vga {
            mode: VgaMode::Current,
            is_kept: false,
        },
        loglvl: LogThreshold {
            always: LogLevel::Info,
            rate_limited: LogLevel::Info,
        },
        guest_loglvl: LogThreshold {
            always: LogLevel::None,
            rate_limited: LogLevel::Warning,
        },
        is_noreboot: false,
        maxcpus: None,
        is_nosmp: false,
        dom0_mem: Dom0Memory {
            amount: None,
            min: None,
            max: None,
        },
        dom0_max_vcpus: None,
        is_dom0_vcpus_pin: false,
        x2apic: None,
        watchdog: Watchdog::Off,
        watchdog_timeout_s: 5,
        sched_credit_tslice_ms: 30,
        sched_ratelimit_us: 1000,
        is_frame_audit: false,
        #[cfg(feature = "planted-faults")]
        test: None,
    };

    /// Most processors to run on, at least 1: `maxcpus=` and `nosmp` together.
    #[must_use]
    pub const fn max_processors(&self) -> u32 {
        match self.maxcpus {
            _ if self.is_nosmp => 1,
            Some(0) => 1,
            Some(number) => number,
            None => u32::MAX,
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// A command line, understood.
#[derive(Clone, Debug)]
pub struct Parsed<'a> {
    /// What was asked for.
    pub options: Options,
    /// What was not understood, in the order of the line.
    pub warnings: Bounded<Warning<'a>, MAX_WARNINGS>,
    /// The line up to `--`, without the image's path.
    pub own_words: BootText<'a>,
    /// What follows `--`: arguments for the first domain's kernel.
    pub first_domain_arguments: BootText<'a>,
}

/// Reads a command line. Any bytes will do.
#[must_use]
pub fn parse(command_line: &[u8]) -> Parsed<'_> {
    let mut warnings = Bounded::new();
    let parsed = read(command_line, |warning| warnings.push(warning));
    Parsed { warnings, ..parsed }
}

/// Hands `say` every warning that a command line gets, in the order of the line: a mistake is named, however many
/// there are, and before there is a heap.
pub fn each_warning<'a>(command_line: &'a [u8], say: impl FnMut(Warning<'a>)) {
    let _ = read(command_line, say);
}

/// As [`parse`], with the warnings going to `say`.
fn read<'a>(command_line: &'a [u8], mut say: impl FnMut(Warning<'a>)) -> Parsed<'a> {
    let mut options = Options::DEFAULT;
    let mut words = words::Words::new(command_line);
    let mut is_first = true;
    let (mut start, mut end) = (0, 0);
    while let Some(word) = words.next_word() {
        let is_path = core::mem::take(&mut is_first) && word.text.starts_with(b"/");
        if word.text == b"--" {
            break;
        }
        if is_path {
            start = words.position();
        }
        end = words.position();
        if is_path || word.text.is_empty() {
            continue;
        }
        let mut warn = |kind| {
            say(Warning {
                word: BootText(word.text),
                kind,
            });
        };
        if !word.is_closed {
            warn(WarningKind::OpenQuotation);
        }
        match core::str::from_utf8(word.text) {
            Err(_) => warn(WarningKind::NotText),
            Ok(text) => match apply(&mut options, text) {
                Ok(()) => {
                    let asked_s = options.watchdog_timeout_s;
                    if (1..WATCHDOG_SHORTEST_S).contains(&asked_s) {
                        options.watchdog_timeout_s = WATCHDOG_SHORTEST_S;
                        warn(WarningKind::Raised {
                            to: WATCHDOG_SHORTEST_S,
                        });
                    }
                }
                Err(kind) => warn(kind),
            },
        }
    }
    Parsed {
        options,
        warnings: Bounded::new(),
        own_words: BootText(command_line.get(start..end).unwrap_or(&[]).trim_ascii()),
        first_domain_arguments: BootText(words.rest()),
    }
}

/// Applies one word; `options` is unchanged when it is refused.
fn apply<'a>(options: &mut Options, word: &'a str) -> Result<(), WarningKind<'a>> {
    let (name, value) = match word.split_once('=') {
        Some((name, value)) => (name, Some(words::unquote(value))),
        None => (word, None),
    };
    let (descriptor, is_negated) = find(name).ok_or_else(|| WarningKind::Unknown {
        meant: table::nearest(name),
    })?;
    let problem = |problem| WarningKind::Malformed {
        descriptor,
        problem,
    };
    let stray = |part, wants| problem(Problem { part, wants });
    match (descriptor.takes, value) {
        (Takes::Nothing, _) => {}
        (_, Some(value)) if is_negated => return Err(stray(value, Wants::NoValueAfterNo)),
        (Takes::Switch(set) | Takes::SwitchOr(set, _), None) => set(options, !is_negated),
        (Takes::Value(_), None) if is_negated => return Err(stray(name, Wants::NotASwitch)),
        (Takes::Value(_), None) => return Err(stray("", Wants::AValue)),
        (Takes::Value(take), Some(value)) => take(options, value).map_err(problem)?,
        (Takes::Switch(set), Some(value)) => match values::boolean(value) {
            Some(is_on) => set(options, is_on),
            None => return Err(stray(value, Wants::Boolean)),
        },
        (Takes::SwitchOr(set, take), Some(value)) => match values::boolean(value) {
            Some(is_on) => set(options, is_on),
            None => take(options, value).map_err(problem)?,
        },
    }
    Ok(())
}

/// The option that `name` means, and whether the name says "no": a name of its own comes first, then
/// `no-` and `no` before the name of another.
fn find(name: &str) -> Option<(&'static Descriptor, bool)> {
    let exact = |name: &str| {
        TABLE
            .iter()
            .find(|descriptor| table::same_name(descriptor.name, name))
    };
    if let Some(descriptor) = exact(name) {
        return Some((descriptor, false));
    }
    let rest = name.strip_prefix("no")?;
    let rest = rest.strip_prefix(['-', '_']).unwrap_or(rest);
    exact(rest).map(|descriptor| (descriptor, true))
}

#[cfg(all(test, not(loom)))]
mod tests;
