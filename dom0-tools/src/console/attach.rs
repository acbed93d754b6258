//! `xenconsole`: a terminal, or whatever stands in its place, attached to a guest's console.

use crate::client::connection::{Connection, Failure};
use guest_abi::store_wire::{MessageType, RELEASE_DOMAIN};
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

/// Ctrl-], which detaches when it is typed alone.
const ESCAPE: u8 = 0x1d;
/// How long the daemon may take to make a console's terminal.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long the store may take to answer: by the kernel it is asked also where there is no daemon.
const STORE_PATIENCE: Duration = Duration::from_secs(10);

/// What a console that is closed still has to show comes at once: after so long without any of it there is none.
const SILENCE: Duration = Duration::from_millis(500);
/// How long the last words are waited for in all, as the daemon does: where only the store is lost, the guest goes on.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Attaches until Ctrl-] is typed or the console is closed. `key` is the node with the name of the console's
/// terminal.
///
/// # Errors
///
/// What to tell.
pub fn attach(key: &str) -> Result<(), String> {
    let attachment = Attachment::open(key, PATIENCE)?;
    attachment.run(&mut || false).map(drop)
}

/// How it ends that a console is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Left {
    /// Who looked at it has left it.
    Detached,
    /// It is closed, or its guest has ended; whether anything of it was shown.
    Closed {
        /// Anything was.
        has_shown: bool,
    },
}

/// A console that will be shown: nothing of it is lost from now on, whatever becomes of the guest.
pub struct Attachment {
    store: Connection,
    key: String,
    terminal: File,
    /// Standard input has not ended.
    has_input: bool,
    has_shown: bool,
}

/// The token of the watch for guests that end. What comes of another one is of the terminal's name.
const ENDS: &str = "end";

impl Attachment {
    /// Waits until the console has a terminal that can be opened, but not for longer than that.
    ///
    /// # Errors
    ///
    /// What to tell.
    pub fn open(key: &str, patience: Duration) -> Result<Self, String> {
        let mut store = Connection::open()
            .map_err(|error| format!("the store is not reached: {error}; is xenstored running?"))?;
        store.be_answered_within(STORE_PATIENCE);
        let watched = store.ask_texts(MessageType::Watch, 0, &[key, "tty"]);
        watched.map_err(|failure| format!("{key} can't be watched: {failure}"))?;
        // Who may not is told by the terminal alone.
        let _ = store.ask_texts(MessageType::Watch, 0, &[RELEASE_DOMAIN, ENDS]);
        let terminal = wait_for_terminal(&mut store, key, patience)?;
        Ok(Self {
            store,
            key: key.to_owned(),
            terminal,
            has_input: true,
            has_shown: false,
        })
    }

    /// Shows it until Ctrl-] is typed or the console is closed, or until its guest has ended: when any guest has, `is_over`
    /// is asked whether it was this one.
    ///
    /// # Errors
    ///
    /// What to tell.
    pub fn run(mut self, is_over: &mut dyn FnMut() -> bool) -> Result<Left, String> {
        let mut mask = SigSet::empty();
        for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
            mask.add(signal);
        }
        let signals = mask
            .thread_block()
            .and_then(|()| SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC))
            .map_err(|error| error.to_string())?;
        let _raw = RawTerminal::begin();
        self.relay(&signals, is_over)
            .map_err(|error| error.to_string())
    }
}

fn wait_for_terminal(
    store: &mut Connection,
    key: &str,
    patience: Duration,
) -> Result<File, String> {
    let started = Instant::now();
    loop {
        let failed = match terminal_path(store, key).map_err(|failure| failure.to_string())? {
            None => "Could not read tty from store".to_owned(),
            Some(path) => match open(&path) {
                Ok(terminal) => return Ok(terminal),
                // One of a daemon that is gone: the next one will make another.
                Err(error) => format!("Could not open tty `{path}': {error}"),
            },
        };
        let left = patience.saturating_sub(started.elapsed());
        if left.is_zero() {
            return Err(failed);
        }
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
        if store_is_ready(store, timeout) {
            store.next_event().map_err(|failure| failure.to_string())?;
        }
    }
}

