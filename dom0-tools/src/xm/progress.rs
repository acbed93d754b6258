//! A bar for people who wait, where they look at a terminal.
//!
//! It comes when something takes longer than a moment, and is gone before anything else is printed, so that what is
//! printed is the same with it and without.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// `off` for none on terminals either.
pub const VARIABLE: &str = "XM_PROGRESS";
/// What takes less is not worth a bar.
const MOMENT: Duration = Duration::from_millis(500);
/// Between two pictures.
const FRAME: Duration = Duration::from_millis(200);
const WIDTH: usize = 20;
/// Of a bar that goes to and fro.
const BLOCK: usize = 3;
/// Characters of a domain's name; the whole must fit on a line.
const MOST_NAME: usize = 32;
/// Goes to the line's begin and removes what is behind.
const ERASE: &str = "\r\x1b[K";

/// How much is done, and how much there is to do; nothing to do if that is not known.
pub type Measure = Box<dyn FnMut() -> (u64, u64) + Send>;

/// Whether bars are shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// On standard error.
    Shown,
    /// Nobody looks, or nobody wants to.
    Hidden,
}

impl Progress {
    /// Shown if standard output and standard error are terminals that can erase, and nobody objects.
    #[must_use]
    pub fn for_terminals() -> Self {
        let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|set| set == value);
        let is_terminal = io::stdout().is_terminal() && io::stderr().is_terminal();
        if is_terminal && !is("TERM", "dumb") && !is(VARIABLE, "off") {
            Self::Shown
        } else {
            Self::Hidden
        }
    }

    /// Shows a bar until the result is dropped.
    #[must_use]
    pub fn begin(self, what: &str, measure: Option<Measure>) -> Option<Bar> {
        if self == Self::Hidden {
            return None;
        }
        let (stop, stopped) = channel::<()>();
        let what = shortened(what);
        let began = Instant::now();
        let thread = std::thread::spawn(move || {
            let mut measure = measure;
            let mut wait = MOMENT;
            let mut is_drawn = false;
            while stopped.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                wait = FRAME;
                let (done, total) = measure.as_mut().map_or((0, 0), |measure| measure());
                let line = line(&what, done, total, began.elapsed());
                let _ = write!(io::stderr(), "{ERASE}{line}");
                is_drawn = true;
            }
            if is_drawn {
                let _ = write!(io::stderr(), "{ERASE}");
            }
        });
        Some(Bar {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

/// A bar that is shown.
#[derive(Debug)]
pub struct Bar {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Bar {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It is gone before anything is printed.
            let _ = thread.join();
        }
    }
}

fn shortened(what: &str) -> String {
    if what.chars().count() <= MOST_NAME {
        return what.to_owned();
    }
    let mut short: String = what.chars().take(MOST_NAME - 3).collect();
    short.push_str("...");
    short
}

/// One picture.
fn line(what: &str, done: u64, total: u64, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    let mut bar = String::new();
    let hundredths = u128::from(done.min(total)) * 100;
    let (from, to, text) = match hundredths.checked_div(total.into()) {
        Some(percent) => {
            let filled = percent as usize * WIDTH / 100;
            (0, filled, format!("{percent:>3}%"))
        }
        None => {
            let steps = WIDTH - BLOCK;
            let step = (elapsed.as_millis() / FRAME.as_millis()) as usize % (2 * steps);
            let from = step.min(2 * steps - step);
            (from, from + BLOCK, format!("{seconds} s"))
        }
    };
    for column in 0..WIDTH {
        bar.push(if (from..to).contains(&column) {
            '#'
        } else {
            ' '
        });
    }
    let mut line = String::new();
    let _ = write!(line, "{what} [{bar}] {text}");
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_show_what_is_known() {
        let at = |done, total, ms| line("etch", done, total, Duration::from_millis(ms));
        assert_eq!(at(0, 200, 0), "etch [                    ]   0%");
        assert_eq!(at(100, 200, 0), "etch [##########          ]  50%");
        assert_eq!(at(200, 200, 0), "etch [####################] 100%");
        assert_eq!(at(300, 200, 0), at(200, 200, 0));
        assert_eq!(at(u64::MAX, u64::MAX, 0), at(200, 200, 0));
        assert_eq!(at(0, 0, 0), "etch [###                 ] 0 s");
        assert_eq!(at(0, 0, 200 * 17), "etch [                 ###] 3 s");
        assert_eq!(at(0, 0, 200 * 33), "etch [ ###                ] 6 s");
        for ms in 0..20_000 {
            assert!(at(0, 0, ms).contains("###"));
        }
        assert_eq!(shortened(&"x".repeat(99)).len(), MOST_NAME);
    }

    #[test]
    fn nothing_is_shown_where_nobody_looks() {
        assert!(Progress::Hidden.begin("etch", None).is_none());
    }
}
