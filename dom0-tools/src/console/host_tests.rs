//! Guests with consoles, and administrators who attach or do not.

use super::flow::DEFAULT_RATE_KIB;
use super::host::{ConsoleHost, ConsolePlatform, Lookup, Manner, Overflow};
use super::line_times::Times;
use super::ring::testing::{guest_print, guest_read};
use super::ring::{Console, ConsoleEnd};
use super::terminal::{PseudoTerminal, Terminal};
use crate::daemon::log_file::MOST_BYTES;
use crate::daemon::ring::RingMemory;
use crate::daemon::ring::in_memory::SharedFrame;
use crate::store::domains::Status;
use guest_abi::console_ring::ConsoleRing;
use guest_abi::ids::{DomId, Port};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::io::{self, Read, Write};
use std::mem::offset_of;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// What a guest may print at once.
const BURST_BYTES: u64 = DEFAULT_RATE_KIB << 8;

#[derive(Default)]
struct Attached {
    shown: Vec<u8>,
    room: usize,
    typed: VecDeque<u8>,
}

struct TestTerminal(Rc<RefCell<Attached>>);

impl Terminal for TestTerminal {
    fn path(&self) -> &str {
        "/dev/pts/test"
    }

    fn read(&mut self, into: &mut [u8]) -> usize {
        self.0.borrow_mut().typed.read(into).unwrap()
    }

    fn write(&mut self, bytes: &[u8]) -> usize {
        let mut attached = self.0.borrow_mut();
        let count = bytes.len().min(attached.room);
        attached.room -= count;
        attached.shown.extend_from_slice(&bytes[..count]);
        count
    }
}

#[derive(Default)]
struct Machine {
    frames: BTreeMap<DomId, SharedFrame>,
    terminals: BTreeMap<DomId, Rc<RefCell<Attached>>>,
    gone: Vec<DomId>,
}

struct TestPlatform(Rc<RefCell<Machine>>);

impl ConsolePlatform for TestPlatform {
    fn connect(&mut self, domain: DomId, frame: u64, _: Port) -> io::Result<Box<dyn Console>> {
        if frame != 7 {
            return Err(io::Error::other("no such frame"));
        }
        let frame = self.0.borrow().frames[&domain].clone();
        Ok(Box::new(ConsoleEnd::new(frame.clone(), frame)))
    }

    fn open_terminal(&mut self, domain: DomId) -> io::Result<Box<dyn Terminal>> {
        let mut machine = self.0.borrow_mut();
        let terminal = machine.terminals.entry(domain).or_default();
        Ok(Box::new(TestTerminal(terminal.clone())))
    }

    fn status(&mut self, domain: DomId) -> Status {
        if self.0.borrow().gone.contains(&domain) {
            Status::Gone
        } else {
            Status::Alive
        }
    }
}

#[derive(Default)]
struct TestStore(BTreeMap<String, String>, BTreeSet<String>);

impl TestStore {
    fn write(&mut self, path: &str, value: &str) {
        self.0.insert(path.into(), value.into());
    }
}

impl Lookup for TestStore {
    fn children(&mut self, path: &str) -> Vec<String> {
        let below = format!("{path}/");
        let names = self.0.keys().filter_map(|name| name.strip_prefix(&below));
        let mut names: Vec<_> = names.filter_map(|name| name.split('/').next()).collect();
        names.dedup();
        names.into_iter().map(str::to_owned).collect()
    }

    fn read(&mut self, path: &str) -> Option<String> {
        self.0.get(path).cloned()
    }

    fn write_beside(&mut self, other: &str, path: &str, value: &str) {
        // A node is there as soon as one below it is.
        if self.0.keys().any(|key| key.starts_with(other)) {
            self.write(path, value);
        }
    }

    fn follow(&mut self, paths: BTreeSet<String>) {
        self.1 = paths;
    }
}

struct World {
    machine: Rc<RefCell<Machine>>,
    host: ConsoleHost<TestPlatform>,
    store: TestStore,
    logs: PathBuf,
    now: Instant,
}

impl World {
    fn new(name: &str) -> Self {
        Self::with_manner(name, Overflow::Discard, Times::NotShown)
    }

    fn with_manner(name: &str, overflow: Overflow, times: Times) -> Self {
        Self::with_rate(name, overflow, times, DEFAULT_RATE_KIB)
    }