/// Waits until the store has something to say; what it has said already is looked at at once.
fn store_is_ready(store: &mut Connection, timeout: PollTimeout) -> bool {
    if store.take_waiting_event().is_some() {
        return false;
    }
    let mut waited = [PollFd::new(store.file(), PollFlags::POLLIN)];
    matches!(poll(&mut waited, timeout), Ok(count) if count > 0)
}

fn terminal_path(store: &mut Connection, key: &str) -> Result<Option<String>, Failure> {
    match store.read(0, key) {
        Ok(value) => Ok(String::from_utf8(value)
            .ok()
            .filter(|path| !path.is_empty())),
        Err(Failure::Refused(_)) => Ok(None),
        Err(failure) => Err(failure),
    }
}

fn open(path: &str) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags((OFlag::O_NOCTTY | OFlag::O_NONBLOCK).bits())
        .open(path)
}

/// The terminal at standard input passes bytes as they are until this is dropped.
pub struct RawTerminal(Option<Termios>);

impl RawTerminal {
    /// From now on.
    #[must_use]
    pub fn begin() -> Self {
        let former = tcgetattr(io::stdin()).ok();
        if let Some(former) = &former {
            let mut raw = former.clone();
            cfmakeraw(&mut raw);
            let _ = tcsetattr(io::stdin(), SetArg::TCSANOW, &raw);
        }
        Self(former)
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        if let Some(former) = &self.0 {
            let _ = tcsetattr(io::stdin(), SetArg::TCSAFLUSH, former);
        }
    }
}

impl Attachment {
    fn relay(&mut self, signals: &SignalFd, is_over: &mut dyn FnMut() -> bool) -> io::Result<Left> {
        loop {
            let stdin = io::stdin();
            let mut waited = [
                PollFd::new(signals.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.store.file(), PollFlags::POLLIN),
                PollFd::new(self.terminal.as_fd(), PollFlags::POLLIN),
                PollFd::new(stdin.as_fd(), PollFlags::POLLIN),
            ];
            let count = if self.has_input { 4 } else { 3 };
            let is_waiting = self.store.has_waiting_event();
            let timeout = match is_waiting {
                true => PollTimeout::ZERO,
                false => PollTimeout::NONE,
            };
            match poll(waited.get_mut(..count).unwrap_or_default(), timeout) {
                Err(nix::errno::Errno::EINTR) => continue,
                other => other?,
            };
            let happened = waited.map(|one| one.any().unwrap_or(false));
            let [has_signal, has_event, has_output, has_typed] = happened;
            let has_event = has_event || is_waiting;
            if has_signal {
                return Ok(Left::Detached);
            }
            if has_output {
                let is_open = show(&self.terminal, &mut io::stdout().lock())?;
                self.has_shown |= is_open;
                if !is_open && !has_event {
                    // The daemon's end is closed; the store says whether there will be another.
                    std::thread::sleep(Duration::from_millis(100));
                    if !self.follow()? {
                        return Ok(self.closed());
                    }
                }
            }
            if has_event && self.is_closed(is_over)? {
                let mut shown = Counted(io::stdout().lock(), 0);
                show_last_words(&self.terminal, signals, LAST_WORDS, &mut shown)?;
                self.has_shown |= shown.1 > 0;
                return Ok(self.closed());
            }
            if self.has_input && has_typed && !self.pass_typed()? {
                return Ok(Left::Detached);
            }
        }
    }

    const fn closed(&self) -> Left {
        Left::Closed {
            has_shown: self.has_shown,
        }
    }

    /// Takes an event of the store, and says whether there is nothing more to come but last words.
    fn is_closed(&mut self, is_over: &mut dyn FnMut() -> bool) -> io::Result<bool> {
        let Ok(event) = self.store.next_event() else {
            return Ok(true);
        };
        if event.token == ENDS.as_bytes() {
            return Ok(is_over());
        }
        Ok(!self.follow()?)
    }

