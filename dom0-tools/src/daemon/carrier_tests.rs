//! Clients by rings, with a daemon that can die at any moment.

use super::carrier::{Carrier, Platform, PlatformEvent};
use super::ring::in_memory::SharedFrame;
use super::ring::{Ring, RingMemory};
use super::state_file::StateFile;
use super::transport::Transport;
use crate::store::domains::Status;
use crate::store::quota::Quota;
use crate::store::wire::{Assembler, encode};
use guest_abi::errno::Errno;
use guest_abi::ids::{DomId, Port};
use guest_abi::store_ring::StoreRing;
use guest_abi::store_wire::MessageType::{
    self, Error, Introduce, Mkdir, Read, SetPerms, TransactionEnd, TransactionStart, Watch,
    WatchEvent, Write,
};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::mem::offset_of;
use std::path::PathBuf;
use std::rc::Rc;

/// Domains with their rings, which outlive daemons.
#[derive(Default)]
struct Machine {
    frames: BTreeMap<DomId, SharedFrame>,
    statuses: BTreeMap<DomId, Status>,
}

type Shared = Rc<RefCell<Machine>>;

/// A ring's frame as a daemon sees it that dies after so many writes: what it would do after that does
/// not happen.
struct MortalFrame {
    frame: SharedFrame,
    writes_left: Rc<Cell<u32>>,
}

impl MortalFrame {
    fn is_alive(&self) -> bool {
        let left = self.writes_left.get();
        self.writes_left.set(left.saturating_sub(1));
        left > 0
    }
}

impl RingMemory for MortalFrame {
    fn read(&self, offset: usize, into: &mut [u8]) {
        self.frame.read(offset, into);
    }

    fn write(&self, offset: usize, from: &[u8]) {
        if self.is_alive() {
            self.frame.write(offset, from);
        }
    }

    fn load(&self, offset: usize) -> u32 {
        self.frame.load(offset)
    }

    fn store(&self, offset: usize, value: u32) {
        if self.is_alive() {
            self.frame.store(offset, value);
        }
    }
}

struct TestPlatform {
    machine: Shared,
    writes_left: Rc<Cell<u32>>,
}

impl TestPlatform {
    fn ring(&self, domain: DomId) -> Option<Box<dyn Transport>> {
        let machine = self.machine.borrow();
        let frame = machine.frames.get(&domain)?.clone();
        let memory = MortalFrame {
            frame: frame.clone(),
            writes_left: self.writes_left.clone(),
        };
        Some(Box::new(Ring::new(memory, frame)))
    }
}

impl Platform for TestPlatform {
    fn connect(
        &mut self,
        domain: DomId,
        gfn: u64,
        _port: Port,
    ) -> Result<Box<dyn Transport>, Errno> {
        if gfn != 7 {
            return Err(Errno::EINVAL);
        }
        self.ring(domain).ok_or(Errno::ESRCH)
    }

    fn connect_own_kernel(&mut self) -> io::Result<Option<Box<dyn Transport>>> {
        Ok(self.ring(DomId::DOM0))
    }

    fn status(&mut self, domain: DomId) -> Status {
        let machine = self.machine.borrow();
        *machine.statuses.get(&domain).unwrap_or(&Status::Alive)
    }
}

/// The guest's end of a ring: what its kernel has sent and got.
struct Guest {
    domain: DomId,
    frame: SharedFrame,
    to_send: Vec<u8>,
    assembler: Assembler,
    got: Vec<(MessageType, u32, String)>,
    next_number: u32,
}

impl Guest {
    fn send(&mut self, message_type: MessageType, transaction: u32, payload: &str) -> u32 {
        self.next_number += 1;
        let payload = payload.replace('|', "\0");
        let message = encode(
            message_type,
            self.next_number,
            transaction,
            payload.as_bytes(),
        );
        self.to_send.extend(message);
        self.next_number
    }

    /// Moves up to `most` bytes each way.
    fn step(&mut self, most: usize) {
        let count = self.to_send.len().min(most);
        let sent = self.frame.guest_send(&self.to_send[..count]);
        self.to_send.drain(..sent);
        let mut left = most;
        loop {
            let missing = self.assembler.missing().expect("a message").min(left);
            let bytes = self.frame.guest_receive(missing);
            left -= bytes.len();
            self.assembler.add(&bytes);
            match self.assembler.take() {
                Some((header, payload)) => {
                    let message_type = MessageType::try_from(header.message_type).unwrap();
                    let text = String::from_utf8_lossy(&payload).replace('\0', "|");
                    self.got.push((message_type, header.req_id, text));
                }
                None if bytes.is_empty() => return,
                None => {}
            }
        }
    }

