//! The connection to `xend`.

use crate::device::privcmd::Privcmd;
use crate::xend::protocol::{Request, Response, SOCKET, SOCKET_VARIABLE};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

/// What answers calls: `xend`, or a test.
pub trait Xend {
    /// Asks, and waits for the answer.
    ///
    /// # Errors
    ///
    /// If it is not reached.
    fn ask(&mut self, request: &Request) -> io::Result<Response>;
}

/// Connects when it is first asked something.
#[derive(Default)]
pub struct Client {
    stream: Option<BufReader<UnixStream>>,
}

impl Client {
    fn stream(&mut self) -> io::Result<&mut BufReader<UnixStream>> {
        match &mut self.stream {
            Some(stream) => Ok(stream),
            none => {
                let path = std::env::var_os(SOCKET_VARIABLE).unwrap_or_else(|| SOCKET.into());
                let is_root = nix::unistd::geteuid().is_root();
                let connected = UnixStream::connect(path);
                let connected = connected.map_err(|error| why_away(error, is_root))?;
                Ok(none.insert(BufReader::new(connected)))
            }
        }
    }
}

/// Why there may be nobody to connect to: a daemon of another version than the hypervisor does not start, which the hypervisor
/// would tell us, too.
fn why_away(error: io::Error, is_root: bool) -> io::Error {
    if !is_root {
        // Whether anybody is there is not for them.
        return io::ErrorKind::PermissionDenied.into();
    }
    let refusal = Privcmd::open().ok().map(|privcmd| privcmd.machine());
    match refusal {
        Some(Err(refusal)) if refusal.is_other_version() => {
            io::Error::new(io::ErrorKind::Unsupported, refusal)
        }
        _ => error,
    }
}

impl Xend for Client {
    fn ask(&mut self, request: &Request) -> io::Result<Response> {
        let stream = self.stream()?;
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        stream.get_mut().write_all(&line)?;
        let mut answer = String::new();
        if stream.read_line(&mut answer)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(serde_json::from_str(&answer)?)
    }
}
