//! One client's connection, a turn at a time.
//!
//! In a turn a bounded number of requests is taken and done, then what that changed is written down
//! (by the caller), then answers and events are sent. A client that does not take its answers is not asked
//! for more requests, so what is kept for it is bounded: one message that has not arrived, answers
//! of a kilobyte and one message, and its [`Outbox`](crate::store::outbox::Outbox).

use super::transport::{Broken, Positions, Transport};
use crate::store::domains::Host;
use crate::store::record::StreamRecord;
use crate::store::wire::{Assembler, HEADER_BYTES, PAYLOAD_BYTES};
use crate::store::{ClientId, Store};
use guest_abi::store_wire::MessageType;
use std::collections::VecDeque;

/// Requests in one turn.
const REQUESTS_A_TURN: u32 = 16;
/// Bytes that wait to be sent, above which no more requests are taken.
const ENOUGH_UNSENT: usize = 1024;

/// What is to be sent, and where its messages end.
#[derive(Default)]
struct Unsent {
    bytes: VecDeque<u8>,
    /// Bytes that are left of each answer; events are parts of the answer after them.
    answers: VecDeque<usize>,
    behind_last_answer: usize,
}

impl Unsent {
    fn push(&mut self, message: &[u8]) {
        self.bytes.extend(message);
        self.behind_last_answer += message.len();
        let message_type = message
            .first_chunk()
            .map(|bytes| u32::from_le_bytes(*bytes));
        if message_type != Some(MessageType::WatchEvent as u32) {
            self.answers.push_back(self.behind_last_answer);
            self.behind_last_answer = 0;
        }
    }

    fn sent(&mut self, count: usize) {
        self.bytes.drain(..count.min(self.bytes.len()));
        let mut left = count;
        while left > 0 {
            match self.answers.front_mut() {
                Some(answer) if *answer > left => {
                    *answer -= left;
                    break;
                }
                Some(answer) => {
                    left -= *answer;
                    self.answers.pop_front();
                }
                None => {
                    self.behind_last_answer = self.behind_last_answer.saturating_sub(left);
                    break;
                }
            }
        }
    }
}

/// See the module.
pub struct Connection {
    id: ClientId,
    transport: Box<dyn Transport>,
    assembler: Assembler,
    unsent: Unsent,
    /// Work of former turns beyond what a turn may do; later turns are shorter for it.
    debt: u32,
    /// Whether what [`stream_record`](Self::stream_record) says has changed since it was asked.
    is_unrecorded: bool,
    has_failed: bool,
    has_failed_before: bool,
}

/// Whether a turn has done anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// It has; there may be more to do.
    Some,
    /// There is nothing to do until something happens.
    None,
}

impl Connection {
    /// A connection on which nothing has been said.
    #[must_use]
    pub fn new(id: ClientId, transport: Box<dyn Transport>) -> Self {
        Self {
            id,
            transport,
            assembler: Assembler::default(),
            unsent: Unsent::default(),
            debt: 0,
            is_unrecorded: true,
            has_failed: false,
            has_failed_before: false,
        }
    }

    /// Goes on where a former daemon was.
    pub fn resume(&mut self, record: StreamRecord) {
        let positions = Positions {
            taken: record.taken,
            sent: record.unsent_at,
        };
        let sent = self.transport.resume(positions, record.unsent.len());
        self.assembler = Assembler::with(record.partial);
        self.unsent = Unsent::default();
        self.unsent
            .push(record.unsent.get(sent..).unwrap_or_default());
        self.is_unrecorded = true;
    }

