//! The configuration of GRUB 2, `grub.cfg`. It is a script, of which only so much is done as is needed to know what it
//! offers: variables, conditions on them, and menus. All commands but those that load a system are without effect, loops
//! and functions are passed over, and what an entry would do when it is chosen is done when it is read.

use super::grub1::is_hypervisor;
use super::menu::{Configuration, Entry, MOST_ENTRIES, Place, Step};
use super::script::{Commands, Variables, Word};

/// Blocks in each other.
const MOST_DEEP: usize = 32;

enum Block {
    /// Of a condition: whether a branch was taken, and what the state around it is.
    If {
        is_taken: bool,
        is_outside_active: bool,
    },
    /// What is passed over up to its end: a loop's or a function's.
    Passed {
        end: &'static str,
        is_outside_active: bool,
    },
    /// A menu.
    Menu { entries: usize },
    /// An entry, and variables as they were before.
    Entry { variables: Variables },
}

struct Reader {
    read: Configuration,
    variables: Variables,
    blocks: Vec<Block>,
    /// The menus that are open, and the entry.
    steps: Vec<Step>,
    /// Entries of the menu that is open.
    entries: usize,
    /// Whether commands are done, and not passed over.
    is_active: bool,
    entry: Option<Entry>,
    has_environment: bool,
}

/// Reads it, with what GRUB has noted in its environment, if there is one.
pub(super) fn read(text: &str, environment: Option<&str>) -> Configuration {
    let mut reader = Reader {
        read: Configuration::default(),
        variables: Variables::default(),
        blocks: Vec::new(),
        steps: Vec::new(),
        entries: 0,
        is_active: true,
        entry: None,
        has_environment: environment.is_some(),
    };
    // As of a GRUB that has this. A partition's number is what of its name counts.
    for (name, value) in [
        ("feature_menuentry_id", "y"),
        ("menuentry_id_option", "--id"),
        ("feature_timeout_style", "y"),
        ("feature_default_font_path", "y"),
        ("grub_platform", "xen"),
        ("grub_cpu", "x86_64"),
    ] {
        reader.variables.set(name, value);
    }
    for line in environment.unwrap_or_default().lines() {
        // What is to be booted once would be booted for ever: nobody takes it out here.
        if let Some(value) = line.strip_prefix("saved_entry=") {
            reader.variables.set("saved_entry", value);
        }
    }
    for command in Commands::of(text) {
        if reader.read.entries.len() >= MOST_ENTRIES || reader.blocks.len() >= MOST_DEEP {
            break;
        }
        reader.command(&command);
    }
    let Reader {
        mut read,
        variables,
        ..
    } = reader;
    read.default = variables.get("default").to_owned();
    let timeout: Option<i64> = variables.get("timeout").parse().ok();
    read.timeout_seconds = timeout.and_then(|seconds| u32::try_from(seconds).ok());
    read
}

impl Reader {
    fn command(&mut self, words: &[Word]) {
        let Some((first, rest)) = words.split_first() else {
            return;
        };
        let opens = rest.last().and_then(Word::plain) == Some("{");
        match first.plain().unwrap_or_default() {
            "then" | "do" => self.command(rest),
            "if" => {
                let is_outside_active = self.is_active;
                let is_taken = is_outside_active && self.is_true(rest);
                self.is_active = is_taken;
                self.blocks.push(Block::If {
                    is_taken,
                    is_outside_active,
                });
            }
            "elif" => self.branch(Some(rest)),
            "else" => {
                self.branch(None);
                self.command(rest);
            }
            "fi" => {
                if let Some(Block::If {
                    is_outside_active, ..
                }) = self.blocks.last()
                {
                    self.is_active = *is_outside_active;
                    self.blocks.pop();
                }
            }
            "for" | "while" | "until" => self.pass_over("done"),
            "function" => self.pass_over("}"),
            word @ ("menuentry" | "submenu") if opens && self.is_active => self.open(word, rest),
            _ if opens => self.pass_over("}"),
            "{" => self.pass_over("}"),
            end @ ("done" | "}") => self.close(end),
            _ if self.is_active => self.simple(words),
            _ => {}
        }
    }

