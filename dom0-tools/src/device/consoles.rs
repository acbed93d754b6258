//! The real [`ConsolePlatform`].
#![forbid(unsafe_code)]

use super::domain_status::DomainStatus;
use super::event_channels::EventChannels;
use super::privcmd::Privcmd;
use super::shared_frame::SharedFrame;
use crate::console::host::ConsolePlatform;
use crate::console::hypervisor_log::Source;
use crate::console::ring::{Console, ConsoleEnd};
use crate::console::terminal::{PseudoTerminal, Terminal};
use crate::control::error::ControlError;
use crate::store::domains::Status;
use guest_abi::grant_table::RESERVED_CONSOLE;
use guest_abi::ids::{DomId, GrantRef, Port};
use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};
use std::io;
use std::rc::Rc;

/// See the module.
pub struct ConsoleMachine {
    channels: Rc<EventChannels>,
    statuses: DomainStatus,
    epoll: Rc<Epoll>,
    first_terminal: u64,
}

impl ConsoleMachine {
    /// Terminals are waited for in `epoll`, by `first_terminal` and the domain's number.
    ///
    /// # Errors
    ///
    /// If this is not the first domain, or modules of its kernel are missing.
    pub fn open(
        channels: Rc<EventChannels>,
        epoll: Rc<Epoll>,
        first_terminal: u64,
    ) -> io::Result<Self> {
        Ok(Self {
            channels,
            statuses: DomainStatus::open()?,
            epoll,
            first_terminal,
        })
    }
}

/// What the hypervisor prints.
pub struct HypervisorConsole(Privcmd);

impl HypervisorConsole {
    /// Opens the way to it.
    ///
    /// # Errors
    ///
    /// If this is not the first domain.
    pub fn open() -> io::Result<Self> {
        Privcmd::open().map(Self)
    }
}

impl Source for HypervisorConsole {
    fn read(&mut self, index: Option<u32>, most: usize) -> Result<(Vec<u8>, u32), ControlError> {
        self.0.read_console_from(index, most)
    }
}

impl ConsolePlatform for ConsoleMachine {
    fn connect(&mut self, domain: DomId, frame: u64, port: Port) -> io::Result<Box<dyn Console>> {
        let frame = SharedFrame::of_guest(domain, GrantRef(RESERVED_CONSOLE), frame)?;
        let channel = self.channels.bind_ring(domain, port)?;
        Ok(Box::new(ConsoleEnd::new(frame, channel)))
    }

    fn open_terminal(&mut self, domain: DomId) -> io::Result<Box<dyn Terminal>> {
        let terminal = PseudoTerminal::open()?;
        // Once for each change: what does not fit into the guest's ring waits in the terminal.
        let changes = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLET;
        let event = EpollEvent::new(changes, self.first_terminal + u64::from(domain.0));
        self.epoll.add(terminal.file(), event)?;
        Ok(Box::new(terminal))
    }

    fn status(&mut self, domain: DomId) -> Status {
        self.statuses.of(domain)
    }
}