    /// Takes requests and does them.
    ///
    /// # Errors
    ///
    /// Why the connection is of no more use.
    pub fn take_requests(
        &mut self,
        store: &mut Store,
        host: &mut dyn Host,
    ) -> Result<Progress, Broken> {
        if let ClientId::Domain(domain) = self.id
            && self.transport.take_reconnect()
        {
            store.reconnect(domain);
            self.assembler = Assembler::default();
            self.unsent = Unsent::default();
            self.has_failed = false;
            self.is_unrecorded = true;
        }
        if self.has_failed {
            return Ok(Progress::None);
        }
        let mut progress = self.fill(store);
        if self.debt >= REQUESTS_A_TURN {
            self.debt -= REQUESTS_A_TURN;
            return Ok(Progress::Some);
        }
        let mut work = std::mem::take(&mut self.debt);
        let mut buffer = [0; HEADER_BYTES + PAYLOAD_BYTES];
        while work < REQUESTS_A_TURN && self.may_take(store) {
            let missing = self.assembler.missing().map_err(|_| Broken::Protocol)?;
            let Some(into) = buffer.get_mut(..missing) else {
                return Err(Broken::Protocol);
            };
            let received = self.transport.receive(into)?;
            if received == 0 && missing > 0 {
                break;
            }
            self.assembler.add(into.get(..received).unwrap_or_default());
            if let Some((header, payload)) = self.assembler.take() {
                work = work.saturating_add(store.handle(host, self.id, &header, &payload));
                self.fill(store);
            }
            progress = Progress::Some;
            self.is_unrecorded = true;
        }
        self.debt = work.saturating_sub(REQUESTS_A_TURN);
        Ok(progress)
    }

    /// Sends what there is room for.
    ///
    /// # Errors
    ///
    /// Why the connection is of no more use.
    pub fn send_answers(&mut self) -> Result<Progress, Broken> {
        if self.has_failed {
            return Ok(Progress::None);
        }
        self.transport.release_taken();
        let mut progress = Progress::None;
        while !self.unsent.bytes.is_empty() {
            let (first, _) = self.unsent.bytes.as_slices();
            let sent = self.transport.send(first)?;
            if sent == 0 {
                break;
            }
            self.unsent.sent(sent);
            progress = Progress::Some;
        }
        self.transport.finish_turn();
        Ok(progress)
    }

    /// The connection is of no more use; a guest is told, and may ask for a new one. Returns whether this is
    /// the first time: a guest that goes on like that does not fill the log.
    pub fn fail(&mut self, why: Broken) -> bool {
        self.has_failed = true;
        self.transport.fail(why);
        !std::mem::replace(&mut self.has_failed_before, true)
    }

    /// How far the streams are, if that must be written down and has changed since it was.
    pub fn stream_record(&mut self) -> Option<StreamRecord> {
        if !std::mem::take(&mut self.is_unrecorded) {
            return None;
        }
        self.full_stream_record()
    }

    /// How far the streams are, if that must be written down.
    #[must_use]
    pub fn full_stream_record(&self) -> Option<StreamRecord> {
        let positions = self.transport.positions()?;
        let ClientId::Domain(domain) = self.id else {
            return None;
        };
        Some(StreamRecord {
            domain: domain.0,
            taken: positions.taken,
            partial: self.assembler.bytes().to_vec(),
            unsent_at: positions.sent,
            unsent: self.unsent.bytes.iter().copied().collect(),
        })
    }

    fn fill(&mut self, store: &mut Store) -> Progress {
        let mut progress = Progress::None;
        while self.unsent.bytes.len() < ENOUGH_UNSENT {
            let Some(message) = store.pop_message(self.id) else {
                break;
            };
            self.unsent.push(&message);
            self.is_unrecorded = true;
            progress = Progress::Some;
        }
        progress
    }

    /// Answers never wait in the outbox: a request is taken when that is empty, and its answer is the first
    /// thing that comes into it.
    fn may_take(&self, store: &mut Store) -> bool {
        let outbox = store.client(self.id).map(|client| client.outbox());
        self.unsent.bytes.len() < ENOUGH_UNSENT
            && outbox.is_some_and(|outbox| outbox.is_empty())
            && store.may_ask(self.id, self.unsent.answers.len())
    }
}
