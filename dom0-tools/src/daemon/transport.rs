//! How bytes come from a client and go to it. Nothing here ever waits.

use guest_abi::store_ring::ConnectionError;

/// The connection is of no more use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Broken {
    /// The other end is closed.
    Closed,
    /// An index of a ring is one that it can't have.
    RingIndex,
    /// The client does not keep to the protocol.
    Protocol,
}

impl Broken {
    /// How a guest reads it in its ring.
    #[must_use]
    pub const fn ring_error(self) -> ConnectionError {
        match self {
            Self::Closed => ConnectionError::Communication,
            Self::RingIndex => ConnectionError::RingIndex,
            Self::Protocol => ConnectionError::Protocol,
        }
    }
}

/// How far the two streams of a ring are, by its free-running indices.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Positions {
    /// Up to where requests have been taken.
    pub taken: u32,
    /// Up to where answers have been put.
    pub sent: u32,
}

/// One client's connection.
///
/// What is received is taken from the client for good only by [`finish_turn`](Self::finish_turn): between
/// the two, what the requests did is written down, so that a request is neither lost nor done twice when
/// the daemon dies.
pub trait Transport {
    /// Takes up to so many bytes; 0 if none have arrived.
    ///
    /// # Errors
    ///
    /// Why nothing will arrive any more.
    fn receive(&mut self, into: &mut [u8]) -> Result<usize, Broken>;

    /// Sends as many of the bytes as there is room for.
    ///
    /// # Errors
    ///
    /// Why nothing can be sent any more.
    fn send(&mut self, bytes: &[u8]) -> Result<usize, Broken>;

    /// Lets go of what was received.
    fn release_taken(&mut self) {}

    /// Wakes the other end, if anything was received or sent.
    fn finish_turn(&mut self) {}

    /// How far the streams are; `None` if the connection ends with the daemon.
    fn positions(&self) -> Option<Positions> {
        None
    }

    /// Goes on where another connection to the same ring was. `unsent` is the number of bytes that it
    /// wanted to send from [`Positions::sent`] on; returns how many of them it has sent.
    fn resume(&mut self, _positions: Positions, _unsent: usize) -> usize {
        0
    }

    /// Whether the client asks for a new connection; if so, it is empty from now on.
    fn take_reconnect(&mut self) -> bool {
        false
    }

    /// Tells the other end that the connection is of no more use.
    fn fail(&mut self, _why: Broken) {}
}
