//! What a configuration of GRUB offers.

use serde::{Deserialize, Serialize};

/// Entries that are taken of a configuration; the rest is left.
pub const MOST_ENTRIES: usize = 256;
/// Bytes of a title that are taken.
const MOST_TITLE_BYTES: usize = 200;

/// Whether a letter makes a terminal show something else than what is written: a control character, one that turns the
/// direction of what follows, or one that ends a line.
pub(super) fn deceives(letter: char) -> bool {
    letter.is_control()
        || matches!(
            letter,
            '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}'
        )
}

/// An entry, or one of the menus that it is in.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Step {
    /// Its place among its neighbours.
    pub(super) index: usize,
    pub(super) title: String,
    pub(super) id: String,
}

impl Step {
    fn is(&self, name: &str) -> bool {
        match name.parse::<usize>() {
            Ok(index) => self.index == index,
            Err(_) => self.title == name || (!self.id.is_empty() && self.id == name),
        }
    }
}

/// A file of the guest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Place {
    /// The number of the partition that the configuration names, from 1 on.
    pub(super) partition: Option<u32>,
    pub(super) path: String,
}

/// What one may boot.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Entry {
    /// From the outermost menu to the entry itself.
    pub(super) steps: Vec<Step>,
    pub(super) kernel: Option<Place>,
    pub(super) arguments: String,
    pub(super) ramdisks: Vec<Place>,
}

impl Entry {
    /// What people see.
    pub(super) fn title(&self) -> String {
        let titles: Vec<_> = self.steps.iter().map(|step| step.title.as_str()).collect();
        let mut title = titles.join(" > ");
        let end = title.floor_char_boundary(MOST_TITLE_BYTES);
        title.truncate(end);
        title.replace(deceives, "?")
    }
}

/// All of it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Configuration {
    pub(super) entries: Vec<Entry>,
    /// What is booted unless somebody chooses: a number, a title, an identity, or some of them with `>` between.
    pub(super) default: String,
    /// How long somebody may choose; `None`: as long as it takes.
    pub(super) timeout_seconds: Option<u32>,
    /// It lists entries in a way that is not read here.
    pub(super) has_others: bool,
}

impl Configuration {
    /// The entry of this name, and its number.
    pub(super) fn named(&self, name: &str) -> Option<usize> {
        let names = split(name);
        let is_it = |entry: &Entry| {
            entry.steps.len() >= names.len()
                && entry
                    .steps
                    .iter()
                    .zip(&names)
                    .all(|(step, name)| step.is(name))
        };
        // Of a menu it is the first entry.
        self.entries.iter().position(is_it)
    }

    /// The entry that is booted unless somebody chooses: GRUB takes the first for one that is not there.
    pub(super) fn default_entry(&self) -> usize {
        let default = self.default.trim();
        let named = if default.is_empty() {
            None
        } else {
            self.named(default)
        };
        named.unwrap_or(0)
    }

    /// As it is offered.
    pub(super) fn menu(&self) -> Menu {
        Menu {
            titles: self.entries.iter().map(Entry::title).collect(),
            default: self.default_entry() as u32,
            timeout_seconds: self.timeout_seconds,
        }
    }
}

/// The parts of `a>b`; `>>` is a `>` of a title.
fn split(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut letters = name.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter == '>' && letters.next_if_eq(&'>').is_none() {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(letter);
        }
    }
    parts
}

/// What is offered to who chooses.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Menu {
    /// Of each entry, without letters that could deceive who reads them.
    pub titles: Vec<String>,
    /// The number of the one that is booted unless somebody chooses.
    pub default: u32,
    /// How long somebody may choose; `None`: as long as it takes.
    pub timeout_seconds: Option<u32>,
}

/// Which entry is wanted.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Choice {
    /// The one that the configuration boots unless somebody chooses.
    #[default]
    Default,
    /// The one of this number in a [`Menu`].
    Numbered(u32),
    /// As the configuration itself could name it.
    Named(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(steps: &[(usize, &str, &str)]) -> Entry {
        let step = |&(index, title, id): &(usize, &str, &str)| Step {
            index,
            title: title.to_owned(),
            id: id.to_owned(),
        };
        Entry {
            steps: steps.iter().map(step).collect(),
            ..Entry::default()
        }
    }

    #[test]
    fn entries_have_several_names() {
        let more = (1, "More", "more-id");
        let mut all = Configuration {
            entries: vec![
                entry(&[(0, "Debian", "debian-id")]),
                entry(&[more, (0, "Debian, 6.1", "old-id")]),
                entry(&[more, (1, "a > b", "")]),
                entry(&[(2, "memtest", "")]),
            ],
            ..Configuration::default()
        };
        for (name, number) in [
            ("0", Some(0)),
            ("2", Some(3)),
            ("1", Some(1)),
            ("1>1", Some(2)),
            ("more-id>old-id", Some(1)),
            ("More>Debian, 6.1", Some(1)),
            ("More>a >> b", Some(2)),
            ("debian-id", Some(0)),
            ("3", None),
            ("1>2", None),
            ("", None),
        ] {
            assert_eq!(all.named(name), number, "{name}");
        }
        for (default, number) in [("", 0), ("9", 0), ("More>1", 2), ("memtest", 3)] {
            all.default = default.to_owned();
            assert_eq!(all.default_entry(), number, "{default}");
        }
        assert_eq!(all.entries[2].title(), "More > a > b");
        let long = entry(&[(0, &format!("\u{1b}[2J{}", "é".repeat(500)), "")]);
        assert!(long.title().starts_with("?[2J") && long.title().len() <= MOST_TITLE_BYTES);
        // What follows such a letter would be shown from right to left: as another title.
        let turned = entry(&[(0, "a\u{202E}b\u{2066}c\u{200F}d\u{2028}e\u{5D0}", "")]);
        assert_eq!(turned.title(), "a?b?c?d?e\u{5D0}");
    }
}
