//! Text from a boot loader or a table: bytes that are probably text.
#![forbid(unsafe_code)]

use core::fmt::{self, Write};

/// Bytes that ought to be text. Shown with everything unprintable replaced, so that a damaged string
/// can't send control sequences to somebody's terminal.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct BootText<'a>(pub &'a [u8]);

impl<'a> BootText<'a> {
    /// The bytes as they are.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// The text, if it is UTF-8.
    #[must_use]
    pub fn as_str(&self) -> Option<&'a str> {
        core::str::from_utf8(self.0).ok()
    }
}

impl fmt::Display for BootText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                f.write_char(if c.is_control() {
                    char::REPLACEMENT_CHARACTER
                } else {
                    c
                })?;
            }
            if !chunk.invalid().is_empty() {
                f.write_char(char::REPLACEMENT_CHARACTER)?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for BootText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn control_characters_and_broken_utf8_do_not_reach_the_terminal() {
        assert_eq!(
            BootText(b"a\x1b[2Jb\xffc\n").to_string(),
            "a\u{fffd}[2Jb\u{fffd}c\u{fffd}"
        );
        assert_eq!(BootText("größe".as_bytes()).to_string(), "größe");
    }
}
