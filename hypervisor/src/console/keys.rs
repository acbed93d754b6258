//! The debug keys: which there are, and what people are told about them.

#![forbid(unsafe_code)]

use core::fmt;

/// What a key does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DebugKey {
    /// Lists the keys.
    Help,
    /// All reports, one after the other.
    All,
    /// Domains and vCPUs.
    Domains,
    /// Registers of the first domain's vCPUs.
    Registers,
    /// Event channels.
    Events,
    /// Grant tables.
    Grants,
    /// Memory.
    Memory,
    /// Run queues.
    RunQueues,
    /// Timers.
    Timers,
    /// The last hypercalls and exceptions.
    Hypercalls,
    /// The audit of the frame table.
    Audit,
    /// Reboots.
    Reboot,
    /// Dies, with a report.
    Crash,
}

/// A key.
#[derive(Clone, Copy, Debug)]
pub struct KeyEntry {
    /// The character.
    pub letter: u8,
    /// What it does.
    pub key: DebugKey,
    /// The same in words.
    pub help: &'static str,
    /// Whether `*` does it too: it reports, and the machine goes on.
    pub is_report: bool,
}

const fn entry(letter: u8, key: DebugKey, help: &'static str) -> KeyEntry {
    KeyEntry {
        letter,
        key,
        help,
        is_report: false,
    }
}

const fn report(letter: u8, key: DebugKey, help: &'static str) -> KeyEntry {
    KeyEntry {
        letter,
        key,
        help,
        is_report: true,
    }
}

/// All keys, in the order in which they are listed. Letters mean what administrators are used to.
pub const KEYS: [KeyEntry; 13] = [
    entry(b'h', DebugKey::Help, "this list"),
    entry(b'*', DebugKey::All, "all reports"),
    report(b'q', DebugKey::Domains, "domains and their vCPUs"),
    report(
        b'0',
        DebugKey::Registers,
        "registers of the first domain's vCPUs",
    ),
    report(b'e', DebugKey::Events, "event channels"),
    report(b'g', DebugKey::Grants, "grants and mappings of them"),
    report(b'm', DebugKey::Memory, "memory"),
    report(b'r', DebugKey::RunQueues, "run queues"),
    report(b'a', DebugKey::Timers, "timers"),
    report(
        b'L',
        DebugKey::Hypercalls,
        "the last hypercalls and exceptions of each vCPU",
    ),
    entry(
        b'F',
        DebugKey::Audit,
        "audit of all frame counts (guests stop meanwhile)",
    ),
    entry(b'R', DebugKey::Reboot, "reboot the machine at once"),
    entry(
        b'C',
        DebugKey::Crash,
        "crash the hypervisor, with its report",
    ),
];

/// The key with this character.
#[must_use]
pub fn find(letter: u8) -> Option<&'static KeyEntry> {
    KEYS.iter().find(|entry| entry.letter == letter)
}

/// The keys that `*` stands for.
pub fn reports() -> impl Iterator<Item = &'static KeyEntry> {
    KEYS.iter().filter(|entry| entry.is_report)
}

impl fmt::Display for KeyEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {}  {}", char::from(self.letter), self.help)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn each_letter_means_one_thing_and_each_thing_has_one_letter() {
        for (index, entry) in KEYS.iter().enumerate() {
            assert!(entry.letter.is_ascii_graphic());
            for other in &KEYS[index + 1..] {
                assert_ne!(entry.letter, other.letter);
                assert_ne!(entry.key, other.key);
            }
            assert_eq!(find(entry.letter).map(|found| found.key), Some(entry.key));
        }
        assert!(find(b'~').is_none() && find(0).is_none());
    }

    #[test]
    fn all_reports_leave_the_machine_running() {
        assert!(reports().all(|entry| !matches!(
            entry.key,
            DebugKey::All | DebugKey::Help | DebugKey::Reboot | DebugKey::Crash
        )));
        assert_eq!(reports().count(), 8);
    }

    #[test]
    fn the_list_names_letter_and_meaning() {
        assert_eq!(KEYS[0].to_string(), "  h  this list");
    }
}