    fn pass_over(&mut self, end: &'static str) {
        self.blocks.push(Block::Passed {
            end,
            is_outside_active: self.is_active,
        });
        self.is_active = false;
    }

    /// Another branch of a condition.
    fn branch(&mut self, condition: Option<&[Word]>) {
        let Some(Block::If {
            is_taken,
            is_outside_active,
        }) = self.blocks.last()
        else {
            return;
        };
        let (was_taken, is_outside_active) = (*is_taken, *is_outside_active);
        let is_it = is_outside_active && !was_taken;
        self.is_active = is_it && condition.is_none_or(|condition| self.is_true(condition));
        if let Some(Block::If { is_taken, .. }) = self.blocks.last_mut() {
            *is_taken = was_taken || self.is_active;
        }
    }

    fn open(&mut self, kind: &str, words: &[Word]) {
        // An entry holds no others.
        if self.entry.is_some() {
            return self.pass_over("}");
        }
        let mut step = Step {
            index: self.entries,
            ..Step::default()
        };
        let mut has_title = false;
        let mut words = words
            .iter()
            .filter_map(|word| word.expanded(&self.variables));
        while let Some(word) = words.next() {
            match word.as_str() {
                "--id" => step.id = words.next().unwrap_or_default(),
                "--class" | "--users" | "--hotkey" | "--source" => drop(words.next()),
                word if word.starts_with("--id=") => step.id = word[5..].to_owned(),
                word if word.starts_with("--") || has_title => {}
                _ => (step.title, has_title) = (word, true),
            }
        }
        self.entries += 1;
        self.steps.push(step);
        if kind == "menuentry" {
            self.entry = Some(Entry {
                steps: self.steps.clone(),
                ..Entry::default()
            });
            let variables = self.variables.clone();
            self.blocks.push(Block::Entry { variables });
        } else {
            let entries = std::mem::take(&mut self.entries);
            self.blocks.push(Block::Menu { entries });
        }
    }

    fn close(&mut self, by: &str) {
        match self.blocks.last() {
            Some(Block::Passed { end, .. }) if *end != by => return,
            None | Some(Block::If { .. }) => return,
            Some(_)
                if by == "done" && !matches!(self.blocks.last(), Some(Block::Passed { .. })) =>
            {
                return;
            }
            Some(_) => {}
        }
        match self.blocks.pop() {
            Some(Block::Passed {
                is_outside_active, ..
            }) => self.is_active = is_outside_active,
            Some(Block::Menu { entries }) => {
                self.entries = entries;
                self.steps.pop();
            }
            Some(Block::Entry { variables }) => {
                self.variables = variables;
                self.steps.pop();
                self.read.entries.extend(self.entry.take());
            }
            Some(Block::If { .. }) | None => {}
        }
    }

    /// A command that is no part of the language.
    fn simple(&mut self, words: &[Word]) {
        let words: Vec<_> = words
            .iter()
            .filter_map(|word| word.expanded(&self.variables))
            .collect();
        let Some((command, words)) = words.split_first() else {
            return;
        };
        match command.as_str() {
            "set" => {
                for word in words {
                    self.assign(word);
                }
            }
            "blscfg" => self.read.has_others = true,
            "linux" | "linux16" | "linuxefi" | "initrd" | "initrd16" | "initrdefi"
            | "multiboot" | "multiboot2" | "module" | "module2" => self.load(command, words),
            assignment => self.assign(assignment),
        }
    }

    fn assign(&mut self, text: &str) {
        let is_name = |name: &str| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        if let Some((name, value)) = text.split_once('=').filter(|(name, _)| is_name(name)) {
            self.variables.set(name, value);
        }
    }

