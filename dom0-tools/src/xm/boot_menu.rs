//! The menu of a guest's own boot loader, for who creates it and looks at its console.
//!
//! The titles are the guest's; here they are text that was cleaned, and who reads the guest's disk is elsewhere
//! ([`pygrub`](crate::pygrub)).

use super::failure::Failure;
use crate::config::domain::DomainConfig;
use crate::console::attach::RawTerminal;
use crate::pygrub::answer::{Answer, Wanted};
use crate::pygrub::apart::ask;
use crate::pygrub::menu::Menu;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// Entries that are shown at once.
const SHOWN: usize = 12;
/// Ctrl-C, Ctrl-] and q.
const GIVE_UP: [u8; 3] = [0x03, 0x1D, b'q'];

/// Lets who sits at the terminal choose; `None`: as the configuration on the disk says.
pub(super) fn choose(config: &DomainConfig) -> Result<Option<u32>, Failure> {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return Ok(None);
    }
    let wanted = Wanted {
        only_menu: true,
        ..Wanted::default()
    };
    let Answer::Menu(menu) = ask(config, &wanted).map_err(Failure::error)? else {
        return Ok(None);
    };
    if menu.titles.len() < 2 || menu.timeout_seconds == Some(0) {
        return Ok(None);
    }
    let chosen = show(&Selection::of(&menu))
        .map_err(|error| Failure::error(format!("the menu can't be shown: {error}")))?;
    chosen
        .map(Some)
        .ok_or_else(|| Failure::error("nothing was chosen, and no domain is created"))
}

/// Shows it until an entry is taken; `None` if it is left without.
fn show(selection: &Selection<'_>) -> io::Result<Option<u32>> {
    let mut selection = selection.clone();
    let _raw = RawTerminal::begin();
    let began = Instant::now();
    let (mut output, mut input) = (io::stdout().lock(), io::stdin().lock());
    let mut lines = 0;
    loop {
        let left = selection.left(began.elapsed());
        let picture = selection.picture(left);
        let again = if lines > 0 {
            format!("\x1b[{lines}A\r\x1b[J")
        } else {
            String::new()
        };
        output.write_all(format!("{again}{picture}").as_bytes())?;
        output.flush()?;
        lines = picture.matches('\n').count();
        if left == Some(Duration::ZERO) {
            return Ok(Some(selection.at as u32));
        }
        let timeout = match left {
            Some(left) => {
                PollTimeout::try_from(left.min(Duration::from_secs(1))).unwrap_or(PollTimeout::ZERO)
            }
            None => PollTimeout::NONE,
        };
        let mut waited = [PollFd::new(input.as_fd(), PollFlags::POLLIN)];
        match poll(&mut waited, timeout) {
            Ok(0) | Err(nix::errno::Errno::EINTR) => continue,
            other => other?,
        };
        let mut bytes = [0; 32];
        let count = input.read(&mut bytes)?;
        match selection.typed(bytes.get(..count).unwrap_or_default()) {
            Typed::Taken => return Ok(Some(selection.at as u32)),
            Typed::GivenUp => return Ok(None),
            Typed::Moved => {}
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Typed {
    Moved,
    Taken,
    GivenUp,
}

/// Which entry would be taken.
#[derive(Clone, Debug)]
struct Selection<'m> {
    menu: &'m Menu,
    at: usize,
    /// Who has typed something has all the time.
    has_typed: bool,
}

impl<'m> Selection<'m> {
    fn of(menu: &'m Menu) -> Self {
        Self {
            menu,
            at: menu.default as usize,
            has_typed: false,
        }
    }

    /// How long until it is taken by itself.
    fn left(&self, since: Duration) -> Option<Duration> {
        let seconds = self.menu.timeout_seconds.filter(|_| !self.has_typed)?;
        Some(Duration::from_secs(seconds.into()).saturating_sub(since))
    }

    fn picture(&self, left: Option<Duration>) -> String {
        let titles = &self.menu.titles;
        let first = self
            .at
            .saturating_sub(SHOWN / 2)
            .min(titles.len().saturating_sub(SHOWN));
        let mut text = String::from("pygrub: up and down choose, Enter boots, q leaves\r\n");
        for (number, title) in titles.iter().enumerate().skip(first).take(SHOWN) {
            let mark = if number == self.at { '>' } else { ' ' };
            let title: String = title.chars().take(70).collect();
            let _ = write!(text, " {mark} {title}\r\n");
        }
        if let Some(left) = left {
            let _ = write!(text, "It is booted in {} s.\r\n", left.as_secs_f64().ceil());
        }
        text
    }

    fn typed(&mut self, bytes: &[u8]) -> Typed {
        self.has_typed = true;
        let last = self.menu.titles.len() - 1;
        match bytes {
            // The terminal's other end is gone.
            [] => return Typed::GivenUp,
            [0x1B, b'[' | b'O', b'A', ..] | [b'k', ..] => self.at = self.at.saturating_sub(1),
            [0x1B, b'[' | b'O', b'B', ..] | [b'j', ..] => self.at = (self.at + 1).min(last),
            [b'\r' | b'\n', ..] => return Typed::Taken,
            [key, ..] if GIVE_UP.contains(key) => return Typed::GivenUp,
            _ => {}
        }
        Typed::Moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_choose_and_time_takes() {
        let menu = Menu {
            titles: (0..20).map(|number| format!("Linux {number}")).collect(),
            default: 19,
            timeout_seconds: Some(5),
        };
        let mut selection = Selection::of(&menu);
        let left = selection.left(Duration::from_millis(1500));
        let shown = selection.picture(left);
        assert!(
            shown.contains(" > Linux 19\r\n") && shown.ends_with("It is booted in 4 s.\r\n"),
            "{shown}"
        );
        assert_eq!(shown.matches('\n').count(), SHOWN + 2);
        assert_eq!(selection.left(Duration::from_secs(6)), Some(Duration::ZERO));
        assert_eq!(selection.typed(b"\x1b[B"), Typed::Moved);
        assert_eq!((selection.at, selection.left(Duration::ZERO)), (19, None));
        for _ in 0..30 {
            assert_eq!(selection.typed(b"\x1b[A"), Typed::Moved);
        }
        assert_eq!(selection.typed(b"j"), Typed::Moved);
        assert!(
            selection
                .picture(None)
                .contains("   Linux 0\r\n > Linux 1\r\n")
        );
        assert_eq!((selection.typed(b"\r"), selection.at), (Typed::Taken, 1));
        for end in [&b"q"[..], b"\x03", b""] {
            assert_eq!(selection.typed(end), Typed::GivenUp);
        }
    }
}
