//! The values that options take, and how they are read.
#![forbid(unsafe_code)]

use super::dom0_memory::{Dom0Memory, MemoryAmount};
use super::warning::{Problem, Wants};
use bitflags::bitflags;

bitflags! {
    /// `console=`: where messages go.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Consoles: u8 {
        /// The first serial line.
        const COM1 = 1 << 0;
        /// The screen.
        const VGA = 1 << 1;
    }
}

/// The screen's mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VgaMode {
    /// As the boot loader left it.
    Current,
    /// Text, 80 columns and 25 rows.
    Text80x25,
}

/// `vga=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vga {
    /// Its mode.
    pub mode: VgaMode,
    /// Whether messages go on to the screen after the first domain has started.
    pub is_kept: bool,
}

/// How important a message is; a threshold prints its own level and those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// As a threshold: nothing.
    None,
    /// Something failed.
    Error,
    /// Something may be wrong.
    Warning,
    /// Something worth knowing happened.
    Info,
    /// Everything.
    Debug,
}

/// `loglvl=` and `guest_loglvl=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogThreshold {
    /// Messages up to this level are printed.
    pub always: LogLevel,
    /// Those above it, up to this level, are printed if there are not too many; not below `always`.
    pub rate_limited: LogLevel,
}

/// `dom0_max_vcpus=`: as many virtual processors as there are processors, within these ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VcpuCount {
    /// At least; at least 1.
    pub min: u32,
    /// At most; not below `min`.
    pub max: u32,
}

/// `watchdog`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watchdog {
    /// Off.
    Off,
    /// On.
    On,
    /// On, even where a self-test says that it does not work.
    Forced,
}

/// `test=`: what a test build is to do to itself.
#[cfg(feature = "planted-faults")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TestRequest {
    /// Leave the emulator at the end of the boot.
    Exit,
    /// Say whether its page tables are what they promise.
    Audit,
    /// Lose a reference on a frame of the first domain.
    LoseReference,
    /// Map as much memory as if there was less room for it: 2 GiB.
    LowLimit,
    /// Be of another version than all tools for control.
    OtherVersion,
    /// Commit a fault.
    Fault {
        /// Which.
        fault: PlantedFault,
        /// On which processor, from 0.
        cpu: u32,
    },
}