    /// A file that an entry loads.
    fn load(&mut self, command: &str, words: &[String]) {
        let root = partition_of(self.variables.get("root"));
        let place =
            |word: &String| match word.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
                Some((device, path)) => Place {
                    partition: partition_of(device),
                    path: path.to_owned(),
                },
                None => Place {
                    partition: root,
                    path: word.clone(),
                },
            };
        let Some(entry) = &mut self.entry else { return };
        let mut words = words.iter().skip_while(|word| word.starts_with("--"));
        if command.starts_with("initrd") {
            entry.ramdisks.extend(words.map(place));
            return;
        }
        let Some(path) = words.next() else { return };
        // A hypervisor loads the kernel behind it, and its RAM disk behind that: here it is the guest's.
        if command.starts_with("module") && !is_hypervisor(entry) {
            entry.ramdisks.push(place(path));
            return;
        }
        entry.kernel = Some(place(path));
        let words: Vec<_> = words.map(String::as_str).collect();
        entry.arguments = words.join(" ");
    }

    /// Whether a command succeeds. Those that ask the machine do not.
    fn is_true(&self, words: &[Word]) -> bool {
        let words: Vec<_> = words
            .iter()
            .filter_map(|word| word.expanded(&self.variables))
            .collect();
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["[", test @ .., "]"] | ["test", test @ ..] => self.test(test),
            ["!", "[", test @ .., "]"] => !self.test(test),
            ["true"] => true,
            _ => false,
        }
    }

    /// Terms with `-a` and `-o` between, from left to right.
    fn test(&self, words: &[&str]) -> bool {
        let mut value = true;
        let mut is_or = false;
        let mut rest = words;
        loop {
            let end = rest.iter().position(|&word| word == "-a" || word == "-o");
            let (term, behind) = rest.split_at(end.unwrap_or(rest.len()));
            let is_so = self.term(term);
            value = if is_or {
                value || is_so
            } else {
                value && is_so
            };
            let Some((operator, behind)) = behind.split_first() else {
                return value;
            };
            is_or = *operator == "-o";
            rest = behind;
        }
    }

    fn term(&self, words: &[&str]) -> bool {
        match words {
            ["!", term @ ..] => !self.term(term),
            [] | ["-n"] => false,
            ["-n", text] => !text.is_empty(),
            ["-z", text] => text.is_empty(),
            // The only file that is asked for to know what there is.
            ["-s" | "-f" | "-e", path] => self.has_environment && path.ends_with("/grubenv"),
            ["-d", _] => false,
            [text] => !text.is_empty(),
            [left, "=" | "==", right] => left == right,
            [left, "!=", right] => left != right,
            _ => false,
        }
    }
}

