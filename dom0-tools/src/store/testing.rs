//! Clients of a store without anything in between.

use super::client::Mode;
use super::domains::{Host, Status};
use super::wire::{HEADER_BYTES, encode};
use super::{ClientId, Store};
use guest_abi::errno::Errno;
use guest_abi::ids::{DomId, Port};
use guest_abi::store_wire::{MessageHeader, MessageType};
use std::collections::BTreeMap;
use zerocopy::FromBytes;

/// Domains that are as the test says.
#[derive(Default)]
pub(crate) struct TestHost {
    pub(crate) connected: BTreeMap<DomId, (u64, Port)>,
    pub(crate) statuses: BTreeMap<DomId, Status>,
}

impl Host for TestHost {
    fn connect(&mut self, domain: DomId, gfn: u64, port: Port) -> Result<(), Errno> {
        if gfn == 0xbad {
            return Err(Errno::EINVAL);
        }
        self.connected.insert(domain, (gfn, port));
        Ok(())
    }

    fn disconnect(&mut self, domain: DomId) {
        self.connected.remove(&domain);
    }

    fn status(&mut self, domain: DomId) -> Status {
        *self.statuses.get(&domain).unwrap_or(&Status::Alive)
    }
}

/// A store with clients.
pub(crate) struct Fixture {
    pub(crate) store: Store,
    pub(crate) host: TestHost,
    pub(crate) dom0: ClientId,
    /// Events that were found before answers.
    events: BTreeMap<ClientId, Vec<String>>,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let mut store = Store::new();
        store.keep_records();
        let dom0 = store.connect_socket(1, Mode::ReadWrite);
        Self {
            store,
            host: TestHost::default(),
            dom0,
            events: BTreeMap::new(),
        }
    }

    /// A domain with a home of its own.
    pub(crate) fn add_guest(&mut self, domain: u16) -> ClientId {
        let dom0 = self.dom0;
        let home = format!("/local/domain/{domain}\0");
        self.ask(dom0, MessageType::Write, 0, &home).unwrap();
        let perms = format!("{home}n{domain}\0");
        self.ask(dom0, MessageType::SetPerms, 0, &perms).unwrap();
        let introduce = format!("{domain}\0{}\0{}\0", 100 + domain, 1);
        self.ask(dom0, MessageType::Introduce, 0, &introduce)
            .unwrap();
        ClientId::Domain(DomId(domain))
    }

    /// Sends a request: the answer, or the error's name. Terminators are written and shown as `|`.
    pub(crate) fn ask(
        &mut self,
        client: ClientId,
        message_type: MessageType,
        transaction: u32,
        payload: &str,
    ) -> Result<String, String> {
        let payload = payload.replace('|', "\0");
        let request = encode(message_type, 77, transaction, payload.as_bytes());
        let (header, payload) = MessageHeader::read_from_prefix(&request).unwrap();
        self.store.handle(&mut self.host, client, &header, payload);
        loop {
            let message = self.store.pop_message(client).expect("an answer");
            let (header, text) = parts(&message);
            if header.message_type == MessageType::WatchEvent as u32 {
                self.events.entry(client).or_default().push(text);
                continue;
            }
            assert_eq!((header.req_id, header.tx_id), (77, transaction));
            return if header.message_type == MessageType::Error as u32 {
                Err(text.trim_end_matches('|').into())
            } else {
                assert_eq!(header.message_type, message_type as u32);
                Ok(text)
            };
        }
    }

    /// Watch events that have been sent to the client.
    pub(crate) fn events(&mut self, client: ClientId) -> Vec<String> {
        while let Some(message) = self.store.pop_message(client) {
            let (header, text) = parts(&message);
            assert_eq!(header.message_type, MessageType::WatchEvent as u32);
            assert_eq!((header.req_id, header.tx_id), (0, 0));
            self.events.entry(client).or_default().push(text);
        }
        self.events.remove(&client).unwrap_or_default()
    }

    pub(crate) fn begin(&mut self, client: ClientId) -> u32 {
        let number = self
            .ask(client, MessageType::TransactionStart, 0, "\0")
            .unwrap();
        number.trim_end_matches('|').parse().unwrap()
    }
}

fn parts(message: &[u8]) -> (MessageHeader, String) {
    let (header, payload) = MessageHeader::read_from_prefix(message).unwrap();
    assert_eq!(payload.len(), header.len as usize);
    assert_eq!(message.len(), HEADER_BYTES + payload.len());
    let text = String::from_utf8_lossy(payload).replace('\0', "|");
    (header, text)
}
