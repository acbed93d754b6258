//! `/dev/xen/evtchn`: event channels of this process.

use guest_abi::dev_evtchn::{BindInterdomain, BindVirq, DEVICE, EvtchnIoctl, Notify, Unbind};
use guest_abi::event_channel::Virq;
use guest_abi::ids::{DomId, Port};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::rc::Rc;

mod request {
    use super::{BindInterdomain, BindVirq, EvtchnIoctl, Notify, Unbind};

    nix::ioctl_write_ptr_bad!(
        bind_interdomain,
        EvtchnIoctl::BindInterdomain as u32,
        BindInterdomain
    );
    nix::ioctl_write_ptr_bad!(bind_virq, EvtchnIoctl::BindVirq as u32, BindVirq);
    nix::ioctl_write_ptr_bad!(unbind, EvtchnIoctl::Unbind as u32, Unbind);
    nix::ioctl_write_ptr_bad!(notify, EvtchnIoctl::Notify as u32, Notify);
    nix::ioctl_none_bad!(reset, EvtchnIoctl::Reset as u32);
}

/// Ports that are read at once.
const PORTS_A_READ: usize = 256;

/// What an event is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum About {
    /// A domain's ring.
    Ring(DomId),
    /// A virtual interrupt.
    Virq,
}

/// All ports of this process.
pub struct EventChannels {
    file: File,
    bound: RefCell<BTreeMap<Port, About>>,
}

impl EventChannels {
    /// Opens the device.
    ///
    /// # Errors
    ///
    /// If there is none, or it may not be opened.
    pub fn open() -> io::Result<Rc<Self>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits())
            .open(DEVICE)
            .map_err(|error| io::Error::new(error.kind(), format!("{DEVICE}: {error}")))?;
        Ok(Rc::new(Self {
            file,
            bound: RefCell::default(),
        }))
    }

    /// Connects to another domain's port.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn bind_ring(self: &Rc<Self>, domain: DomId, remote_port: Port) -> io::Result<Channel> {
        let argument = BindInterdomain {
            remote_domain: u32::from(domain.0),
            remote_port,
        };
        // SAFETY: the request reads this structure, which lives until it returns, and nothing else.
        let port = unsafe { request::bind_interdomain(self.file.as_raw_fd(), &argument) }?;
        self.new_channel(port, About::Ring(domain))
    }

    /// Binds a virtual interrupt.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn bind_virq(self: &Rc<Self>, virq: Virq) -> io::Result<Channel> {
        let argument = BindVirq { virq: virq as u32 };
        // SAFETY: the request reads this structure, which lives until it returns, and nothing else.
        let port = unsafe { request::bind_virq(self.file.as_raw_fd(), &argument) }?;
        self.new_channel(port, About::Virq)
    }

    fn new_channel(self: &Rc<Self>, port: i32, about: About) -> io::Result<Channel> {
        let port = Port(u32::try_from(port).map_err(io::Error::other)?);
        self.bound.borrow_mut().insert(port, about);
        Ok(Channel {
            all: self.clone(),
            port,
        })
    }

    /// What can be waited for.
    #[must_use]
    pub fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// What has happened since the last call; further events for the same ports are noticed from here on.
    /// Where events were lost, all ports are said to have one.
    #[must_use]
    pub fn take(&self) -> Vec<About> {
        let mut ports = [0_u8; 4 * PORTS_A_READ];
        match (&self.file).read(&mut ports) {
            Ok(count) => {
                let ports = ports.get(..count).unwrap_or_default();
                if let Err(error) = (&self.file).write_all(ports) {
                    log::error!("{DEVICE}: events can't be enabled again: {error}");
                }
                let bound = self.bound.borrow();
                let (ports, _) = ports.as_chunks();
                let about = ports
                    .iter()
                    .filter_map(|port| bound.get(&Port(u32::from_ne_bytes(*port))));
                about.copied().collect()
            }
            Err(error) if error.raw_os_error() == Some(nix::errno::Errno::EFBIG as i32) => {
                // SAFETY: the request has no argument.
                let _ = unsafe { request::reset(self.file.as_raw_fd()) };
                let bound = self.bound.borrow();
                for port in bound.keys() {
                    let _ = (&self.file).write_all(&port.0.to_ne_bytes());
                }
                bound.values().copied().collect()
            }
            Err(error) => {
                if error.kind() != ErrorKind::WouldBlock {
                    log::error!("{DEVICE}: {error}");
                }
                Vec::new()
            }
        }
    }
}

/// One port; closed when it is dropped.
pub struct Channel {
    all: Rc<EventChannels>,
    port: Port,
}

impl Channel {
    /// Sends an event to the other end.
    pub fn notify(&self) {
        let argument = Notify { port: self.port };
        // The other end may have been closed by its domain, which is that domain's affair.
        // SAFETY: the request reads this structure, which lives until it returns, and nothing else.
        let _ = unsafe { request::notify(self.all.file.as_raw_fd(), &argument) };
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.all.bound.borrow_mut().remove(&self.port);
        let argument = Unbind { port: self.port };
        // SAFETY: the request reads this structure, which lives until it returns, and nothing else.
        let _ = unsafe { request::unbind(self.all.file.as_raw_fd(), &argument) };
    }
}
