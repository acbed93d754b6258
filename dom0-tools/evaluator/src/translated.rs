//! What is evaluated, and where each line of it comes from.

use super::token::{SourceError, Token, TokenKind};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// Generated lines of one file; what is included often is long.
const MAX_LINES: usize = 100_000;

/// A file and a line of it, counted from 1.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Place {
    /// The file.
    pub(super) file: String,
    /// The line.
    pub(super) line: usize,
}

/// A file in the evaluator's language.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Program {
    /// What is evaluated.
    pub(super) text: String,
    /// Of each line of the text, where it comes from.
    pub(super) places: Vec<(usize, usize)>,
    pub(super) files: Vec<String>,
    /// Where names are last assigned to.
    pub(super) assigned: BTreeMap<String, (usize, usize)>,
    /// Names that are used.
    pub(super) names: BTreeSet<String>,
}

impl Program {
    pub(super) fn place(&self, &(file, line): &(usize, usize)) -> Option<Place> {
        let file = self.files.get(file)?.clone();
        Some(Place { file, line })
    }

    /// Where a line of the text, counted from 1, comes from.
    #[must_use]
    pub(super) fn place_of_line(&self, line: usize) -> Option<Place> {
        self.place(self.places.get(line.checked_sub(1)?)?)
    }

    /// Adds a line, which comes from a line of a file.
    ///
    /// # Errors
    ///
    /// There are too many.
    pub(super) fn add(
        &mut self,
        depth: usize,
        from: (usize, usize),
        text: &str,
    ) -> Result<(), SourceError> {
        if self.places.len() >= MAX_LINES {
            return Err(SourceError::new(from.1, "this file is too long"));
        }
        let indent = 4 * depth;
        let _ = writeln!(self.text, "{:indent$}{text}", "");
        self.places.push(from);
        Ok(())
    }

    /// Adds words, on lines as they were written where brackets allow it.
    ///
    /// # Errors
    ///
    /// There are too many lines.
    pub(super) fn add_words(
        &mut self,
        depth: usize,
        (file, mut line): (usize, usize),
        words: &[Token],
    ) -> Result<(), SourceError> {
        let mut text = String::new();
        let mut nesting = 0;
        let mut is_attribute = false;
        for word in words {
            if word.line > line && nesting > 0 {
                self.add(depth, (file, line), text.trim_end())?;
                text.clear();
                line = word.line;
            }
            nesting += word.nesting();
            match &word.kind {
                TokenKind::Name(name) => {
                    if !is_attribute {
                        self.names.insert(name.clone());
                    }
                    text.push_str(name);
                }
                TokenKind::Number(word) | TokenKind::Operator(word) => text.push_str(word),
                TokenKind::Text(string) => quote(string, &mut text),
            }
            is_attribute = word.is(".");
            text.push(' ');
        }
        self.add(depth, (file, line), text.trim_end())
    }

    /// Where a name is last assigned to.
    #[must_use]
    pub(super) fn place_of_name(&self, name: &str) -> Option<Place> {
        self.place(self.assigned.get(name)?)
    }
}

/// A string in the evaluator's quotes.
fn quote(string: &str, text: &mut String) {
    text.push('"');
    for letter in string.chars() {
        match letter {
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '"' | '\\' => {
                text.push('\\');
                text.push(letter);
            }
            letter if letter.is_control() => {
                let _ = write!(text, "\\u{:04x}", u32::from(letter));
            }
            letter => text.push(letter),
        }
    }
    text.push('"');
}
