//! The serial line: from bytes as they come to lines with the time at which they began.

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

/// A line that was printed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// When its first character came, counted from the start of the machine.
    pub at: Duration,
    /// Its text, without control characters and terminal escapes.
    pub text: String,
}

/// Collects bytes into lines. The last line may still grow.
#[derive(Debug, Default)]
pub struct Serial {
    lines: Vec<Line>,
    is_line_open: bool,
    escape: Escape,
    pending: Vec<u8>,
}

/// Where in a terminal escape sequence the last byte was.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Escape {
    #[default]
    None,
    Started,
    InParameters,
}

impl Serial {
    /// Every line so far, the one that may still grow included.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// The lines that have ended.
    pub fn ended_lines(&self) -> &[Line] {
        &self.lines[..self.lines.len() - usize::from(self.is_line_open)]
    }

    /// Takes bytes that came at the time `at`; appends what they add to `log`, each line with its time.
    pub fn feed(&mut self, bytes: &[u8], at: Duration, log: &mut dyn io::Write) -> io::Result<()> {
        let mut printed = String::new();
        for &byte in bytes {
            match (self.escape, byte) {
                (Escape::Started, b'[') => self.escape = Escape::InParameters,
                (Escape::Started, _) => self.escape = Escape::None,
                (Escape::InParameters, 0x40..=0x7e) => self.escape = Escape::None,
                (Escape::InParameters, _) => {}
                (Escape::None, 0x1b) => self.escape = Escape::Started,
                (Escape::None, b'\n') => self.end_line(at, &mut printed),
                (Escape::None, b'\t' | b' '..=0x7e | 0x80..) => self.put(byte, at, &mut printed),
                (Escape::None, _) => {}
            }
        }
        log.write_all(printed.as_bytes())
    }

    fn put(&mut self, byte: u8, at: Duration, printed: &mut String) {
        self.pending.push(byte);
        // A character of several bytes is kept back until it is whole, or can't become so.
        let text = match std::str::from_utf8(&self.pending) {
            Ok(text) => text.to_string(),
            Err(error) if error.error_len().is_none() && self.pending.len() < 4 => return,
            Err(_) => char::REPLACEMENT_CHARACTER.to_string(),
        };
        self.pending.clear();
        self.open_line(at, printed);
        if let Some(line) = self.lines.last_mut() {
            line.text.push_str(&text);
        }
        printed.push_str(&text);
    }

    fn open_line(&mut self, at: Duration, printed: &mut String) {
        if !self.is_line_open {
            self.is_line_open = true;
            self.lines.push(Line {
                at,
                text: String::new(),
            });
            let _ = write!(printed, "[{:8.3}] ", at.as_secs_f64());
        }
    }

    fn end_line(&mut self, at: Duration, printed: &mut String) {
        self.open_line(at, printed);
        self.is_line_open = false;
        self.pending.clear();
        printed.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::Serial;
    use std::time::Duration;

    fn texts(serial: &Serial) -> Vec<&str> {
        serial
            .lines()
            .iter()
            .map(|line| line.text.as_str())
            .collect()
    }

    #[test]
    fn lines_are_put_together_and_stamped_with_their_beginning() {
        let (mut serial, mut log) = (Serial::default(), Vec::new());
        for (millis, bytes) in [
            (10, &b"Parav"[..]),
            (20, b"ane\r\n\r\nlast"),
            (30, b" line"),
        ] {
            serial
                .feed(bytes, Duration::from_millis(millis), &mut log)
                .unwrap();
        }
        assert_eq!(texts(&serial), ["Paravane", "", "last line"]);
        assert_eq!(serial.ended_lines().len(), 2);
        let times: Vec<_> = serial
            .lines()
            .iter()
            .map(|line| line.at.as_millis())
            .collect();
        assert_eq!(times, [10, 20, 20]);
        let log = String::from_utf8(log).unwrap();
        assert_eq!(
            log,
            "[   0.010] Paravane\n[   0.020] \n[   0.020] last line"
        );
    }

    #[test]
    fn terminal_escapes_are_left_out() {
        let mut serial = Serial::default();
        let bytes = b"\x1b[H\x1b[J\x1b[1;1HBooting\x1bc now\x00\x07\n";
        serial.feed(bytes, Duration::ZERO, &mut Vec::new()).unwrap();
        assert_eq!(texts(&serial), ["Booting now"]);
    }

    #[test]
    fn characters_split_between_reads_survive_and_nonsense_is_replaced() {
        let mut serial = Serial::default();
        for bytes in [&b"\xe2\x86"[..], b"\x92 ok \xff\n"] {
            serial.feed(bytes, Duration::ZERO, &mut Vec::new()).unwrap();
        }
        assert_eq!(texts(&serial), ["\u{2192} ok \u{fffd}"]);
    }
}
