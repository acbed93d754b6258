//! Cutting a command line into words.
#![forbid(unsafe_code)]

/// A word, without the quotation marks around all of it.
pub(super) struct Word<'a> {
    pub(super) text: &'a [u8],
    /// Whether every quotation that starts in it also ends.
    pub(super) is_closed: bool,
}

/// The words of a line, one after the other.
pub(super) struct Words<'a> {
    rest: &'a [u8],
    length: usize,
}

impl<'a> Words<'a> {
    pub(super) const fn new(line: &'a [u8]) -> Self {
        Self {
            rest: line,
            length: line.len(),
        }
    }

    /// How much of the line has been cut, in bytes.
    pub(super) const fn position(&self) -> usize {
        self.length - self.rest.len()
    }

    /// What has not been cut yet, without blanks around it.
    pub(super) const fn rest(&self) -> &'a [u8] {
        self.rest.trim_ascii()
    }

    pub(super) fn next_word(&mut self) -> Option<Word<'a>> {
        self.rest = self.rest.trim_ascii_start();
        if self.rest.is_empty() {
            return None;
        }
        let mut quotation = None;
        let end = self.rest.iter().position(|&byte| match quotation {
            Some(mark) => {
                if byte == mark {
                    quotation = None;
                }
                false
            }
            None => {
                if is_mark(byte) {
                    quotation = Some(byte);
                }
                byte.is_ascii_whitespace()
            }
        });
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        Some(Word {
            text: strip(word),
            is_closed: quotation.is_none(),
        })
    }
}

const fn is_mark(byte: u8) -> bool {
    matches!(byte, b'"' | b'\'')
}

/// `text` without the marks, if one quotation is all of it.
fn strip(text: &[u8]) -> &[u8] {
    match text {
        [first, inner @ .., last] if first == last && is_mark(*first) && !inner.contains(first) => {
            inner
        }
        _ => text,
    }
}

/// As for a word, for a value.
pub(super) fn unquote(value: &str) -> &str {
    let inner = value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'));
    inner
        .or_else(|| {
            value
                .strip_prefix('\'')
                .and_then(|value| value.strip_suffix('\''))
        })
        .unwrap_or(value)
}
