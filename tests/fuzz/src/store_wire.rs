//! Two guests and the first domain's kernel send the store whatever they like: every message gets one
//! answer, what is counted is what is there, and quotas hold.
//!
//! An input is a sequence of steps: client, kind, transaction, length, and so many bytes. Kinds from 0xf0 on
//! put the bytes into the ring as they are; others make a message of that type of them.

use dom0_tools::daemon::carrier::{Carrier, Platform, PlatformEvent};
use dom0_tools::daemon::ring::in_memory::SharedFrame;
use dom0_tools::daemon::ring::{Ring, RingMemory};
use dom0_tools::daemon::transport::Transport;
use dom0_tools::store::ClientId;
use dom0_tools::store::domains::Status;
use dom0_tools::store::quota::{Quota, Quotas};
use dom0_tools::store::wire::Assembler;
use guest_abi::errno::Errno;
use guest_abi::ids::{DomId, Port};
use guest_abi::store_ring::StoreRing;
use guest_abi::store_wire::{MessageHeader, MessageType};
use std::io;
use std::mem::offset_of;
use zerocopy::IntoBytes;

const CLIENTS: u16 = 3;

struct Machine([SharedFrame; CLIENTS as usize]);

impl Machine {
    fn ring(&self, domain: DomId) -> Option<Box<dyn Transport>> {
        let frame = self.0.get(usize::from(domain.0))?;
        Some(Box::new(Ring::new(frame.clone(), frame.clone())))
    }
}

impl Platform for Machine {
    fn connect(&mut self, domain: DomId, _: u64, _: Port) -> Result<Box<dyn Transport>, Errno> {
        self.ring(domain).ok_or(Errno::ESRCH)
    }

    fn connect_own_kernel(&mut self) -> io::Result<Option<Box<dyn Transport>>> {
        Ok(self.ring(DomId::DOM0))
    }

    fn status(&mut self, domain: DomId) -> Status {
        if domain.0 < CLIENTS {
            Status::Alive
        } else {
            Status::Gone
        }
    }
}

/// A client's end: what it has asked, and what has come back.
#[derive(Default)]
struct Client {
    asked: u64,
    answered: u64,
    assembler: Assembler,
    /// It has put bytes into its ring that are no messages, or has been introduced anew.
    is_wild: bool,
}

impl Client {
    fn receive(&mut self, frame: &SharedFrame) {
        loop {
            let missing = match self.assembler.missing() {
                Ok(missing) => missing,
                Err(_) if self.is_wild => return,
                Err(_) => panic!("the store sends a message that is too long"),
            };
            let bytes = frame.guest_receive(missing);
            self.assembler.add(&bytes);
            match self.assembler.take() {
                Some((header, _)) if header.message_type == MessageType::WatchEvent as u32 => {}
                Some(_) => self.answered += 1,
                None if bytes.is_empty() => return,
                None => {}
            }
        }
    }
}

fn message(kind: u8, transaction: u8, number: u64, payload: &[u8]) -> Vec<u8> {
    let header = MessageHeader {
        message_type: kind.into(),
        req_id: number as u32,
        tx_id: transaction.into(),
        len: payload.len() as u32,
    };
    [header.as_bytes(), payload].concat()
}

/// Everybody takes what has come, until no more does.
fn settle(carrier: &mut Carrier<Machine>, clients: &mut [Client], frames: &[SharedFrame]) {
    for _ in 0..8 {
        for domain in 0..CLIENTS {
            carrier.happened(PlatformEvent::Ring(DomId(domain)));
        }
        carrier.run(64);
        for (client, frame) in clients.iter_mut().zip(frames) {
            client.receive(frame);
        }
    }
}

pub fn run(input: &[u8]) {
    let frames: [SharedFrame; CLIENTS as usize] = Default::default();
    let mut carrier = Carrier::new(Machine(frames.clone()));
    carrier.connect_own_kernel();
    let mut clients: [Client; CLIENTS as usize] = Default::default();
    let introduce = MessageType::Introduce as u8;
    for payload in [&b"1\x001\x001\0"[..], b"2\x001\x001\0"] {
        frames[0].guest_send(&message(introduce, 0, 0, payload));
        clients[0].asked += 1;
    }
    settle(&mut carrier, &mut clients, &frames);
    let mut rest = input;
    while let [client, kind, transaction, length, following @ ..] = rest {
        let (bytes, following) = following.split_at(following.len().min((*length).into()));
        rest = following;
        let index = usize::from(*client) % clients.len();
        let client = &mut clients[index];
        if *kind >= 0xf0 {
            client.is_wild = true;
            if *kind >= 0xf8
                && let [offset, value, ..] = bytes
            {
                // The guest scribbles on an index, or asks for a new connection.
                let indices = offset_of!(StoreRing, req_cons);
                frames[index].store(
                    indices + usize::from(*offset) % 7 * 4,
                    u32::from(*value) << 3,
                );
            } else {
                frames[index].guest_send(bytes);
            }
        } else {
            let sent = message(*kind, *transaction, client.asked, bytes);
            let count = frames[index].guest_send(&sent);
            // Half a message would make all that follows wild; the ring is emptied below.
            client.is_wild |= count != sent.len();
            client.asked += 1;
        }
        if index == 0 && matches!(u32::from(*kind), 8 | 9) {
            clients[1].is_wild = true;
            clients[2].is_wild = true;
        }
        settle(&mut carrier, &mut clients, &frames);
    }
    for client in clients.iter().filter(|client| !client.is_wild) {
        assert_eq!(client.asked, client.answered);
    }
    assert_eq!(carrier.store().find_damage(), None);
    let quotas = Quotas::default();
    for domain in 1..CLIENTS {
        let store = carrier.store();
        let Some(client) = store.client(ClientId::Domain(DomId(domain))) else {
            continue;
        };
        assert!(client.nr_watches() as u64 <= quotas.get(Quota::Watches));
        assert!(client.nr_transactions() as u64 <= quotas.get(Quota::Transactions));
    }
}
