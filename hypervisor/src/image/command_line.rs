//! The kernel's command line: put together from parts, bounded by the field that carries it.

use core::fmt;
use guest_abi::start_of_day::MAX_COMMAND_LINE;

/// Bytes of text that fit, without the terminator.
pub const MAX_LEN: usize = MAX_COMMAND_LINE - 1;

/// A command line that fits. It holds no NUL.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CommandLine {
    bytes: [u8; MAX_COMMAND_LINE],
    len: usize,
}

/// A command line is longer than the kernel can be given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CommandLineTooLong {
    /// Its bytes.
    pub len: usize,
}

impl fmt::Display for CommandLineTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the kernel's command line has {} bytes; at most {MAX_LEN} are possible; shorten it",
            self.len
        )
    }
}

impl CommandLine {
    /// No words.
    pub const EMPTY: Self = Self {
        bytes: [0; MAX_COMMAND_LINE],
        len: 0,
    };

    /// Joins `parts`, one space between them. Of each part only what precedes a NUL counts, without spaces
    /// at its ends; empty parts are left out.
    ///
    /// # Errors
    ///
    /// The text does not fit. [`Self::cut`] makes the best of it.
    pub fn join<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, CommandLineTooLong> {
        match Self::cut(parts) {
            (line, None) => Ok(line),
            (_, Some(error)) => Err(error),
        }
    }

    /// Joins `parts` as [`Self::join`] does. From the first word on that does not fit whole, words are left
    /// out, and the second result says so: the caller warns. (Part of a word could mean something else.)
    pub fn cut<'a>(
        parts: impl IntoIterator<Item = &'a [u8]>,
    ) -> (Self, Option<CommandLineTooLong>) {
        let mut line = Self::EMPTY;
        let mut wanted = 0_usize;
        for part in parts {
            let part = part
                .split(|byte| *byte == 0)
                .next()
                .unwrap_or_default()
                .trim_ascii();
            if part.is_empty() {
                continue;
            }
            for word in part.split(|byte| *byte == b' ') {
                let separator: &[u8] = if wanted == 0 { b"" } else { b" " };
                wanted = wanted
                    .saturating_add(separator.len())
                    .saturating_add(word.len());
                // From the first word that does not fit, `wanted` is and stays above the bound.
                if wanted <= MAX_LEN {
                    let free = line.bytes.get_mut(line.len..wanted).unwrap_or_default();
                    for (to, from) in free.iter_mut().zip(separator.iter().chain(word)) {
                        *to = *from;
                    }
                    line.len = wanted;
                }
            }
        }
        let error = (wanted > MAX_LEN).then_some(CommandLineTooLong { len: wanted });
        (line, error)
    }

    /// The text.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// The text with its terminator and zeros behind it, as the kernel gets it.
    #[must_use]
    pub const fn field(&self) -> &[u8; MAX_COMMAND_LINE] {
        &self.bytes
    }
}

impl fmt::Display for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_bytes().escape_ascii())
    }
}

impl fmt::Debug for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn parts_are_joined_with_single_spaces() {
        let line = CommandLine::join([
            &b" root=/dev/xvda "[..],
            b"",
            b"  ",
            b"quiet\0garbage",
            b"console=hvc0",
        ]);
        assert_eq!(
            line.unwrap().as_bytes(),
            b"root=/dev/xvda quiet console=hvc0"
        );
        assert_eq!(CommandLine::join([]).unwrap(), CommandLine::EMPTY);
    }

    #[test]
    fn the_longest_line_fits_and_is_terminated() {
        let line = CommandLine::join([&[b'a'; MAX_LEN][..]]).unwrap();
        assert_eq!(line.as_bytes().len(), 1023);
        assert_eq!(line.field()[1023], 0);
    }

    #[test]
    fn a_longer_line_is_refused_or_cut_between_words() {
        let long = [b'a'; 1000];
        let parts = [&long[..], b"root=/dev/xvda1 rootdelay=10"];
        assert_eq!(
            CommandLine::join(parts),
            Err(CommandLineTooLong { len: 1029 })
        );
        let (line, error) = CommandLine::cut(parts);
        assert_eq!(error, Some(CommandLineTooLong { len: 1029 }));
        assert_eq!(line.as_bytes(), [&long[..], b" root=/dev/xvda1"].concat());
        assert!(
            line.field()[line.as_bytes().len()..]
                .iter()
                .all(|byte| *byte == 0)
        );
        let (line, error) = CommandLine::cut([&[b'a'; 1024][..]]);
        assert_eq!(
            (line.as_bytes(), error),
            (&b""[..], Some(CommandLineTooLong { len: 1024 }))
        );
    }

    #[test]
    fn a_cut_keeps_the_last_word_that_fits_and_no_later_one() {
        let parts = [&[b'a'; 1000][..], &[b'b'; 22], b"c"];
        let (line, error) = CommandLine::cut(parts);
        assert_eq!(error, Some(CommandLineTooLong { len: 1025 }));
        assert_eq!(line.as_bytes().len(), 1023);
        let parts = [&[b'a'; 1000][..], &[b'b'; 23], b"c"];
        assert_eq!(CommandLine::cut(parts).0.as_bytes().len(), 1000);
        // Runs of spaces inside a part are the writer's.
        assert_eq!(
            CommandLine::join([&b"a  b"[..]]).unwrap().as_bytes(),
            b"a  b"
        );
    }
}