    fn answers(&self) -> impl Iterator<Item = &(MessageType, u32, String)> {
        self.got
            .iter()
            .filter(|(message_type, ..)| *message_type != WatchEvent)
    }

    fn answer(&self, number: u32) -> Option<&str> {
        let mut answers = self.answers();
        answers
            .find(|(_, req_id, _)| *req_id == number)
            .map(|(_, _, text)| text.as_str())
    }

    fn events(&self) -> Vec<&str> {
        let events = self.got.iter();
        events
            .filter(|(message_type, ..)| *message_type == WatchEvent)
            .map(|(_, _, text)| text.as_str())
            .collect()
    }
}

struct World {
    machine: Shared,
    writes_left: Rc<Cell<u32>>,
    carrier: Carrier<TestPlatform>,
    state: PathBuf,
    guests: Vec<Guest>,
}

impl World {
    /// The first domain's kernel, and guests 1 to `guests`, all introduced.
    fn new(name: &str, guests: u16) -> Self {
        let state = std::env::temp_dir().join(format!("carrier-{name}-{}", std::process::id()));
        let _ = std::fs::remove_file(&state);
        let machine = Shared::default();
        let writes_left = Rc::new(Cell::new(u32::MAX));
        let mut world = Self {
            carrier: Carrier::new(TestPlatform {
                machine: machine.clone(),
                writes_left: writes_left.clone(),
            }),
            machine,
            writes_left,
            state,
            guests: Vec::new(),
        };
        for domain in 0..=guests {
            let frame = SharedFrame::default();
            world
                .machine
                .borrow_mut()
                .frames
                .insert(DomId(domain), frame.clone());
            world.guests.push(Guest {
                domain: DomId(domain),
                frame,
                to_send: Vec::new(),
                assembler: Assembler::default(),
                got: Vec::new(),
                next_number: 0,
            });
        }
        world.restart();
        for domain in 1..=guests {
            let home = format!("/local/domain/{domain}|");
            world.ask(0, Write, &home);
            world.ask(0, SetPerms, &format!("{home}n{domain}|"));
            assert_eq!(world.ask(0, Introduce, &format!("{domain}|7|1|")), "OK|");
        }
        world
    }

    /// The daemon is killed and started again.
    fn restart(&mut self) {
        self.carrier = Carrier::new(TestPlatform {
            machine: self.machine.clone(),
            writes_left: self.writes_left.clone(),
        });
        let (file, former) = StateFile::open(&self.state, "boot").unwrap();
        self.carrier.keep_state(file, former).unwrap();
        self.carrier.connect_own_kernel();
        self.carrier.look_at_domains();
    }

    /// Everybody moves some bytes, and the daemon gives some turns.
    fn step(&mut self, most: usize, turns: usize) {
        for guest in &mut self.guests {
            guest.step(most);
            self.carrier.happened(PlatformEvent::Ring(guest.domain));
        }
        self.carrier.run(turns);
    }

    fn settle(&mut self) {
        for _ in 0..200 {
            self.step(4096, 100);
        }
    }

    fn ask(&mut self, guest: usize, message_type: MessageType, payload: &str) -> String {
        let number = self.guests[guest].send(message_type, 0, payload);
        for _ in 0..100 {
            self.step(4096, 10);
            if let Some(answer) = self.guests[guest].answer(number) {
                return answer.to_owned();
            }
        }
        panic!("no answer to {payload:?}");
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.state);
    }
}

#[test]
fn a_guest_is_served_by_its_ring() {
    let mut world = World::new("served", 1);
    assert_eq!(world.ask(1, Write, "a|value"), "OK|");
    assert_eq!(world.ask(1, Read, "a|"), "value");
    assert_eq!(world.ask(0, Read, "/local/domain/1/a|"), "value");
    let long = "x".repeat(2000);
    assert_eq!(world.ask(1, Write, &format!("long|{long}")), "OK|");
    assert_eq!(world.ask(1, Read, "long|"), long);
    assert_eq!(world.ask(1, Watch, "a|t|"), "OK|");
    world.settle();
    assert_eq!(world.guests[1].events(), ["a|t|"]);
    assert_eq!(world.ask(0, Write, "/local/domain/1/a|new"), "OK|");
    world.settle();
    assert_eq!(world.guests[1].events(), ["a|t|", "a|t|"]);
}