    /// Goes on at another terminal if there is one; `false` if the console is closed.
    fn follow(&mut self) -> io::Result<bool> {
        match terminal_path(&mut self.store, &self.key) {
            Ok(Some(path)) => {
                // Of the same name, it may be another one all the same.
                if let Ok(terminal) = open(&path) {
                    self.terminal = terminal;
                }
                Ok(true)
            }
            Ok(None) | Err(_) => Ok(false),
        }
    }

    /// Passes what is typed; `false` to detach.
    fn pass_typed(&mut self) -> io::Result<bool> {
        let mut bytes = [0; 512];
        let count = io::stdin().lock().read(&mut bytes)?;
        let typed = bytes.get(..count).unwrap_or_default();
        if typed == [ESCAPE] {
            return Ok(false);
        }
        self.has_input = count > 0;
        let mut rest = typed;
        while !rest.is_empty() {
            match self.terminal.write(rest) {
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let mut waited = [PollFd::new(self.terminal.as_fd(), PollFlags::POLLOUT)];
                    poll(&mut waited, PollTimeout::from(100_u8))?;
                    // A guest that takes no input must not keep one from detaching.
                    if waited.iter().all(|one| one.any() == Some(false)) {
                        return Ok(true);
                    }
                }
                Err(_) => return Ok(true),
            }
        }
        Ok(true)
    }
}

/// What is written, and how many bytes that are.
struct Counted<W>(W, usize);

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.0.write(bytes)?;
        self.1 += count;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Shows what the guest prints; `false` if the other end is closed.
fn show(mut terminal: &File, output: &mut impl Write) -> io::Result<bool> {
    let mut bytes = [0; 4096];
    match terminal.read(&mut bytes) {
        Ok(0) => Ok(false),
        Ok(count) => {
            output.write_all(bytes.get(..count).unwrap_or_default())?;
            output.flush()?;
            Ok(true)
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(true),
        Err(_) => Ok(false),
    }
}

/// Shows what the console still has when it is closed, or for `most` if there is no end of it.
fn show_last_words(
    terminal: &File,
    signals: &SignalFd,
    most: Duration,
    output: &mut impl Write,
) -> io::Result<()> {
    let began = Instant::now();
    loop {
        let left = most.saturating_sub(began.elapsed());
        if left.is_zero() {
            return Ok(());
        }
        let mut waited = [
            PollFd::new(terminal.as_fd(), PollFlags::POLLIN),
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
        ];
        let timeout = PollTimeout::try_from(left.min(SILENCE)).unwrap_or(PollTimeout::ZERO);
        match poll(&mut waited, timeout) {
            Err(nix::errno::Errno::EINTR) => continue,
            other => other?,
        };
        let [has_more, has_signal] = waited.map(|one| one.any().unwrap_or(false));
        if has_signal || !has_more || !show(terminal, output)? {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn no_signals() -> SignalFd {
        SignalFd::with_flags(&SigSet::empty(), SfdFlags::SFD_CLOEXEC).unwrap()
    }

    #[test]
    fn last_words_without_end_are_ended() {
        // As much as one reads, and a disk for what is shown that takes all.
        let endless = File::open("/dev/zero").unwrap();
        let most = Duration::from_millis(50);
        show_last_words(&endless, &no_signals(), most, &mut io::sink()).unwrap();
    }

    #[test]
    fn last_words_are_shown_up_to_their_end() {
        let (terminal, mut daemon) = std::io::pipe().unwrap();
        daemon.write_all(&[b'x'; 10_000]).unwrap();
        drop(daemon);
        let terminal = File::from(std::os::fd::OwnedFd::from(terminal));
        let mut shown = Vec::new();
        // It ends with the other end, not with the time.
        let most = Duration::from_secs(3600);
        show_last_words(&terminal, &no_signals(), most, &mut shown).unwrap();
        assert_eq!(shown, [b'x'; 10_000]);
    }
}
