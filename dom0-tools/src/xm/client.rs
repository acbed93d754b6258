//! The connection to `xend`.

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
                Ok(none.insert(BufReader::new(UnixStream::connect(path)?)))
            }
        }
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