/// Whatever the daemon was doing when it was killed, each request is done and answered exactly once: it is
/// killed between turns, and in a turn after any of its writes into a ring.
#[test]
fn a_daemon_that_is_killed_at_any_moment_is_not_noticed() {
    let mut deaths = 0;
    for seed in 0..12_u32 {
        let mut world = World::new(&format!("killed-{seed}"), 2);
        let long = "y".repeat(1500);
        for number in 0..20 {
            for guest in 1..=2 {
                world.guests[guest].send(Mkdir, 0, &format!("n{number}|"));
                world.guests[guest].send(Write, 0, &format!("v|{number}{long}"));
                world.guests[guest].send(Read, 0, "v|");
            }
        }
        let mut random = seed;
        let is_done = |world: &World| world.guests[1..].iter().all(|one| one.got.len() >= 60);
        for _ in 0..20_000 {
            // Odd amounts, so that messages are cut anywhere.
            world.step(97 + 31 * seed as usize, 1);
            if is_done(&world) {
                break;
            }
            if world.writes_left.get() == 0 || random % 20 == 0 {
                deaths += 1;
                random = random.wrapping_mul(1_103_515_245).wrapping_add(12345);
                // Connecting to three rings is nine writes.
                world.writes_left.set(9 + random / 7 % 12);
                world.restart();
            }
            random = random.wrapping_add(1);
        }
        world.writes_left.set(u32::MAX);
        world.restart();
        world.settle();
        for guest in 1..=2 {
            let guest = &world.guests[guest];
            let numbers: Vec<_> = guest.answers().map(|(_, number, _)| *number).collect();
            assert_eq!(numbers, (1..=60).collect::<Vec<_>>(), "seed {seed}");
            for (read, number) in (3..=60).step_by(3).zip(0..) {
                assert_eq!(guest.answer(read), Some(&*format!("{number}{long}")));
            }
        }
        assert_eq!(world.carrier.store().find_damage(), None);
    }
    assert!(deaths > 100, "only {deaths}");
}

#[test]
fn watches_outlive_the_daemon_and_are_told_once() {
    let mut world = World::new("watches", 1);
    world.ask(1, Watch, "a|t|");
    world.settle();
    world.restart();
    world.settle();
    assert_eq!(world.guests[1].events(), ["a|t|", "a|t|"]);
    world.ask(0, Write, "/local/domain/1/a/b|x");
    world.settle();
    assert_eq!(world.guests[1].events()[2..], ["a/b|t|"]);
}

#[test]
fn a_transaction_over_a_restart_ends_in_a_conflict() {
    let mut world = World::new("transaction", 1);
    let number: u32 = world
        .ask(1, TransactionStart, "|")
        .trim_end_matches('|')
        .parse()
        .unwrap();
    world.guests[1].send(Write, number, "a|1");
    world.settle();
    world.restart();
    world.guests[1].send(Write, number, "b|1");
    let end = world.guests[1].send(TransactionEnd, number, "T|");
    world.settle();
    assert_eq!(world.guests[1].answer(end), Some("EAGAIN|"));
    assert_eq!(world.ask(1, Read, "a|"), "ENOENT|");
}

#[test]
fn a_domain_that_is_destroyed_while_there_is_no_daemon_is_missed() {
    let mut world = World::new("missed", 2);
    world.ask(0, Watch, "@releaseDomain|r|");
    world.settle();
    world
        .machine
        .borrow_mut()
        .statuses
        .insert(DomId(1), Status::Gone);
    world.machine.borrow_mut().frames.remove(&DomId(1));
    let before = world.guests[0].events().len();
    world.restart();
    world.settle();
    let store = world.carrier.store();
    assert!(!store.is_introduced(DomId(1)) && store.is_introduced(DomId(2)));
    let events = world.guests[0].events();
    assert!(events[before..].contains(&"@releaseDomain|r|"));
}

#[test]
fn a_guest_that_breaks_its_ring_is_told_and_disturbs_nobody() {
    let mut world = World::new("broken", 2);
    let frame = world.guests[1].frame.clone();
    frame.store(offset_of!(StoreRing, req_prod), 0x8000_0000);
    world.carrier.happened(PlatformEvent::Ring(DomId(1)));
    world.carrier.run(100);
    assert_eq!(frame.load(offset_of!(StoreRing, error)), 2);
    assert_eq!(world.ask(2, Write, "a|1"), "OK|");
    // It asks for a new connection, and gets one.
    frame.store(offset_of!(StoreRing, connection), 1);
    assert_eq!(world.ask(1, Write, "a|1"), "OK|");
    assert_eq!(frame.load(offset_of!(StoreRing, error)), 0);
}