    fn with_rate(name: &str, overflow: Overflow, times: Times, rate_kib: u64) -> Self {
        let logs = std::env::temp_dir().join(format!("consoles-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&logs);
        let machine = Rc::<RefCell<Machine>>::default();
        let manner = Manner {
            log_directory: Some(logs.clone()),
            times,
            overflow,
            bytes_a_second: rate_kib << 10,
        };
        Self {
            host: ConsoleHost::new(TestPlatform(machine.clone()), manner),
            machine,
            store: TestStore::default(),
            logs,
            now: Instant::now(),
        }
    }

    fn add_guest(&mut self, domain: u16, name: &str) -> SharedFrame {
        let home = format!("/local/domain/{domain}");
        for (key, value) in [
            ("name", name),
            ("console/ring-ref", "7"),
            ("console/port", "2"),
            ("console/limit", "5000"),
            ("console/type", "xenconsoled"),
        ] {
            self.store.write(&format!("{home}/{key}"), value);
        }
        let frame = SharedFrame::default();
        let mut machine = self.machine.borrow_mut();
        machine.frames.insert(DomId(domain), frame.clone());
        drop(machine);
        self.update();
        frame
    }

    fn update(&mut self) {
        self.host.update(&mut self.store, self.now);
    }

    fn attached(&self, domain: u16) -> Rc<RefCell<Attached>> {
        self.machine.borrow().terminals[&DomId(domain)].clone()
    }

    fn serve(&mut self, domain: u16) -> Option<Duration> {
        self.host.serve(DomId(domain), self.now)
    }

    fn log(&self, name: &str) -> String {
        fs::read_to_string(self.logs.join(format!("guest-{name}.log"))).unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.logs);
    }
}

#[test]
fn output_is_shown_and_logged_and_input_arrives() {
    let mut world = World::new("both");
    let frame = world.add_guest(3, "etch");
    assert_eq!(
        world.store.read("/local/domain/3/console/tty").as_deref(),
        Some("/dev/pts/test")
    );
    let attached = world.attached(3);
    attached.borrow_mut().room = 1000;
    guest_print(&frame, b"login: ");
    attached.borrow_mut().typed.extend(b"root\r");
    assert!(world.serve(3).is_some());
    assert_eq!(world.serve(3), None);
    assert_eq!(attached.borrow().shown, b"login: ");
    assert_eq!(guest_read(&frame), b"root\r");
    assert_eq!(world.log("etch"), "login: ");
}

#[test]
fn who_attaches_late_sees_the_newest_output() {
    let mut world = World::new("late");
    let frame = world.add_guest(3, "a/b");
    for number in 0..1000 {
        guest_print(&frame, format!("line {number}\n").as_bytes());
        world.serve(3);
    }
    let attached = world.attached(3);
    assert_eq!(attached.borrow().shown, b"");
    attached.borrow_mut().room = usize::MAX;
    world.serve(3);
    assert_eq!(attached.borrow().shown.len(), 5000);
    assert!(attached.borrow().shown.ends_with(b"line 998\nline 999\n"));
    assert_eq!(world.log("a_b").lines().count(), 1000);
}

#[test]
fn where_all_is_kept_a_guest_waits_for_who_reads() {
    let mut world = World::with_manner("kept", Overflow::Keep, Times::NotShown);
    let frame = world.add_guest(3, "x");
    let mut printed = 0;
    while world.serve(3).is_some() || printed < 5000 {
        printed += guest_print(&frame, &[b'x'; 1000]);
    }
    // What is kept, and a ring that is full.
    printed += guest_print(&frame, &[b'x'; 4000]);
    assert_eq!((printed, guest_print(&frame, b"x")), (5000 + 2048, 0));
    assert_eq!(world.log("x").len(), 5000);
    let attached = world.attached(3);
    attached.borrow_mut().room = usize::MAX;
    while world.serve(3).is_some() {}
    assert_eq!(attached.borrow().shown.len(), printed);
    // The last words of one that is gone are logged although nobody reads.
    attached.borrow_mut().room = 0;
    while guest_print(&frame, &[b'y'; 2000]) > 0 {
        world.serve(3);
    }
    world.machine.borrow_mut().gone.push(DomId(3));
    world.update();
    assert_eq!(world.log("x").matches('y').count(), 5000 + 2048);
}

#[test]
fn a_guest_that_prints_without_end_waits_and_others_do_not() {
    let mut world = World::new("flood");
    let (loud, quiet) = (world.add_guest(3, "loud"), world.add_guest(4, "quiet"));
    let mut printed = 0;
    while world.serve(3) != Some(super::flow::RateLimit::pause()) {
        printed += guest_print(&loud, &[b'x'; 4096]);
        assert!(printed < 1 << 20);
    }
    assert!(printed as u64 >= BURST_BYTES);
    guest_print(&quiet, b"I am here");
    world.serve(4);
    assert_eq!(world.log("quiet"), "I am here");
    world.now += Duration::from_secs(1);
    assert_eq!(world.serve(3), Some(Duration::ZERO));
}

#[test]
fn how_much_a_guest_may_print_is_an_administrators_choice() {
    let mut world = World::with_rate("rate", Overflow::Discard, Times::NotShown, 32);
    let frame = world.add_guest(3, "loud");
    let mut printed_until_it_waits = || {
        let before = world.log("loud").len();
        while world.serve(3) != Some(super::flow::RateLimit::pause()) {
            guest_print(&frame, &[b'x'; 4096]);
        }
        world.now += Duration::from_millis(100);
        world.log("loud").len() - before
    };
    assert_eq!(printed_until_it_waits(), 8 << 10);
    let later: usize = (0..10).map(|_| printed_until_it_waits()).sum();
    assert!(later.abs_diff(32 << 10) < 100, "{later}");
}

#[test]
fn the_last_words_of_a_guest_that_has_to_wait_are_not_lost() {
    let mut world = World::new("storm");
    let frame = world.add_guest(3, "loud");
    let mut printed = 0;
    while world.serve(3) != Some(super::flow::RateLimit::pause()) {
        printed += guest_print(&frame, &[b'x'; 4096]);
    }
    // A ring is full of the end of it.
    assert_eq!(printed as u64, BURST_BYTES + 2048);
    world.machine.borrow_mut().gone.push(DomId(3));
    world.update();
    assert_eq!(world.log("loud").len(), printed);
}

#[test]
fn times_in_the_log_count_as_if_they_were_printed() {
    let mut world = World::with_manner("times", Overflow::Discard, Times::Shown);
    let frame = world.add_guest(3, "loud");
    while world.serve(3) != Some(super::flow::RateLimit::pause()) {
        guest_print(&frame, &[b'\n'; 4096]);
    }
    let logged = world.log("loud");
    let ring = 2048 * logged.lines().next().unwrap_or_default().len();
    // By one ring it may be more: that it was too much is known behind it.
    let most = BURST_BYTES as usize + ring + 2048;
    assert!(
        logged.len() > 100_000 && logged.len() <= most,
        "{} of {most}",
        logged.len()
    );
}

#[test]
fn what_is_logged_is_bounded_and_for_few_eyes() {
    let mut world = World::new("bounded");
    let frame = world.add_guest(3, "loud");
    let file = |number: &str| world.logs.join(format!("guest-loud.log{number}"));
    let (first, second) = (file(""), file(".1"));
    let mut printed = 0;
    while !second.exists() {
        printed += guest_print(&frame, &[b'x'; 2000]) as u64;
        world.serve(3);
        world.now += Duration::from_millis(20);
        assert!(printed <= MOST_BYTES + 4000, "it grows without end");
    }
    let seen = [&first, &second].map(|file| file.metadata().unwrap());
    assert_eq!(seen[0].len() + seen[1].len(), printed);
    assert!(seen.iter().all(|seen| seen.mode() & 0o777 == 0o600));
    assert_eq!(world.logs.metadata().unwrap().mode() & 0o777, 0o700);
}

#[test]
fn what_can_t_be_logged_is_shown_all_the_same() {
    let mut world = World::new("full");
    // The disk is full, and has room again.
    fs::create_dir_all(&world.logs).unwrap();
    let path = world.logs.join("guest-x.log");
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    let frame = world.add_guest(3, "x");
    let attached = world.attached(3);
    attached.borrow_mut().room = 1000;
    for text in ["lost ", "too ", "back"] {
        if text == "back" {
            fs::remove_file(&path).unwrap();
            world.host.reopen_logs();
        }
        guest_print(&frame, text.as_bytes());
        world.serve(3);
    }
    assert_eq!(attached.borrow().shown, b"lost too back");
    let sentence = "[xenconsoled: 9 bytes are missing here, which could not be written: No space left on device (os error 28)]";
    assert_eq!(world.log("x"), format!("\n{sentence}\nback"));
}

#[test]
fn input_waits_for_a_guest_that_does_not_read() {
    let mut world = World::new("input");
    let frame = world.add_guest(3, "x");
    let attached = world.attached(3);
    attached.borrow_mut().typed.extend([b'k'; 3000]);
    for _ in 0..10 {
        world.serve(3);
    }
    assert_eq!(attached.borrow().typed.len(), 3000 - 1024);
    assert_eq!(guest_read(&frame).len(), 1024);
    world.serve(3);
    assert_eq!(attached.borrow().typed.len(), 3000 - 2048);
}

#[test]
fn a_console_that_is_described_later_is_waited_for() {
    let mut world = World::new("later");
    world.store.write("/local/domain/3/name", "x");
    world.update();
    assert!(world.store.1.contains("/local/domain/3/console"));
    assert_eq!(world.host.domains().count(), 0);
    world.add_guest(3, "x");
    assert_eq!(world.host.domains().count(), 1);
}

#[test]
fn consoles_come_and_go_with_their_domains() {
    let mut world = World::new("gone");
    let frame = world.add_guest(3, "x");
    world.add_guest(4, "y");
    assert_eq!(
        world.host.domains().collect::<Vec<_>>(),
        [DomId(3), DomId(4)]
    );
    guest_print(&frame, b"last words");
    world.machine.borrow_mut().gone.push(DomId(3));
    world.update();
    assert_eq!(world.host.domains().collect::<Vec<_>>(), [DomId(4)]);
    assert_eq!(world.log("x"), "last words");
    world.store.write("/local/domain/5/console/ring-ref", "8");
    world.store.write("/local/domain/5/console/port", "8");
    world.store.write("/local/domain/0/console/ring-ref", "7");
    world.store.write("/local/domain/0/console/port", "7");
    world.update();
    assert_eq!(world.host.domains().collect::<Vec<_>>(), [DomId(4)]);
}

#[test]
fn the_last_words_of_a_guest_are_shown_to_who_is_slow() {
    let mut world = World::new("last-words");
    let frame = world.add_guest(3, "x");
    let attached = world.attached(3);
    attached.borrow_mut().room = 3;
    guest_print(&frame, b"the last words");
    world.machine.borrow_mut().gone.push(DomId(3));
    world.update();
    assert_eq!(attached.borrow().shown, b"the");
    let closes_at = world.host.close(world.now).unwrap();
    attached.borrow_mut().room = 100;
    world.serve(3);
    assert_eq!(attached.borrow().shown, b"the last words");
    assert_eq!(world.host.close(closes_at), None);
}

#[test]
fn a_guest_that_breaks_its_ring_is_left_alone_until_it_is_connected_anew() {
    let mut world = World::new("broken");
    let frame = world.add_guest(3, "x");
    frame.store(offset_of!(ConsoleRing, out_prod), 1 << 30);
    assert_eq!(world.serve(3), None);
    frame.store(offset_of!(ConsoleRing, out_prod), 0);
    guest_print(&frame, b"ignored");
    assert_eq!(world.serve(3), None);
    world.store.write("/local/domain/3/console/port", "9");
    world.update();
    world.serve(3);
    assert_eq!(world.log("x"), "ignored");
}

#[test]
fn what_was_not_read_yet_can_be_when_a_guest_is_connected_anew() {
    let mut world = World::with_manner("anew", Overflow::Keep, Times::NotShown);
    let frame = world.add_guest(3, "x");
    let attached = world.attached(3);
    guest_print(&frame, b"before, ");
    while world.serve(3).is_some() {}
    world.store.write("/local/domain/3/console/port", "9");
    world.update();
    guest_print(&frame, b"after");
    while world.serve(3).is_some() {}
    attached.borrow_mut().room = 100;
    world.serve(3);
    assert_eq!(attached.borrow().shown, b"before, after");
}

#[test]
fn a_pseudo_terminal_passes_bytes_as_they_are() {
    let mut terminal = PseudoTerminal::open().unwrap();
    let mut attached = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(terminal.path())
        .unwrap();
    assert_eq!(terminal.write(b"a\nb\x03\r"), 5);
    let mut shown = [0; 5];
    attached.read_exact(&mut shown).unwrap();
    assert_eq!(&shown, b"a\nb\x03\r");
    attached.write_all(b"\x04\n\r").unwrap();
    let mut typed = [0; 16];
    assert_eq!(terminal.read(&mut typed), 3);
    assert_eq!(&typed[..3], b"\x04\n\r");
    assert_eq!(terminal.read(&mut typed), 0);
}
