//! The administrator's end of a console: a pseudo-terminal.

use nix::fcntl::OFlag;
use nix::pty::{PtyMaster, grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

/// Somebody may be attached to it, or not.
pub trait Terminal {
    /// Where one attaches.
    fn path(&self) -> &str;
    /// Takes what was typed; 0 if nothing was.
    fn read(&mut self, into: &mut [u8]) -> usize;
    /// Shows as much as there is room for.
    fn write(&mut self, bytes: &[u8]) -> usize;
}

/// See the module.
pub struct PseudoTerminal {
    master: PtyMaster,
    /// Kept open, so that the terminal lasts when nobody is attached.
    _slave: File,
    path: String,
}

impl PseudoTerminal {
    /// Makes one that passes bytes as they are.
    ///
    /// # Errors
    ///
    /// If the system has none left.
    pub fn open() -> io::Result<Self> {
        let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let master = posix_openpt(flags)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let path = ptsname_r(&master)?;
        let slave = OpenOptions::new().read(true).write(true).open(&path)?;
        let mut settings = tcgetattr(&slave)?;
        cfmakeraw(&mut settings);
        tcsetattr(&slave, SetArg::TCSANOW, &settings)?;
        Ok(Self {
            master,
            _slave: slave,
            path,
        })
    }

    /// What can be waited for.
    #[must_use]
    pub fn file(&self) -> BorrowedFd<'_> {
        self.master.as_fd()
    }
}

impl Terminal for PseudoTerminal {
    fn path(&self) -> &str {
        &self.path
    }

    fn read(&mut self, into: &mut [u8]) -> usize {
        self.master.read(into).unwrap_or(0)
    }

    fn write(&mut self, bytes: &[u8]) -> usize {
        self.master.write(bytes).unwrap_or(0)
    }
}
