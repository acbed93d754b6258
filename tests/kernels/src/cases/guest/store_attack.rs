//! Does to the store whatever a guest can: malformed and endless messages, transactions that stay open, watches and
//! nodes beyond every quota, indices that move while they are read, answers that are never taken.
//!
//! `seed=` picks the order.

use super::super::prelude::*;
use crate::clock::{MS, now_ns};
use crate::command_line;
use crate::shared_ring::{Answer, Store, print_on_console, rest};
use core::mem::offset_of;
use core::sync::atomic::Ordering;
use guest_abi::store_ring::{ConnectionState, StoreRing};
use guest_abi::store_wire::{MAX_PAYLOAD, MessageHeader, MessageType, NR_MESSAGE_TYPES};
use zerocopy::IntoBytes;

/// How long a new connection is waited for.
const RECONNECT_LIMIT: u64 = 10_000 * MS;
/// More than a domain may have of anything that is tried.
const BEYOND_QUOTAS: u32 = 1100;

/// Xorshift.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

pub(crate) fn run() {
    print_on_console("the guest runs");
    let mut random = Random(command_line::number("seed").unwrap_or(1).max(1));
    let mut store = Store::connect();
    let mut answer = Answer {
        header: FromZeros::new_zeroed(),
        payload: [0; MAX_PAYLOAD as usize],
    };
    // In an orderly way at first, so that each quota is met for certain.
    use_up(&mut store, &mut answer);
    print_on_console("quotas are used up");
    for round in 0u32.. {
        match random.below(6) {
            0 => garbage(&mut store, &mut random),
            1 => too_long(&mut store, &mut random),
            2 => move_indices(&store, &mut random),
            3 => never_read(&mut store),
            4 => storm_of_bells(&store),
            _ => use_up(&mut store, &mut answer),
        }
        reconnect(&store);
        if round == 20 {
            print_on_console("all has been tried");
        }
    }
}

/// Asks for a new connection, which empties the ring.
fn reconnect(store: &Store) {
    let frame = store.frame;
    let state = frame.word(offset_of!(StoreRing, connection));
    state.store(ConnectionState::Reconnect as u32, Ordering::SeqCst);
    frame.notify();
    let began = now_ns();
    while state.load(Ordering::SeqCst) != ConnectionState::Connected as u32 {
        assert!(
            now_ns() - began < RECONNECT_LIMIT,
            "the store does not connect again"
        );
        rest();
    }
}

/// Nodes, watches and transactions, more than there may be of each; transactions stay open.
fn use_up(store: &mut Store, answer: &mut Answer) {
    let mut refused = [false; 3];
    for number in 0..BEYOND_QUOTAS {
        let name = number.to_be_bytes().map(|byte| b'a' + byte % 26);
        let extra = [b'a' + (number / 26 % 26) as u8, b'a' + (number / 676) as u8];
        let requests: [(MessageType, &[&[u8]]); 3] = [
            (
                MessageType::Write,
                &[b"data/", &name, &extra, b"\0", &[b'x'; 512]],
            ),
            (
                MessageType::Watch,
                &[b"data/", &name, &extra, b"\0", &extra, b"\0"],
            ),
            (MessageType::TransactionStart, &[b"\0"]),
        ];
        for (&(kind, payload), refused) in requests.iter().zip(&mut refused) {
            if !*refused {
                store.ask(kind, 0, payload, answer);
                *refused = answer.is_error();
            }
        }
    }
    assert_eq!(refused, [true; 3], "the store has no quotas");
}

/// Messages whose types, numbers and contents are anything.
fn garbage(store: &mut Store, random: &mut Random) {
    for _ in 0..200 {
        let header = MessageHeader {
            message_type: random.below(u64::from(NR_MESSAGE_TYPES) + 2) as u32,
            req_id: random.next() as u32,
            tx_id: random.below(12) as u32,
            len: random.below(128) as u32,
        };
        store.put(header.as_bytes());
        for _ in 0..header.len.div_ceil(8) {
            store.put(random.next().as_bytes());
        }
        store.frame.notify();
    }
}

/// Lengths that no message may have.
fn too_long(store: &mut Store, random: &mut Random) {
    let lengths = [MAX_PAYLOAD + 1, u32::MAX, 0x8000_0000, 1 << 20];
    let mut header = store.header(MessageType::Write, 0, 0);
    header.len = lengths[random.below(4) as usize];
    for _ in 0..100 {
        store.put(header.as_bytes());
        store.frame.notify();
    }
}

/// Indices jump while the store reads.
fn move_indices(store: &Store, random: &mut Random) {
    let indices = [
        offset_of!(StoreRing, req_cons),
        offset_of!(StoreRing, req_prod),
        offset_of!(StoreRing, rsp_cons),
        offset_of!(StoreRing, rsp_prod),
    ];
    for _ in 0..2000 {
        let index = store.frame.word(indices[random.below(4) as usize]);
        let value = match random.below(3) {
            0 => random.next() as u32,
            1 => index.load(Ordering::Relaxed).wrapping_add(1024),
            _ => index
                .load(Ordering::Relaxed)
                .wrapping_add(random.below(64) as u32),
        };
        index.store(value, Ordering::SeqCst);
        if random.below(8) == 0 {
            store.frame.notify();
        }
    }
}

/// Requests whose answers nobody takes.
fn never_read(store: &mut Store) {
    for _ in 0..2000 {
        let header = store.header(MessageType::Directory, 0, 5);
        if store.put(header.as_bytes()) == size_of::<MessageHeader>() {
            store.put(b"data\0");
        }
        store.frame.notify();
    }
}

/// Says that there is something where there is nothing.
fn storm_of_bells(store: &Store) {
    for _ in 0..20_000 {
        store.frame.notify();
    }
}
