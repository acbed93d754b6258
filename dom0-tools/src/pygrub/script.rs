//! The words of GRUB 2's configuration, which is a script.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::Chars;

/// Bytes of a word with its variables in it.
const MOST_WORD_BYTES: usize = 4096;
/// Words of a command.
const MOST_WORDS: usize = 256;
/// Variables that are kept.
const MOST_VARIABLES: usize = 256;

/// What variables are.
#[derive(Clone, Default, Debug)]
pub(super) struct Variables(BTreeMap<String, String>);

impl Variables {
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// Sets one, unless there are too many.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        if self.0.len() < MOST_VARIABLES || self.0.contains_key(name) {
            self.0.insert(name.to_owned(), value.to_owned());
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Piece {
    Text(String),
    /// What a variable is then; in quotes it is a part of a word even if it is nothing.
    Variable {
        name: String,
        is_quoted: bool,
    },
}

/// A word as it is written.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Word(Vec<Piece>);

impl Word {
    /// A word without variables.
    pub(super) fn plain(&self) -> Option<&str> {
        match self.0.as_slice() {
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// With its variables, if there is anything.
    pub(super) fn expanded(&self, variables: &Variables) -> Option<String> {
        let mut all = String::new();
        let mut is_word = false;
        for piece in &self.0 {
            let (text, is_part) = match piece {
                Piece::Text(text) => (text.as_str(), true),
                Piece::Variable { name, is_quoted } => (variables.get(name), *is_quoted),
            };
            is_word |= is_part || !text.is_empty();
            if all.len() + text.len() > MOST_WORD_BYTES {
                break;
            }
            all.push_str(text);
        }
        is_word.then_some(all)
    }

    fn push(&mut self, letter: char) {
        match self.0.last_mut() {
            Some(Piece::Text(text)) => text.push(letter),
            _ => self.0.push(Piece::Text(letter.into())),
        }
    }

    /// Quotes make a word even if there is nothing in them.
    fn quote(&mut self) {
        if self.0.is_empty() {
            self.0.push(Piece::Text(String::new()));
        }
    }
}

/// The commands of a script, as their words.
pub(super) struct Commands<'t> {
    letters: Peekable<Chars<'t>>,
}

impl<'t> Commands<'t> {
    pub(super) fn of(text: &'t str) -> Self {
        Self {
            letters: text.chars().peekable(),
        }
    }

    /// The name of a variable, behind its dollar.
    fn variable(&mut self, word: &mut Word, is_quoted: bool) {
        let mut name = String::new();
        if self.letters.next_if_eq(&'{').is_some() {
            while let Some(letter) = self.letters.next_if(|&letter| letter != '\n') {
                if letter == '}' {
                    break;
                }
                name.push(letter);
            }
        } else {
            let is_of_name =
                |letter: &char| letter.is_ascii_alphanumeric() || "_?#@*".contains(*letter);
            while let Some(letter) = self.letters.next_if(is_of_name) {
                name.push(letter);
            }
        }
        if name.is_empty() {
            word.push('$');
        } else {
            word.0.push(Piece::Variable { name, is_quoted });
        }
    }

    fn double_quoted(&mut self, word: &mut Word) {
        word.quote();
        while let Some(letter) = self.letters.next() {
            match letter {
                '"' => return,
                '$' => self.variable(word, true),
                '\\' => match self.letters.next() {
                    Some('\n') | None => {}
                    Some(letter @ ('$' | '"' | '\\')) => word.push(letter),
                    Some(letter) => {
                        word.push('\\');
                        word.push(letter);
                    }
                },
                letter => word.push(letter),
            }
        }
    }

    fn word(&mut self) -> Word {
        let mut word = Word::default();
        let ends = |letter: &char| letter.is_whitespace() || ";|&<>".contains(*letter);
        while let Some(letter) = self.letters.next_if(|letter| !ends(letter)) {
            match letter {
                '\'' => {
                    word.quote();
                    for letter in self.letters.by_ref().take_while(|&letter| letter != '\'') {
                        word.push(letter);
                    }
                }
                '"' => self.double_quoted(&mut word),
                '$' => self.variable(&mut word, false),
                '\\' => match self.letters.next() {
                    Some('\n') | None => {}
                    Some(letter) => word.push(letter),
                },
                letter => word.push(letter),
            }
        }
        word
    }
}

impl Iterator for Commands<'_> {
    type Item = Vec<Word>;

    fn next(&mut self) -> Option<Vec<Word>> {
        let mut words: Vec<Word> = Vec::new();
        loop {
            match self.letters.peek() {
                None if words.is_empty() => return None,
                None => return Some(words),
                Some('\n' | ';' | '|' | '&' | '<' | '>') => {
                    self.letters.next();
                    if !words.is_empty() {
                        return Some(words);
                    }
                }
                Some('#') => while self.letters.next_if(|&letter| letter != '\n').is_some() {},
                Some(letter) if letter.is_whitespace() => {
                    self.letters.next();
                }
                Some(_) => {
                    let word = self.word();
                    let is_brace = matches!(word.plain(), Some("{" | "}"));
                    if words.len() < MOST_WORDS || is_brace {
                        words.push(word);
                    }
                    // A block's first command may be in the line that opens it.
                    if is_brace {
                        return Some(words);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<Vec<String>> {
        let mut variables = Variables::default();
        variables.set("a", "one two");
        let words = |words: Vec<Word>| {
            let words = words.iter().filter_map(|word| word.expanded(&variables));
            words.collect()
        };
        Commands::of(text).map(words).collect()
    }

    #[test]
    fn words_are_those_of_grub() {
        for (text, right) in [
            (
                "a b;c # d\n\n e",
                vec![vec!["a", "b"], vec!["c"], vec!["e"]],
            ),
            (
                "'x y'\"z $a\"\\ w $b '' \"$b\"",
                vec![vec!["x yz one two w", "", ""]],
            ),
            (
                "m 'a' { b\n}",
                vec![vec!["m", "a", "{"], vec!["b"], vec!["}"]],
            ),
            ("${a}x$b_c\\\nd", vec![vec!["one twoxd"]]),
            ("\"a\\\"b\\c\" $ 'un", vec![vec!["a\"b\\c", "$", "un"]]),
            ("${un\nx", vec![vec![], vec!["x"]]),
        ] {
            assert_eq!(words(text), right, "{text}");
        }
    }

    #[test]
    fn nothing_grows_without_end() {
        let mut variables = Variables::default();
        let twice = Commands::of("\"x$a$a\"").next().unwrap();
        for _ in 0..100 {
            let value = twice[0].expanded(&variables).unwrap();
            variables.set("a", &value);
        }
        assert!(variables.get("a").len() <= MOST_WORD_BYTES);
        for number in 0..10_000 {
            variables.set(&number.to_string(), "");
        }
        assert_eq!(variables.0.len(), MOST_VARIABLES);
        let long = Commands::of(&"x ".repeat(10_000)).next().unwrap();
        assert_eq!(long.len(), MOST_WORDS);
    }
}