#[cfg(feature = "planted-faults")]
macro_rules! planted_faults {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// A fault that a test build commits on request.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum PlantedFault {
            $($(#[$doc])* $variant,)*
        }

        impl PlantedFault {
            const NAMES: &'static str = concat!($($name, " ",)*);

            fn named(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

#[cfg(feature = "planted-faults")]
planted_faults! {
    /// A read through a null pointer.
    NullRead = "null-read",
    /// A write to the hypervisor's text.
    WriteText = "write-text",
    /// A jump to data.
    ExecuteData = "execute-data",
    /// A recursion without end.
    StackOverflow = "stack-overflow",
    /// The same on the stack of boot, on the early page tables.
    EarlyStackOverflow = "early-stack-overflow",
    /// The same on the stack of boot, on the final page tables.
    BootStackOverflow = "boot-stack-overflow",
    /// The same in the handler of a non-maskable interrupt.
    NmiStackOverflow = "nmi-stack-overflow",
    /// A read of memory that guests may read, where the processor forbids that to the hypervisor.
    UserRead = "user-read",
    /// A failed assertion.
    Assertion = "assert",
    /// An integer division by zero.
    DivideByZero = "divide",
    /// An instruction that does not exist.
    InvalidOpcode = "invalid-opcode",
    /// A non-maskable interrupt to itself.
    Nmi = "nmi",
    /// A loop with interrupts off, for the watchdog.
    Stuck = "stuck",
    /// A processor that does nothing more, whatever is sent to it.
    Dead = "dead",
    /// A processor that does nothing when it is started.
    NeverArrives = "never-arrives",
    /// Takes a lock under another one that comes after it.
    LockOrder = "lock-order",
    /// A failed assertion, while all other processors talk without end.
    WhileOthersTalk = "while-others-talk",
}

/// Largest amount of memory, bytes: what can be addressed physically.
const MAX_BYTES: u64 = 1 << 52;
/// Most virtual processors of a domain.
const MAX_VCPUS: u64 = 8192;

/// A truth value in any of the forms that administrators know.
pub(super) fn boolean(value: &str) -> Option<bool> {
    match value {
        "yes" | "on" | "true" | "enable" | "1" => Some(true),
        "no" | "off" | "false" | "disable" | "0" => Some(false),
        _ => None,
    }
}

/// A number from `minimum` to `maximum`, decimal, or hexadecimal after `0x`.
pub(super) fn number(part: &str, minimum: u64, maximum: u64) -> Result<u64, Problem<'_>> {
    let problem = Problem {
        part,
        wants: Wants::Number { minimum, maximum },
    };
    let number = digits(part).ok_or(problem)?;
    if (minimum..=maximum).contains(&number) {
        Ok(number)
    } else {
        Err(problem)
    }
}

/// Digits only; `from_str_radix` would also take a sign.
fn digits(part: &str) -> Option<u64> {
    let hexadecimal = part.strip_prefix("0x").or_else(|| part.strip_prefix("0X"));
    let (digits, radix) = hexadecimal.map_or((part, 10), |digits| (digits, 16));
    if digits.starts_with('+') {
        return None;
    }
    u64::from_str_radix(digits, radix).ok()
}

/// `com1`, `vga` and `none`, separated by commas.
pub(super) fn consoles(value: &str) -> Result<Consoles, Problem<'_>> {
    value
        .split(',')
        .try_fold(Consoles::empty(), |consoles, part| match part {
            "com1" => Ok(consoles | Consoles::COM1),
            "vga" => Ok(consoles | Consoles::VGA),
            "none" => Ok(consoles),
            _ => Err(Problem {
                part,
                wants: Wants::OneOf("com1, vga, none"),
            }),
        })
}

/// A mode, `keep`, or both.
pub(super) fn vga(value: &str) -> Result<Vga, Problem<'_>> {
    let mut vga = Vga {
        mode: VgaMode::Current,
        is_kept: false,
    };
    for part in value.split(',') {
        match part {
            "keep" => vga.is_kept = true,
            "current" => vga.mode = VgaMode::Current,
            "text-80x25" => vga.mode = VgaMode::Text80x25,
            _ => {
                let offered =
                    "current, text-80x25, keep (other modes: let the boot loader set them)";
                let is_known = part == "ask"
                    || ["text-80x", "gfx-", "mode-"]
                        .iter()
                        .any(|known| part.starts_with(known));
                let wants = if is_known {
                    Wants::Offered(offered)
                } else {
                    Wants::OneOf("current, text-80x25, keep")
                };
                return Err(Problem { part, wants });
            }
        }
    }
    Ok(vga)
}

/// `<level>[/<rate-limited level>]`.
pub(super) fn log_threshold(value: &str) -> Result<LogThreshold, Problem<'_>> {
    let (always, rate_limited) = match value.split_once('/') {
        Some((always, rate_limited)) => (log_level(always)?, log_level(rate_limited)?),
        None => (log_level(value)?, LogLevel::None),
    };
    Ok(LogThreshold {
        always,
        rate_limited: rate_limited.max(always),
    })
}

fn log_level(part: &str) -> Result<LogLevel, Problem<'_>> {
    Ok(match part {
        "none" => LogLevel::None,
        "error" => LogLevel::Error,
        "warning" => LogLevel::Warning,
        "info" => LogLevel::Info,
        "debug" | "all" => LogLevel::Debug,
        _ => {
            return Err(Problem {
                part,
                wants: Wants::OneOf("none, error, warning, info, debug, all"),
            });
        }
    })
}

/// `<size>`, `min:<size>` and `max:<size>`, separated by commas, put into what earlier words said:
/// scripts that compose a line from two settings write the option twice.
pub(super) fn dom0_memory(mut memory: Dom0Memory, value: &str) -> Result<Dom0Memory, Problem<'_>> {
    for part in value.split(',') {
        if let Some(size) = part.strip_prefix("min:") {
            memory.min = Some(memory_amount(size)?);
        } else if let Some(size) = part.strip_prefix("max:") {
            memory.max = Some(memory_amount(size)?);
        } else {
            memory.amount = Some(memory_amount(part)?);
        }
    }
    Ok(memory)
}

