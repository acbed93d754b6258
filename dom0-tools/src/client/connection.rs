//! A connection to the store: requests and their answers, one after the other.

use crate::command_line::socket_path;
use crate::store::wire::{Assembler, encode};
use guest_abi::dev_store::DEVICE;
use guest_abi::store_wire::{MAX_PAYLOAD, MessageHeader, MessageType, named_error};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::collections::VecDeque;
use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Why a request has no answer.
#[derive(Debug)]
pub enum Failure {
    /// The store has refused it, with an error of this name.
    Refused(String),
    /// The store is not reached.
    Io(io::Error),
    /// The store does not keep to the protocol.
    Protocol,
    /// The request is longer than the protocol allows.
    TooLong,
}

impl Failure {
    /// Whether the store has refused it with the error of this name.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        matches!(self, Self::Refused(refused) if refused == name)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(name) => match named_error(name) {
                Some(error) => f.write_str(nix::errno::Errno::from_raw(error as i32).desc()),
                None => f.write_str(name),
            },
            Self::Io(error) => error.fmt(f),
            Self::Protocol => f.write_str("the store's answer is not one"),
            Self::TooLong => write!(f, "a request has at most {MAX_PAYLOAD} bytes"),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Requests that are sent before the first answer is waited for: the daemon's and our buffers hold that many.
const AT_ONCE: usize = 16;

/// A watch has been told of something.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// The node.
    pub path: Vec<u8>,
    /// The watch's token.
    pub token: Vec<u8>,
}

trait Stream: Read + Write + AsFd {}
impl<T: Read + Write + AsFd> Stream for T {}

/// See the module.
pub struct Connection {
    stream: Box<dyn Stream>,
    events: VecDeque<Event>,
    last_number: u32,
    /// How long an answer may take; `None`: as long as it takes.
    patience: Option<Duration>,
}

impl Connection {
    /// Connects by the socket.
    ///
    /// # Errors
    ///
    /// If nobody answers there.
    pub fn by_socket() -> io::Result<Self> {
        Ok(Self::with(UnixStream::connect(socket_path())?))
    }

    /// Connects by the socket, or else by the kernel's device.
    ///
    /// # Errors
    ///
    /// Why the socket can't be used, if neither can.
    pub fn open() -> io::Result<Self> {
        Self::by_socket().or_else(|error| {
            let device = OpenOptions::new().read(true).write(true).open(DEVICE);
            device.map(Self::with).map_err(|_| error)
        })
    }

    fn with(stream: impl Stream + 'static) -> Self {
        Self {
            stream: Box::new(stream),
            events: VecDeque::new(),
            last_number: 0,
            patience: None,
        }
    }

    /// Answers have to come within so long from now on, each of them; events may take longer.
    pub fn be_answered_within(&mut self, patience: Duration) {
        self.patience = Some(patience);
    }

