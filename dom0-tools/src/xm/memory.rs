//! Subcommands about memory.

use super::arguments::Arguments;
use super::failure::Failure;
use super::host::unexpected;
use super::run::{Session, expect};
use crate::daemon::logging::date_and_time;
use crate::xend::protocol::{Request, Response};
use crate::xend::view::{MemoryRow, MemoryView, Refusal};
use std::fmt::Write;

pub(super) fn run(
    name: &str,
    arguments: &Arguments,
    session: &mut Session<'_>,
) -> Result<(), Failure> {
    expect(name, arguments, 2, 2)?;
    let [domain, amount] = arguments.words.as_slice() else {
        return Err(unexpected());
    };
    let mib = mib(amount).ok_or_else(|| Failure::with_usage("Invalid argument."))?;
    let domain = domain.clone();
    let request = match name {
        "mem-set" => Request::SetMemory { domain, mib },
        _ => Request::LimitMemory { domain, mib },
    };
    session.ask(&request).map(drop)
}

/// An amount: MiB, or with a letter behind it KiB, MiB or GiB. What is not a whole MiB is left out.
fn mib(text: &str) -> Option<u64> {
    let letter = text.chars().last()?.to_ascii_lowercase();
    let number = text.strip_suffix(|c: char| c.is_ascii_alphabetic());
    let number: u64 = number.unwrap_or(text).parse().ok()?;
    match letter {
        'k' => Some(number >> 10),
        'g' => number.checked_mul(1 << 10),
        'm' | '0'..='9' => Some(number),
        _ => None,
    }
}

/// `xm info --memory`.
pub(super) fn show(is_json: bool, session: &mut Session<'_>) -> Result<(), Failure> {
    let Response::Memory(memory) = session.ask(&Request::Memory)? else {
        return Err(unexpected());
    };
    if is_json {
        session.print_json(&memory);
    } else {
        session.print(&text(&memory));
    }
    Ok(())
}

fn text(memory: &MemoryView) -> String {
    let mut text = String::new();
    let refusal = memory.last_refusal.as_ref();
    for (name, value) in [
        ("total_kib", memory.total_kib.to_string()),
        ("hypervisor_kib", memory.hypervisor_kib.to_string()),
        ("domains_kib", memory.domains_kib.to_string()),
        ("free_kib", memory.free_kib.to_string()),
        ("claimed_kib", memory.claimed_kib.to_string()),
        ("last_refusal", refusal.map_or("(none)".to_owned(), told)),
    ] {
        let _ = writeln!(text, "{name:<23}: {value}");
    }
    let _ = writeln!(
        text,
        "{:<32} {:>5} {:>10} {:>10} {:>10} {:>10}",
        "Name", "ID", "Current", "Target", "Maximum", "Ballooned"
    );
    for row in &memory.domains {
        let _ = writeln!(text, "{}", line(row));
    }
    text
}

fn line(row: &MemoryRow) -> String {
    // One word, so that columns can be counted.
    let maximum = row.maximum_kib;
    let maximum = maximum.map_or("unlimited".to_owned(), |kib| kib.to_string());
    format!(
        "{:<32} {:>5} {:>10} {:>10} {maximum:>10} {:>10}",
        row.name, row.domid, row.current_kib, row.target_kib, row.ballooned_kib
    )
}

/// When, who and why.
fn told(refusal: &Refusal) -> String {
    let [year, month, day, hour, minute, second] = date_and_time(refusal.time as u64);
    let when = format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}");
    format!("{when} {}: {}", refusal.name, refusal.reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read() {
        for (text, amount) in [
            ("128", Some(128)),
            ("128m", Some(128)),
            ("128M", Some(128)),
            ("131072k", Some(128)),
            ("131071K", Some(127)),
            ("2g", Some(2048)),
            ("2G", Some(2048)),
            ("0", Some(0)),
            ("", None),
            ("m", None),
            ("12x", None),
            ("1.5g", None),
            ("-5", None),
            ("12mm", None),
            ("12 m", None),
            ("18446744073709551615g", None),
            ("18446744073709551616", None),
        ] {
            assert_eq!(mib(text), amount, "{text}");
        }
    }
}