#[test]
fn a_message_that_is_too_long_breaks_the_connection() {
    let mut world = World::new("long", 1);
    let mut header = encode(Read, 1, 0, b"");
    header[12..].copy_from_slice(&5000_u32.to_le_bytes());
    world.guests[1].to_send = header;
    world.settle();
    let error = world.guests[1].frame.load(offset_of!(StoreRing, error));
    assert_eq!(error, 3);
}

/// One guest writes and one begins transactions without end, and neither takes an answer; the daemon
/// does not grow, and a third guest gets each answer within a few turns.
#[test]
fn hostile_guests_cost_their_own_time_and_memory() {
    let mut world = World::new("hostile", 3);
    world.ask(0, SetPerms, "/local/domain/1|b1|");
    world.ask(2, Watch, "/local/domain/1|t|");
    let big = "z".repeat(1000);
    let mut worst = 0;
    for round in 0..300_u32 {
        for _ in 0..10 {
            let name = format!("n{}", round % 50);
            world.guests[1].send(Write, 0, &format!("{name}|{big}"));
            world.guests[2].send(TransactionStart, 0, "|");
            world.guests[2].send(Read, 0, "/local/domain/1/n1|");
        }
        for guest in 1..=2 {
            let hostile = &mut world.guests[guest];
            let sent = hostile.frame.guest_send(&hostile.to_send);
            hostile.to_send.drain(..sent);
            if hostile.to_send.len() > 100_000 {
                // What is in the ring ends anywhere: from here on it is noise.
                hostile.to_send.clear();
            }
            let domain = hostile.domain;
            world.carrier.happened(PlatformEvent::Ring(domain));
        }
        let number = world.guests[3].send(Write, 0, &format!("n{}|{big}", round % 100));
        let mut turns = 0;
        while world.guests[3].answer(number).is_none() {
            world.guests[3].step(4096);
            world.carrier.happened(PlatformEvent::Ring(DomId(3)));
            world.carrier.run(1);
            turns += 1;
            assert!(turns < 40, "round {round}: no answer after {turns} turns");
        }
        worst = worst.max(turns);
        // The first takes an answer from time to time, so that it goes on.
        if round % 3 == 0 {
            let _ = world.guests[1].frame.guest_receive(64);
        }
    }
    assert!(worst > 0);
    let quotas = *world.carrier.store_mut().quotas_mut();
    let most_nodes = quotas.get(Quota::Nodes);
    for domain in 1..=3 {
        let store = world.carrier.store();
        let client = store.client(crate::store::ClientId::Domain(DomId(domain)));
        let client = client.unwrap();
        assert!(client.bytes() < 20_000);
        assert!(client.outbox().answer_bytes() < 8192);
        assert!(client.outbox().event_bytes() <= quotas.get(Quota::EventBytes));
        assert!(store.tree().usage(DomId(domain)).nodes <= most_nodes);
    }
    let errors = world.guests[3].answers();
    assert_eq!(errors.filter(|(kind, ..)| *kind == Error).count(), 0);
    assert_eq!(world.carrier.store().find_damage(), None);
}

/// A client that is told of much and takes nothing: what waits for it is bounded, and when it looks at
/// last, it is told of every watch.
#[test]
fn events_for_who_does_not_look_are_bounded() {
    let mut world = World::new("events", 2);
    world.ask(0, SetPerms, "/local/domain/1|r1|");
    world.ask(2, Watch, "/local/domain/1|all|");
    world.settle();
    world.guests[2].got.clear();
    let id = crate::store::ClientId::Domain(DomId(2));
    for number in 0..20_000_u32 {
        let name = format!("/local/domain/1/n{}|", number % 5000);
        world.guests[0].send(Write, 0, &name);
        world.guests[0].step(4096);
        world.carrier.happened(PlatformEvent::Ring(DomId(0)));
        world.carrier.run(10);
        let waiting = world.carrier.store().client(id).unwrap().outbox();
        assert!(waiting.event_bytes() <= 256 << 10);
    }
    assert!(world.carrier.store().counts().coalesced > 0);
    world.settle();
    let events = world.guests[2].events();
    assert!(events.contains(&"/local/domain/1|all|"), "{}", events.len());
}
