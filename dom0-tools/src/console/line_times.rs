//! When lines were printed, in front of them in a log.

use crate::daemon::logging::date_and_time;
use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};

/// Whether lines of a log have a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Times {
    /// They do.
    Shown,
    /// They are as they were printed.
    NotShown,
}

/// Where a log is in its lines.
#[derive(Debug)]
pub struct LineTimes {
    times: Times,
    is_at_start: bool,
}

impl LineTimes {
    /// At the start of a line.
    #[must_use]
    pub const fn new(times: Times) -> Self {
        Self {
            times,
            is_at_start: true,
        }
    }

    /// What is printed now, with the time in front of each line that begins.
    pub fn with_times<'b>(&mut self, bytes: &'b [u8]) -> Cow<'b, [u8]> {
        if self.times == Times::NotShown {
            return Cow::Borrowed(bytes);
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        self.with_time(now.map_or(0, |now| now.as_secs()), bytes)
    }

    fn with_time<'b>(&mut self, seconds: u64, bytes: &'b [u8]) -> Cow<'b, [u8]> {
        let [year, month, day, hour, minute, second] = date_and_time(seconds);
        let time = format!("[{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}] ");
        let mut timed = Vec::new();
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            if self.is_at_start {
                timed.extend_from_slice(time.as_bytes());
            }
            timed.extend_from_slice(line);
            self.is_at_start = line.ends_with(b"\n");
        }
        Cow::Owned(timed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_has_its_time_once() {
        let mut lines = LineTimes::new(Times::Shown);
        let mut log = Vec::new();
        for (seconds, bytes) in [
            (0, &b"one\r\ntw"[..]),
            (60, b"o\n"),
            (61, b""),
            (61, b"\nx"),
        ] {
            log.extend_from_slice(&lines.with_time(seconds, bytes));
        }
        assert_eq!(
            String::from_utf8(log).unwrap(),
            "[1970-01-01 00:00:00] one\r\n[1970-01-01 00:00:00] two\n\
             [1970-01-01 00:01:01] \n[1970-01-01 00:01:01] x"
        );
        assert_eq!(&*LineTimes::new(Times::NotShown).with_times(b"a\n"), b"a\n");
        assert!(
            LineTimes::new(Times::Shown)
                .with_times(b"a")
                .ends_with(b"] a")
        );
    }
}