/// The number of the partition of `hd0,msdos1`, `hd0,gpt2` or `hd0,1`.
fn partition_of(device: &str) -> Option<u32> {
    let (_, partition) = device.split_once(',')?;
    partition
        .trim_start_matches(|c: char| c.is_ascii_alphabetic())
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DEBIAN: &str = include_str!("grub2_sample.cfg");

    fn place(partition: Option<u32>, path: &str) -> Place {
        Place {
            partition,
            path: path.to_owned(),
        }
    }

    #[test]
    fn what_debian_writes_is_read() {
        let environment = "# GRUB Environment Block\nnext_entry=2\nsaved_entry=1>1\n####";
        let read = read(DEBIAN, Some(environment));
        let titles: Vec<_> = read.entries.iter().map(Entry::title).collect();
        assert_eq!(
            titles,
            [
                "Debian GNU/Linux",
                "Advanced options > Debian, 6.1.0-9",
                "Advanced options > Debian, 6.1.0-9 (recovery)",
                "Memory test",
            ]
        );
        assert_eq!(
            (read.default.as_str(), read.timeout_seconds),
            ("1>1", Some(5))
        );
        assert_eq!(read.default_entry(), 2);
        let [first, _, recovery, memtest] = read.entries.as_slice() else {
            panic!();
        };
        assert_eq!(
            first.kernel,
            Some(place(Some(1), "/boot/vmlinuz-6.1.0-9-amd64"))
        );
        assert_eq!(first.arguments, "root=UUID=0a ro quiet");
        assert_eq!(
            first.ramdisks,
            [
                place(Some(1), "/boot/ucode.img"),
                place(Some(1), "/boot/initrd.img-6.1.0-9-amd64")
            ]
        );
        assert_eq!(
            recovery.kernel,
            Some(place(Some(2), "/vmlinuz-6.1.0-9-amd64"))
        );
        assert_eq!(memtest.kernel, None);
        assert_eq!(read.named("simple-id"), Some(0));
        assert_eq!(super::read(DEBIAN, None).default_entry(), 0);
    }

    #[test]
    fn conditions_are_looked_at() {
        let default = |condition: &str| {
            let text = format!(
                "x=1\nif {condition}; then set default=yes\nelif [ $x = 2 ]; then\nset default=2\nelse set default=no; fi"
            );
            read(&text, None).default
        };
        for (condition, right) in [
            ("[ $x = 1 ]", "yes"),
            ("[ x$y = x ]", "yes"),
            ("[ \"${y}\" ]", "no"),
            ("[ ! $x = 1 ]", "no"),
            ("! [ $x = 2 ]", "yes"),
            ("test -n \"$x\"", "yes"),
            ("[ -z $y -a $x = 1 ]", "yes"),
            ("[ $x = 2 -o $x = 1 ]", "yes"),
            ("[ $x != 1 ]", "no"),
            ("[ -s /boot/grub/grubenv ]", "no"),
            ("keystatus --shift", "no"),
            ("[", "no"),
            ("", "no"),
        ] {
            assert_eq!(default(condition), right, "{condition}");
        }
    }

    #[test]
    fn hypervisors_make_room_for_their_kernels() {
        let read = read(
            "menuentry x { multiboot2 /boot/xen-4.17.gz placeholder\nmodule2 /vmlinuz a b\nmodule2 --nounzip /initrd.img\n}",
            None,
        );
        let entry = &read.entries[0];
        assert_eq!(entry.kernel, Some(place(None, "/vmlinuz")));
        assert_eq!(
            (entry.arguments.as_str(), &*entry.ramdisks),
            ("a b", &[place(None, "/initrd.img")][..])
        );
    }

    #[test]
    fn what_is_wrong_comes_to_an_end() {
        let deep = read(&"if true; then\n".repeat(9999), None);
        assert_eq!(deep.entries, []);
        let many = read(
            &"menuentry x { linux /a\n}\n".repeat(MOST_ENTRIES + 9),
            None,
        );
        assert_eq!(many.entries.len(), MOST_ENTRIES);
        for text in [
            "}",
            "fi",
            "done",
            "else",
            "menuentry {",
            "{ }",
            "menuentry a { menuentry b { } }",
            "linux /x",
        ] {
            assert!(read(text, None).entries.len() <= 1, "{text}");
        }
        assert!(read("insmod blscfg\nblscfg\n", None).has_others);
    }

    proptest! {
        #[test]
        fn damaged_scripts_come_to_an_end(
            changes in prop::collection::vec((0..DEBIAN.len(), prop::sample::select(&b"{};\n'\"$\\# x=[]"[..])), 0..60),
        ) {
            let mut bytes = DEBIAN.as_bytes().to_vec();
            for (at, byte) in changes {
                bytes[at] = byte;
            }
            let read = read(&String::from_utf8_lossy(&bytes), Some("saved_entry=a"));
            prop_assert!(read.entries.len() <= MOST_ENTRIES);
            prop_assert!(read.entries.is_empty() || read.default_entry() < read.entries.len());
        }
    }
}