/// A size, after `-` the size that is left to others.
fn memory_amount(part: &str) -> Result<MemoryAmount, Problem<'_>> {
    let problem = Problem {
        part,
        wants: Wants::Form("a size above 0 and at most 4096T, such as 512M, 4G or -1G"),
    };
    let (is_rest, size) = part
        .strip_prefix('-')
        .map_or((false, part), |size| (true, size));
    let (digits, shift) = match size.as_bytes().last().map(u8::to_ascii_uppercase) {
        Some(b'T') => (&size[..size.len() - 1], 40),
        Some(b'G') => (&size[..size.len() - 1], 30),
        Some(b'M') => (&size[..size.len() - 1], 20),
        Some(b'K') => (&size[..size.len() - 1], 10),
        // In a hexadecimal number it would be a digit.
        Some(b'B') if !size.starts_with("0x") && !size.starts_with("0X") => {
            (&size[..size.len() - 1], 0)
        }
        _ => (size, 10),
    };
    let number = number(digits, 1, MAX_BYTES >> shift).map_err(|_| problem)?;
    let bytes = number << shift;
    Ok(if is_rest {
        MemoryAmount::AllBut(bytes)
    } else {
        MemoryAmount::Bytes(bytes)
    })
}

/// `<n>`, `<min>-<max>`, `<min>-` or `-<max>`.
pub(super) fn vcpu_count(value: &str) -> Result<VcpuCount, Problem<'_>> {
    let count = |part| number(part, 1, MAX_VCPUS).map(|number| number as u32);
    let Some((min, max)) = value.split_once('-') else {
        let exact = count(value)?;
        return Ok(VcpuCount {
            min: exact,
            max: exact,
        });
    };
    if min.is_empty() && max.is_empty() {
        return Err(Problem {
            part: value,
            wants: Wants::Form("a number or a range such as 2-8"),
        });
    }
    let min = if min.is_empty() { 1 } else { count(min)? };
    let max = if max.is_empty() {
        MAX_VCPUS as u32
    } else {
        count(max)?
    };
    if max < min {
        return Err(Problem {
            part: value,
            wants: Wants::Form("a range whose end is not below its start"),
        });
    }
    Ok(VcpuCount { min, max })
}

/// `credit`.
pub(super) fn scheduler(value: &str) -> Result<(), Problem<'_>> {
    if value == "credit" {
        Ok(())
    } else {
        Err(Problem {
            part: value,
            wants: Wants::Offered("credit"),
        })
    }
}

/// `force`.
pub(super) fn watchdog(value: &str) -> Result<Watchdog, Problem<'_>> {
    let wants = Wants::OneOf("yes, no, force");
    if value == "force" {
        Ok(Watchdog::Forced)
    } else {
        Err(Problem { part: value, wants })
    }
}

/// Microseconds; 0 is none.
pub(super) fn ratelimit_us(value: &str) -> Result<u32, Problem<'_>> {
    if value == "0" {
        Ok(0)
    } else {
        number(value, 100, 500_000).map(|number| number as u32)
    }
}

/// `exit`, `audit`, `lose-reference`, `low-limit`, `other-version` or `fault:<name>@<cpu>`.
#[cfg(feature = "planted-faults")]
pub(super) fn test(value: &str) -> Result<TestRequest, Problem<'_>> {
    if value == "exit" {
        return Ok(TestRequest::Exit);
    }
    if value == "audit" {
        return Ok(TestRequest::Audit);
    }
    if value == "lose-reference" {
        return Ok(TestRequest::LoseReference);
    }
    if value == "low-limit" {
        return Ok(TestRequest::LowLimit);
    }
    if value == "other-version" {
        return Ok(TestRequest::OtherVersion);
    }
    let fault = value
        .strip_prefix("fault:")
        .and_then(|fault| fault.split_once('@'));
    let Some((name, cpu)) = fault else {
        return Err(Problem {
            part: value,
            wants: Wants::Form(
                "exit, audit, lose-reference, low-limit, other-version or fault:<name>@<cpu>",
            ),
        });
    };
    let fault = PlantedFault::named(name).ok_or(Problem {
        part: name,
        wants: Wants::OneOf(PlantedFault::NAMES),
    })?;
    Ok(TestRequest::Fault {
        fault,
        cpu: number(cpu, 0, u32::MAX.into())? as u32,
    })
}
