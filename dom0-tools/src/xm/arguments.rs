//! Options and arguments of a subcommand, mixed in any order, as GNU programs take them.

use super::commands::{Command, Opt};

/// What a command line says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Arguments {
    options: Vec<(&'static str, String)>,
    /// What is no option.
    pub words: Vec<String>,
}

impl Arguments {
    /// Reads the words behind the subcommand.
    ///
    /// # Errors
    ///
    /// A sentence about the first that makes no sense.
    pub fn parse(command: &Command, words: &[String]) -> Result<Self, String> {
        let mut arguments = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if word == "--" {
                arguments.words.extend(words.cloned());
                break;
            }
            if let Some(long) = word.strip_prefix("--") {
                let (name, given) = match long.split_once('=') {
                    Some((name, value)) => (name, Some(value.to_owned())),
                    None => (long, None),
                };
                let option = long_option(command, name)?;
                let value = match (option.value.is_empty(), given) {
                    (true, Some(_)) => {
                        return Err(format!("option --{name} must not have an argument"));
                    }
                    (true, None) => String::new(),
                    (false, Some(value)) => value,
                    (false, None) => words
                        .next()
                        .cloned()
                        .ok_or_else(|| format!("option --{name} requires argument"))?,
                };
                arguments.options.push((option.long, value));
            } else if let Some(letters) = word.strip_prefix('-').filter(|rest| !rest.is_empty()) {
                let mut letters = letters.chars();
                while let Some(letter) = letters.next() {
                    let option = command
                        .options
                        .iter()
                        .find(|option| option.short == Some(letter))
                        .ok_or_else(|| format!("option -{letter} not recognized"))?;
                    if option.value.is_empty() {
                        arguments.options.push((option.long, String::new()));
                        continue;
                    }
                    let rest: String = letters.by_ref().collect();
                    let value = if rest.is_empty() {
                        words.next().cloned()
                    } else {
                        Some(rest)
                    };
                    let value =
                        value.ok_or_else(|| format!("option -{letter} requires argument"))?;
                    arguments.options.push((option.long, value));
                }
            } else {
                arguments.words.push(word.clone());
            }
        }
        Ok(arguments)
    }

    /// Whether an option is given.
    #[must_use]
    pub fn has(&self, long: &str) -> bool {
        self.options.iter().any(|(name, _)| *name == long)
    }

    /// The value of an option, the last one if it is given more than once.
    #[must_use]
    pub fn value(&self, long: &str) -> Option<&str> {
        let given = self.options.iter().rev().find(|(name, _)| *name == long);
        given.map(|(_, value)| value.as_str())
    }
}

/// An option by its name, or by the beginning of one name only.
fn long_option(command: &Command, name: &str) -> Result<&'static Opt, String> {
    let unknown = || format!("option --{name} not recognized");
    if let Some(option) = command.options.iter().find(|option| option.long == name) {
        return Ok(option);
    }
    let mut candidates = command
        .options
        .iter()
        .filter(|option| !name.is_empty() && option.long.starts_with(name));
    match (candidates.next(), candidates.next()) {
        (Some(option), None) => Ok(option),
        (Some(_), Some(_)) => Err(format!("option --{name} not a unique prefix")),
        _ => Err(unknown()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::commands::{Found, find};
    use super::*;

    fn parsed(name: &str, words: &[&str]) -> Result<Arguments, String> {
        let Some(Found::Command(command)) = find(name) else {
            panic!("{name}")
        };
        let words: Vec<_> = words.iter().map(|&word| word.to_owned()).collect();
        Arguments::parse(command, &words)
    }

    #[test]
    fn options_and_words_are_mixed() {
        let arguments = parsed(
            "create",
            &["etch", "-qp", "--path=/a:/b", "memory=64", "-f", "file"],
        )
        .unwrap();
        assert_eq!(arguments.words, ["etch", "memory=64"]);
        assert!(arguments.has("quiet") && arguments.has("paused") && !arguments.has("dryrun"));
        assert_eq!(
            (arguments.value("path"), arguments.value("defconfig")),
            (Some("/a:/b"), Some("file"))
        );
        assert!(parsed("shutdown", &["-wa"]).unwrap().has("all"));
        assert_eq!(
            parsed("console", &["-n1", "x"]).unwrap().value("num"),
            Some("1")
        );
        assert_eq!(parsed("list", &["--", "-l"]).unwrap().words, ["-l"]);
        assert!(parsed("create", &["--dry", "x"]).unwrap().has("dryrun"));
    }

    #[test]
    fn wrong_options_are_told() {
        for (words, complaint) in [
            (&["-z"][..], "option -z not recognized"),
            (&["--zz"], "option --zz not recognized"),
            (&["--state"], "option --state requires argument"),
            (&["--long=1"], "option --long must not have an argument"),
            (&["--l"], "option --l not a unique prefix"),
        ] {
            assert_eq!(parsed("list", words).unwrap_err(), complaint);
        }
        assert_eq!(
            parsed("console", &["-n"]).unwrap_err(),
            "option -n requires argument"
        );
    }
}
