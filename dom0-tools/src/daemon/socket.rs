//! A connection by a Unix socket as a [`Transport`].

use super::transport::{Broken, Transport};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;

/// Bytes that are read at once.
const READ_BYTES: usize = 4096;

/// See the module.
pub struct Socket {
    stream: UnixStream,
    read: Vec<u8>,
    taken: usize,
}

impl Socket {
    /// Uses a stream that does not block.
    ///
    /// # Errors
    ///
    /// If it can't be told not to.
    pub fn new(stream: UnixStream) -> std::io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            read: Vec::new(),
            taken: 0,
        })
    }

    fn read_more(&mut self) -> Result<(), Broken> {
        self.read.resize(READ_BYTES, 0);
        self.taken = 0;
        let result = self.stream.read(&mut self.read);
        self.read.truncate(*result.as_ref().unwrap_or(&0));
        match result {
            Ok(0) => Err(Broken::Closed),
            Ok(_) => Ok(()),
            Err(error) if is_temporary(error.kind()) => Ok(()),
            Err(_) => Err(Broken::Closed),
        }
    }
}

fn is_temporary(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

impl Transport for Socket {
    fn receive(&mut self, into: &mut [u8]) -> Result<usize, Broken> {
        if into.is_empty() {
            return Ok(0);
        }
        if self.taken == self.read.len() {
            self.read_more()?;
        }
        let rest = self.read.get(self.taken..).unwrap_or_default();
        let count = rest.len().min(into.len());
        let (into, _) = into.split_at_mut(count);
        into.copy_from_slice(rest.get(..count).unwrap_or_default());
        self.taken += count;
        Ok(count)
    }

    fn send(&mut self, bytes: &[u8]) -> Result<usize, Broken> {
        match self.stream.write(bytes) {
            Ok(count) => Ok(count),
            Err(error) if is_temporary(error.kind()) => Ok(0),
            Err(_) => Err(Broken::Closed),
        }
    }
}
