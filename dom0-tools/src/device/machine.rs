//! The real [`Platform`]: rings in guests' frames, event channels, and the hypervisor's word on domains.
#![forbid(unsafe_code)]

use super::domain_status::DomainStatus;
use super::event_channels::{About, Channel, EventChannels};
use super::shared_frame::SharedFrame;
use crate::daemon::carrier::{Platform, PlatformEvent};
use crate::daemon::event_loop::EventSource;
use crate::daemon::ring::{Doorbell, Ring, RingMemory};
use crate::daemon::transport::Transport;
use crate::store::domains::Status;
use guest_abi::dev_store::KERNEL_PORT_FILE;
use guest_abi::errno::Errno;
use guest_abi::event_channel::Virq;
use guest_abi::grant_table::RESERVED_STORE;
use guest_abi::ids::{DomId, GrantRef, Port};
use std::collections::VecDeque;
use std::io;
use std::os::fd::BorrowedFd;
use std::rc::Rc;

impl RingMemory for SharedFrame {
    fn read(&self, offset: usize, into: &mut [u8]) {
        Self::read(self, offset, into);
    }

    fn write(&self, offset: usize, from: &[u8]) {
        Self::write(self, offset, from);
    }

    fn load(&self, offset: usize) -> u32 {
        Self::load(self, offset)
    }

    fn store(&self, offset: usize, value: u32) {
        Self::store(self, offset, value);
    }
}

impl Doorbell for Channel {
    fn ring(&mut self) {
        self.notify();
    }
}

/// See the module.
pub struct Machine {
    channels: Rc<EventChannels>,
    statuses: DomainStatus,
}

impl Machine {
    /// Opens the kernel's devices, and makes what tells of events.
    ///
    /// # Errors
    ///
    /// If this is not the first domain, or modules of its kernel are missing.
    pub fn open() -> io::Result<(Self, MachineEvents)> {
        let channels = EventChannels::open()?;
        let domain_virq = channels.bind_virq(Virq::DomainException)?;
        let events = MachineEvents {
            channels: channels.clone(),
            _domain_virq: domain_virq,
            waiting: VecDeque::new(),
        };
        let statuses = DomainStatus::open()?;
        Ok((Self { channels, statuses }, events))
    }

    fn ring(
        &self,
        domain: DomId,
        frame: io::Result<SharedFrame>,
        port: Port,
    ) -> io::Result<Box<dyn Transport>> {
        let channel = self.channels.bind_ring(domain, port)?;
        Ok(Box::new(Ring::new(frame?, channel)))
    }
}

impl Platform for Machine {
    fn connect(
        &mut self,
        domain: DomId,
        gfn: u64,
        port: Port,
    ) -> Result<Box<dyn Transport>, Errno> {
        let frame = SharedFrame::of_guest(domain, GrantRef(RESERVED_STORE), gfn);
        self.ring(domain, frame, port).map_err(|error| {
            log::warn!("domain {}: its ring can't be connected: {error}", domain.0);
            Errno::EINVAL
        })
    }

    fn connect_own_kernel(&mut self) -> io::Result<Option<Box<dyn Transport>>> {
        let text = std::fs::read_to_string(KERNEL_PORT_FILE).map_err(|error| {
            io::Error::new(error.kind(), format!("{KERNEL_PORT_FILE}: {error}"))
        })?;
        let port = text.trim().parse().map_err(io::Error::other)?;
        let frame = SharedFrame::of_own_kernel();
        self.ring(DomId::DOM0, frame, Port(port)).map(Some)
    }

    fn status(&mut self, domain: DomId) -> Status {
        self.statuses.of(domain)
    }
}

/// Tells what happens to rings and domains.
pub struct MachineEvents {
    channels: Rc<EventChannels>,
    _domain_virq: Channel,
    waiting: VecDeque<About>,
}

impl EventSource for MachineEvents {
    fn file(&self) -> Option<BorrowedFd<'_>> {
        Some(self.channels.file())
    }

    fn next(&mut self) -> Option<PlatformEvent> {
        if self.waiting.is_empty() {
            self.waiting.extend(self.channels.take());
        }
        Some(match self.waiting.pop_front()? {
            About::Ring(domain) => PlatformEvent::Ring(domain),
            About::Virq => PlatformEvent::Domains,
        })
    }
}

/// No hypervisor: the store is for processes of this system only.
pub struct NoMachine;

impl Platform for NoMachine {
    fn connect(&mut self, _: DomId, _: u64, _: Port) -> Result<Box<dyn Transport>, Errno> {
        Err(Errno::ENOSYS)
    }

    fn connect_own_kernel(&mut self) -> io::Result<Option<Box<dyn Transport>>> {
        Ok(None)
    }

    fn status(&mut self, _: DomId) -> Status {
        Status::Alive
    }
}
