//! Waiting for anybody: sockets, signals, and the machine.

use super::carrier::{Carrier, Platform, PlatformEvent};
use super::logging;
use super::socket::Socket;
use crate::store::ClientId;
use crate::store::client::Mode;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

/// Turns between two looks for new events.
const TURNS_A_ROUND: usize = 64;
/// Events that are taken at once.
const EVENTS_A_ROUND: usize = 64;
/// Connections by sockets at once.
const MAX_SOCKETS: usize = 1024;

const SIGNALS: u64 = 0;
const MACHINE: u64 = 1;
const LISTENERS: u64 = 2;
/// Sockets of clients, by their numbers.
const CLIENTS: u64 = 16;

/// Where the machine's events come from.
pub trait EventSource {
    /// What can be waited for; `None` if nothing will ever happen.
    fn file(&self) -> Option<BorrowedFd<'_>>;
    /// The next event, if one has happened.
    fn next(&mut self) -> Option<PlatformEvent>;
}

/// Nothing ever happens: there is no hypervisor.
pub struct NoEvents;

impl EventSource for NoEvents {
    fn file(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn next(&mut self) -> Option<PlatformEvent> {
        None
    }
}

/// A socket on which clients can connect.
pub struct Listener {
    listener: UnixListener,
    mode: Mode,
}

impl Listener {
    /// Listens at `path`, which only root may open. A socket of a former daemon is replaced.
    ///
    /// # Errors
    ///
    /// If that can't be done, or another daemon listens there.
    pub fn bind(path: &Path, mode: Mode) -> io::Result<Self> {
        if UnixStream::connect(path).is_ok() {
            return Err(io::Error::new(
                ErrorKind::AddrInUse,
                format!("another daemon answers at {}", path.display()),
            ));
        }
        match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        let rights = match mode {
            Mode::ReadWrite => 0o600,
            Mode::ReadOnly => 0o660,
        };
        fs::set_permissions(path, fs::Permissions::from_mode(rights))?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, mode })
    }
}

/// Serves until a signal says to stop.
///
/// # Errors
///
/// If it is impossible to wait for events.
pub fn serve<P: Platform>(
    carrier: &mut Carrier<P>,
    listeners: &[Listener],
    machine: &mut dyn EventSource,
    started: impl FnOnce(),
) -> io::Result<()> {
    let mut mask = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        mask.add(signal);
    }
    mask.thread_block()?;
    let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let input = EpollFlags::EPOLLIN;
    epoll.add(&signals, EpollEvent::new(input, SIGNALS))?;
    if let Some(file) = machine.file() {
        epoll.add(file, EpollEvent::new(input, MACHINE))?;
    }
    for (number, listener) in (LISTENERS..).zip(listeners) {
        epoll.add(&listener.listener, EpollEvent::new(input, number))?;
    }
    started();
    let mut events = [EpollEvent::empty(); EVENTS_A_ROUND];
    let mut is_waited_for = carrier.run(0);
    loop {
        let timeout = if is_waited_for {
            EpollTimeout::ZERO
        } else {
            EpollTimeout::NONE
        };
        let happened = match epoll.wait(&mut events, timeout) {
            Ok(count) => events.get(..count).unwrap_or_default(),
            Err(nix::errno::Errno::EINTR) => continue,
            Err(error) => return Err(error.into()),
        };
        for event in happened {
            match event.data() {
                SIGNALS => {
                    while let Ok(Some(signal)) = signals.read_signal() {
                        if signal.ssi_signo == Signal::SIGHUP as u32 {
                            logging::reopen();
                        } else {
                            return Ok(());
                        }
                    }
                }
                MACHINE => {
                    while let Some(event) = machine.next() {
                        carrier.happened(event);
                    }
                }
                number if number >= CLIENTS => {
                    let number = u32::try_from(number - CLIENTS).unwrap_or(0);
                    carrier.is_ready(ClientId::Socket(number));
                }
                number => {
                    let index = usize::try_from(number - LISTENERS).unwrap_or(0);
                    if let Some(listener) = listeners.get(index) {
                        accept_all(carrier, listener, &epoll);
                    }
                }
            }
        }
        is_waited_for = carrier.run(TURNS_A_ROUND);
    }
}

fn accept_all<P: Platform>(carrier: &mut Carrier<P>, listener: &Listener, epoll: &Epoll) {
    loop {
        let stream = match listener.listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => {
                log::warn!("a connection can't be accepted: {error}");
                return;
            }
        };
        if carrier.nr_sockets() >= MAX_SOCKETS {
            log::warn!("a connection is refused: there are {MAX_SOCKETS} already");
            continue;
        }
        if let Err(error) = add(carrier, stream, listener.mode, epoll) {
            log::warn!("a connection can't be used: {error}");
        }
    }
}

fn add<P: Platform>(
    carrier: &mut Carrier<P>,
    stream: UnixStream,
    mode: Mode,
    epoll: &Epoll,
) -> io::Result<()> {
    let number = carrier.new_socket_number();
    let all =
        EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
    epoll.add(&stream, EpollEvent::new(all, CLIENTS + u64::from(number)))?;
    carrier.add_socket(number, Box::new(Socket::new(stream)?), mode);
    Ok(())
}