    /// Sends a request and waits for the answer.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub fn ask(
        &mut self,
        message_type: MessageType,
        transaction: u32,
        payload: &[u8],
    ) -> Result<Vec<u8>, Failure> {
        let request = self.encoded(message_type, transaction, payload)?;
        self.stream.write_all(&request)?;
        self.answer(self.last_number)
    }

    fn encoded(
        &mut self,
        message_type: MessageType,
        transaction: u32,
        payload: &[u8],
    ) -> Result<Vec<u8>, Failure> {
        if payload.len() > MAX_PAYLOAD as usize {
            return Err(Failure::TooLong);
        }
        self.last_number = self.last_number.wrapping_add(1);
        Ok(encode(message_type, self.last_number, transaction, payload))
    }

    /// Asks the same of many things, some at a time, and calls `take` with the answer to each, in order, until it fails. What
    /// was asked by then is answered all the same.
    ///
    /// # Errors
    ///
    /// What `take` fails with, or why there are no answers.
    pub fn ask_all<E: From<Failure>>(
        &mut self,
        message_type: MessageType,
        payloads: &[Vec<u8>],
        mut take: impl FnMut(usize, Result<Vec<u8>, Failure>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut done = 0;
        for some in payloads.chunks(AT_ONCE) {
            let mut requests = Vec::new();
            let mut numbers = Vec::new();
            for payload in some {
                let request = self.encoded(message_type, 0, payload);
                numbers.push(request.map(|request| {
                    requests.extend(request);
                    self.last_number
                }));
            }
            self.stream.write_all(&requests).map_err(Failure::Io)?;
            let mut taken = Ok(());
            for number in numbers {
                let answer = match number.and_then(|number| self.answer(number)) {
                    Err(failure @ (Failure::Io(_) | Failure::Protocol)) => {
                        return Err(failure.into());
                    }
                    answer => answer,
                };
                if taken.is_ok() {
                    taken = take(done, answer);
                }
                done += 1;
            }
            taken?;
        }
        Ok(())
    }

    /// Waits for the answer to a request of this number.
    fn answer(&mut self, number: u32) -> Result<Vec<u8>, Failure> {
        let until = self.patience.map(|patience| Instant::now() + patience);
        loop {
            let (header, payload) = self.receive(until)?;
            if header.message_type == MessageType::WatchEvent as u32 {
                self.events.push_back(event(&payload)?);
            } else if header.req_id != number {
                return Err(Failure::Protocol);
            } else if header.message_type == MessageType::Error as u32 {
                let name = payload.strip_suffix(&[0]).unwrap_or(&payload);
                let name = String::from_utf8_lossy(name).into_owned();
                return Err(Failure::Refused(name));
            } else {
                return Ok(payload);
            }
        }
    }

    /// The same for texts, each of which is terminated.
    ///
    /// # Errors
    ///
    /// Why there is no answer.
    pub fn ask_texts(
        &mut self,
        message_type: MessageType,
        transaction: u32,
        texts: &[&str],
    ) -> Result<Vec<u8>, Failure> {
        let mut payload = Vec::new();
        for text in texts {
            payload.extend_from_slice(text.as_bytes());
            payload.push(0);
        }
        self.ask(message_type, transaction, &payload)
    }

    /// Waits for an event of a watch.
    ///
    /// # Errors
    ///
    /// Why there will be none.
    pub fn next_event(&mut self) -> Result<Event, Failure> {
        if let Some(event) = self.events.pop_front() {
            return Ok(event);
        }
        let (header, payload) = self.receive(None)?;
        if header.message_type != MessageType::WatchEvent as u32 {
            return Err(Failure::Protocol);
        }
        event(&payload)
    }

    /// An event that has come while an answer was waited for.
    pub fn take_waiting_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Whether there is such an event.
    #[must_use]
    pub fn has_waiting_event(&self) -> bool {
        !self.events.is_empty()
    }

    /// What can be waited for; events that have come already are not seen there.
    #[must_use]
    pub fn file(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// A node's value.
    ///
    /// # Errors
    ///
    /// Why there is no answer.
    pub fn read(&mut self, transaction: u32, path: &str) -> Result<Vec<u8>, Failure> {
        self.ask_texts(MessageType::Read, transaction, &[path])
    }

    /// Sets a node's value.
    ///
    /// # Errors
    ///
    /// Why it is not set.
    pub fn write(&mut self, transaction: u32, path: &str, value: &[u8]) -> Result<(), Failure> {
        let mut payload = path.as_bytes().to_vec();
        payload.push(0);
        payload.extend_from_slice(value);
        self.ask(MessageType::Write, transaction, &payload)?;
        Ok(())
    }

    /// The names of a node's children, however many.
    ///
    /// # Errors
    ///
    /// Why there is no answer.
    pub fn children(&mut self, transaction: u32, path: &str) -> Result<Vec<String>, Failure> {
        let names = match self.ask_texts(MessageType::Directory, transaction, &[path]) {
            Err(failure) if failure.is("E2BIG") => self.children_in_parts(transaction, path)?,
            other => other?,
        };
        let names = names.split(|&byte| byte == 0);
        Ok(names
            .filter(|name| !name.is_empty())
            .map(|name| String::from_utf8_lossy(name).into_owned())
            .collect())
    }

    fn children_in_parts(&mut self, transaction: u32, path: &str) -> Result<Vec<u8>, Failure> {
        let mut generation = Vec::new();
        let mut names = Vec::new();
        loop {
            let offset = names.len().to_string();
            let texts = [path, &*offset];
            let part = self.ask_texts(MessageType::DirectoryPart, transaction, &texts)?;
            let end = part.iter().position(|&byte| byte == 0);
            let (this_generation, rest) = part.split_at(end.ok_or(Failure::Protocol)? + 1);
            if generation != this_generation {
                // The first part, or children have come or gone since: from the beginning.
                generation = this_generation.to_vec();
                if !names.is_empty() {
                    names.clear();
                    continue;
                }
            }
            if rest.is_empty() {
                return Err(Failure::Protocol);
            }
            names.extend_from_slice(rest);
            if names.ends_with(b"\0\0") || names == [0] {
                return Ok(names);
            }
        }
    }

    /// A node's permissions, such as `n0`.
    ///
    /// # Errors
    ///
    /// Why there is no answer.
    pub fn perms(&mut self, transaction: u32, path: &str) -> Result<Vec<String>, Failure> {
        let perms = self.ask_texts(MessageType::GetPerms, transaction, &[path])?;
        let perms = perms.split(|&byte| byte == 0);
        Ok(perms
            .filter(|text| !text.is_empty())
            .map(|text| String::from_utf8_lossy(text).into_owned())
            .collect())
    }

    /// Does something in a transaction, again and again until it meets no conflict.
    ///
    /// # Errors
    ///
    /// What `action` fails with, or why there is no transaction.
    pub fn in_transaction<T, E: From<Failure>>(
        &mut self,
        mut action: impl FnMut(&mut Self, u32) -> Result<T, E>,
    ) -> Result<T, E> {
        loop {
            let number = self.ask_texts(MessageType::TransactionStart, 0, &[""])?;
            let number = number.strip_suffix(&[0]).unwrap_or(&number);
            let number = str::from_utf8(number)
                .ok()
                .and_then(|text| text.parse().ok());
            let number = number.ok_or(Failure::Protocol)?;
            let done = action(self, number);
            let end = if done.is_ok() { "T" } else { "F" };
            match self.ask_texts(MessageType::TransactionEnd, number, &[end]) {
                Err(failure) if failure.is("EAGAIN") => {}
                Err(failure) if done.is_ok() => return Err(failure.into()),
                _ => return done,
            }
        }
    }

    /// Waits until something has come. The rest of a message does not keep anybody waiting who has seen its beginning.
    fn wait(&self, until: Option<Instant>) -> Result<(), Failure> {
        let Some(until) = until else { return Ok(()) };
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            let mut waited = [PollFd::new(self.stream.as_fd(), PollFlags::POLLIN)];
            match poll(&mut waited, timeout) {
                Ok(0) => return Err(Failure::Io(io::ErrorKind::TimedOut.into())),
                Err(nix::errno::Errno::EINTR) => {}
                Ok(_) => return Ok(()),
                Err(error) => return Err(Failure::Io(error.into())),
            }
        }
    }

    fn receive(&mut self, until: Option<Instant>) -> Result<(MessageHeader, Vec<u8>), Failure> {
        let mut assembler = Assembler::default();
        loop {
            let missing = assembler.missing().map_err(|_| Failure::Protocol)?;
            let mut bytes = vec![0; missing];
            self.wait(until)?;
            self.stream.read_exact(&mut bytes)?;
            assembler.add(&bytes);
            if let Some(message) = assembler.take() {
                return Ok(message);
            }
        }
    }
}

fn event(payload: &[u8]) -> Result<Event, Failure> {
    let mut texts = payload.split(|&byte| byte == 0);
    match (texts.next(), texts.next()) {
        (Some(path), Some(token)) => Ok(Event {
            path: path.into(),
            token: token.into(),
        }),
        _ => Err(Failure::Protocol),
    }
}
