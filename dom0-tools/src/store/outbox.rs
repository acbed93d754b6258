//! What waits to be sent to one client: answers and watch events, in order.
//!
//! Answers are bounded because no request is taken from a client that does not take its answers. Watch
//! events are caused by others, so they are bounded here: an event that waits already is not queued
//! again, since the client has not looked yet; and above a limit all events of a watch are
//! replaced by a single one that names what is watched.

use super::path::Named;
use super::wire;
use guest_abi::store_wire::MessageType;
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

/// Bytes that an event costs besides its texts.
const EVENT_BYTES: u64 = 128;

/// What a client watches, and by which token. One client has each at most once.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct WatchName {
    /// What is watched.
    pub named: Named,
    /// What the client wants to be reminded of.
    pub token: Arc<[u8]>,
}

/// One event for one watch.
#[derive(PartialEq, Eq, Hash, Debug)]
struct Event {
    watch: Arc<WatchName>,
    path: Box<[u8]>,
}

impl Event {
    fn bytes(&self) -> u64 {
        EVENT_BYTES + (self.path.len() + self.watch.token.len()) as u64
    }
}

enum Item {
    Answer(Vec<u8>),
    Event(Arc<Event>),
}

/// See the module.
#[derive(Default)]
pub struct Outbox {
    queue: VecDeque<Item>,
    waiting: HashSet<Arc<Event>>,
    event_bytes: u64,
    answer_bytes: usize,
    answers: usize,
}

impl Outbox {
    /// Queues an answer.
    pub fn push_answer(&mut self, message: Vec<u8>) {
        self.answers += 1;
        self.answer_bytes += message.len();
        self.queue.push_back(Item::Answer(message));
    }

    /// Queues an event unless it waits already.
    pub fn push_event(&mut self, watch: &Arc<WatchName>, path: &[u8]) {
        let event = Arc::new(Event {
            watch: watch.clone(),
            path: path.into(),
        });
        if self.waiting.insert(event.clone()) {
            self.event_bytes += event.bytes();
            self.queue.push_back(Item::Event(event));
        }
    }

    /// The next message's bytes.
    pub fn pop(&mut self) -> Option<Vec<u8>> {
        match self.queue.pop_front()? {
            Item::Answer(message) => {
                self.answers -= 1;
                self.answer_bytes -= message.len();
                Some(message)
            }
            Item::Event(event) => {
                self.waiting.remove(&event);
                self.event_bytes -= event.bytes();
                let mut payload = event.path.to_vec();
                payload.push(0);
                payload.extend_from_slice(&event.watch.token);
                payload.push(0);
                Some(wire::encode(MessageType::WatchEvent, 0, 0, &payload))
            }
        }
    }

    /// Forgets the events of a watch.
    pub fn forget(&mut self, watch: &WatchName) {
        self.retain_events(|event| *event.watch != *watch);
    }

    /// Forgets all events.
    pub fn forget_events(&mut self) {
        self.retain_events(|_| false);
    }

    /// Replaces all events by one of each watch, at the place of its first one. `shown` says what that
    /// event names.
    pub fn coalesce(&mut self, shown: impl Fn(&WatchName) -> Vec<u8>) {
        let mut told = HashSet::new();
        let queue = std::mem::take(&mut self.queue);
        self.forget_events();
        self.waiting.clear();
        self.event_bytes = 0;
        for item in queue {
            match item {
                Item::Event(event) => {
                    if told.insert(event.watch.clone()) {
                        self.push_event(&event.watch, &shown(&event.watch));
                    }
                }
                answer @ Item::Answer(_) => self.queue.push_back(answer),
            }
        }
    }

    /// Answers that wait.
    #[must_use]
    pub fn answers(&self) -> usize {
        self.answers
    }

    /// Bytes of them.
    #[must_use]
    pub fn answer_bytes(&self) -> usize {
        self.answer_bytes
    }

    /// Bytes of events that wait.
    #[must_use]
    pub fn event_bytes(&self) -> u64 {
        self.event_bytes
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    fn retain_events(&mut self, keep: impl Fn(&Event) -> bool) {
        let (waiting, event_bytes) = (&mut self.waiting, &mut self.event_bytes);
        self.queue.retain(|item| match item {
            Item::Event(event) if !keep(event) => {
                waiting.remove(event);
                *event_bytes -= event.bytes();
                false
            }
            _ => true,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::path::Path;
    use crate::store::wire::HEADER_BYTES;

    fn watch(path: &str, token: &str) -> Arc<WatchName> {
        Arc::new(WatchName {
            named: Named::Node(Path::parse(path.as_bytes()).unwrap()),
            token: token.as_bytes().into(),
        })
    }

    fn drain(outbox: &mut Outbox) -> Vec<String> {
        std::iter::from_fn(|| outbox.pop())
            .map(|message| {
                String::from_utf8_lossy(message.get(HEADER_BYTES..).unwrap_or(&message))
                    .trim_end_matches('\0')
                    .replace('\0', " ")
            })
            .collect()
    }

    fn answer(text: &str) -> Vec<u8> {
        wire::encode(MessageType::Read, 0, 0, text.as_bytes())
    }

    #[test]
    fn an_event_that_waits_is_not_queued_again() {
        let mut outbox = Outbox::default();
        let (one, other) = (watch("/a", "1"), watch("/a", "2"));
        for _ in 0..1000 {
            outbox.push_event(&one, b"/a/x");
            outbox.push_event(&other, b"/a/x");
        }
        assert_eq!(drain(&mut outbox), ["/a/x 1", "/a/x 2"]);
        assert_eq!(outbox.event_bytes(), 0);
        outbox.push_event(&one, b"/a/x");
        assert_eq!(drain(&mut outbox), ["/a/x 1"]);
    }

    #[test]
    fn order_is_kept() {
        let mut outbox = Outbox::default();
        let one = watch("/a", "1");
        outbox.push_event(&one, b"/a/x");
        outbox.push_answer(answer("first"));
        outbox.push_event(&one, b"/a/y");
        outbox.push_answer(answer("second"));
        assert_eq!(outbox.answers(), 2);
        assert_eq!(drain(&mut outbox), ["/a/x 1", "first", "/a/y 1", "second"]);
        assert_eq!((outbox.answers(), outbox.answer_bytes()), (0, 0));
    }

    #[test]
    fn too_many_events_become_one_of_each_watch() {
        let mut outbox = Outbox::default();
        let (one, other) = (watch("/a", "1"), watch("/b", "2"));
        for number in 0..100 {
            outbox.push_event(&one, format!("/a/{number}").as_bytes());
            outbox.push_event(&other, format!("/b/{number}").as_bytes());
        }
        outbox.push_answer(answer("x"));
        outbox.coalesce(|watch| match &watch.named {
            Named::Node(path) => path.as_str().into(),
            Named::Special(special) => special.name().into(),
        });
        assert_eq!(drain(&mut outbox), ["/a 1", "/b 2", "x"]);
        assert_eq!(outbox.event_bytes(), 0);
    }

    #[test]
    fn events_of_a_watch_that_is_undone_are_forgotten() {
        let mut outbox = Outbox::default();
        let (one, other) = (watch("/a", "1"), watch("/b", "2"));
        outbox.push_event(&one, b"/a");
        outbox.push_event(&other, b"/b");
        outbox.forget(&one);
        outbox.push_event(&one, b"/a");
        outbox.forget_events();
        outbox.push_event(&other, b"/b");
        assert_eq!(drain(&mut outbox), ["/b 2"]);
    }
}
