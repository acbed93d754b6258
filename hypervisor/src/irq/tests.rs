//! One behaviour each.

use super::error::IrqError;
use super::hardware::{Polarity, Signal, Trigger};
use super::lines::{Irq, Lines};
use super::model::{Guest, LEVELS, MESSAGES, Machine};
use super::pirqs::{Pirq, Pirqs};
use super::throttle::{LONGEST_NS, MOST, WINDOW_NS};
use super::vectors::{Route, Vectors};
use std::sync::atomic::{AtomicBool, Ordering};

const LEVEL: Irq = Irq(LEVELS.start);
const EDGE: Irq = Irq(1);

fn bound(machine: &Machine, irq: Irq) -> Lines<Machine, Guest> {
    let lines = machine.lines();
    bind(machine, &lines, irq);
    lines
}

fn bind(machine: &Machine, lines: &Lines<Machine, Guest>, irq: Irq) {
    let (pirq, port) = (u32::from(irq.0), u32::from(irq.0) + 100);
    lines
        .bind(irq, Guest(machine.clone()), pirq, port, 0)
        .expect("free");
    lines.activate(irq, port);
}

#[test]
fn a_level_line_is_masked_until_its_guest_is_done() {
    let machine = Machine::new();
    let lines = bound(&machine, LEVEL);
    machine.raise(LEVEL);
    assert!(machine.deliver(&lines, 0));
    assert!(machine.is_masked(LEVEL));
    assert!(!machine.deliver(&lines, 0), "it came again");
    // Not done, and the device still wants something: once more, and no more.
    machine.end_early(&lines, LEVEL);
    assert!(machine.deliver(&lines, 0));
    assert!(machine.handle(&lines, LEVEL));
    assert!(!machine.is_masked(LEVEL));
    assert!(!machine.deliver(&lines, 0));
}

#[test]
fn a_level_line_that_is_on_its_way_moves_after_its_end() {
    let machine = Machine::new();
    let lines = bound(&machine, LEVEL);
    machine.raise(LEVEL);
    lines.retarget(LEVEL, 1);
    assert_eq!(
        lines.look(LEVEL, |line| line.route().map(|to| to.cpu)),
        Some(Some(0))
    );
    assert!(machine.deliver(&lines, 0));
    assert_eq!(lines.look(LEVEL, |line| line.is_in_service()), Some(true));
    assert!(machine.handle(&lines, LEVEL));
    assert_eq!(
        lines.look(LEVEL, |line| line.route().map(|to| to.cpu)),
        Some(Some(1))
    );
    machine.raise(LEVEL);
    assert!(!machine.deliver(&lines, 0));
    assert!(machine.deliver(&lines, 1));
}

#[test]
fn an_edge_on_its_way_to_the_old_processor_is_not_lost() {
    let machine = Machine::new();
    let lines = bound(&machine, EDGE);
    machine.raise(EDGE);
    lines.retarget(EDGE, 2);
    assert!(machine.deliver(&lines, 0));
    assert!(machine.handle(&lines, EDGE));
    assert_eq!(lines.vectors().taken(), 2);
    machine.raise(EDGE);
    assert!(machine.deliver(&lines, 2));
    assert!(machine.handle(&lines, EDGE));
    // The old processor's vector is free again.
    assert_eq!(lines.vectors().taken(), 1);
}

/// An edge is on its way when its vector becomes a level line's: the guest of that one is told once until it is done.
#[test]
fn a_late_interrupt_of_who_had_the_vector_tells_nobody_twice() {
    let machine = Machine::new();
    let lines = machine.lines();
    let first = 0x30 + LEVEL.0 as u8;
    for vector in 0x30 + EDGE.0 as u8..first {
        assert!(lines.vectors().take(Route { cpu: 0, vector }, Irq(1000)));
    }
    bind(&machine, &lines, EDGE);
    machine.raise(EDGE);
    assert!(lines.unbind(EDGE, None));
    bind(&machine, &lines, LEVEL);
    let route = lines.look(LEVEL, |line| line.route()).flatten();
    assert_eq!(route.map(|route| route.vector), Some(first));
    machine.raise(LEVEL);
    while machine.deliver(&lines, 0) {}
    assert!(machine.handle(&lines, LEVEL));
    assert!(!machine.is_masked(LEVEL));
    machine.raise(LEVEL);
    assert!(machine.deliver(&lines, 0));
    assert!(machine.handle(&lines, LEVEL));
    assert!(!machine.is_stuck(LEVEL));
}

/// Raises and takes interrupts until the source is masked. How many that were.
fn storm(machine: &Machine, lines: &Lines<Machine, Guest>, irq: Irq) -> u32 {
    for count in 1..=10_000 {
        machine.raise(irq);
        assert!(machine.deliver(lines, 0));
        if machine.is_masked(irq) {
            return count;
        }
    }
    panic!("{irq:?} is never masked");
}

#[test]
fn a_source_that_storms_rests_and_loses_nothing() {
    let message = Irq(MESSAGES.start);
    let maskable = Irq(MESSAGES.start + 1);
    for irq in [EDGE, message, maskable] {
        let machine = Machine::new();
        let lines = if irq == EDGE {
            bound(&machine, irq)
        } else {
            let lines = machine.lines();
            for number in MESSAGES {
                let added = lines.add_message(Machine::is_maskable(number), 0, |_| ());
                assert_eq!(added, Ok(Irq(number)));
            }
            let (pirq, port) = (u32::from(irq.0), u32::from(irq.0) + 100);
            let guest = Guest(machine.clone());
            lines.bind(irq, guest, pirq, port, 0).expect("free");
            lines.activate(irq, port);
            lines
        };
        assert_eq!(storm(&machine, &lines, irq), MOST + 1, "{irq:?}");
        assert!(machine.handle(&lines, irq));
        // While it rests nothing comes, and moving it waits.
        machine.raise(irq);
        lines.retarget(irq, 1);
        assert!(!machine.deliver(&lines, 0) && !machine.deliver(&lines, 1));
        assert!(machine.is_forgotten(irq));
        assert_eq!(lines.next_wake_ns(), Some(WINDOW_NS));
        machine.wait(&lines, WINDOW_NS - 1);
        assert!(machine.is_masked(irq), "{irq:?} wakes too early");
        machine.wait(&lines, 1);
        assert!(!machine.is_masked(irq));
        assert_eq!(lines.next_wake_ns(), None);
        assert!(machine.handle(&lines, irq), "what came meanwhile is lost");
        while (0..3).any(|cpu| machine.deliver(&lines, cpu)) {}
        machine.handle(&lines, irq);
        machine.raise(irq);
        assert!(machine.deliver(&lines, 1), "it has not moved");
        // Closed while it rests, it does not come back by itself.
        assert!(machine.handle(&lines, irq));
        lines.retarget(irq, 0);
        while !machine.is_masked(irq) {
            machine.raise(irq);
            while (0..3).any(|cpu| machine.deliver(&lines, cpu)) {}
        }
        assert!(lines.unbind(irq, None));
        machine.wait(&lines, LONGEST_NS);
        assert!(machine.is_masked(irq));
        assert_eq!(lines.next_wake_ns(), None);
    }
}

#[test]
fn an_interrupt_follows_a_vcpu_that_has_moved_for_good() {
    for irq in [EDGE, LEVEL] {
        let machine = Machine::new();
        let lines = bound(&machine, irq);
        let cpu = || {
            let route = lines.look(irq, |line| line.route().map(|route| route.cpu));
            route.flatten().expect("a route")
        };
        let interrupt = || {
            machine.raise(irq);
            assert!((0..3).any(|cpu| machine.deliver(&lines, cpu)));
            assert!(machine.handle(&lines, irq));
        };
        machine.migrate(irq, 0);
        (0..9).for_each(|_| interrupt());
        assert_eq!(cpu(), 0);
        // Here and there.
        for home in [1, 1, 0, 2, 2, 0] {
            machine.migrate(irq, home);
            interrupt();
        }
        assert_eq!(cpu(), 0);
        machine.migrate(irq, 2);
        (0..3).for_each(|_| interrupt());
        assert_eq!(cpu(), 2);
        interrupt();
        assert_eq!(lines.vectors().taken(), 1);
    }
}

#[test]
fn what_is_bound_set_up_or_the_hypervisors_own_is_refused() {
    let machine = Machine::new();
    let lines = bound(&machine, LEVEL);
    let guest = || Guest(machine.clone());
    assert_eq!(lines.bind(LEVEL, guest(), 4, 104, 0), Err(IrqError::InUse));
    assert_eq!(lines.set_up(4, Signal::ISA), Err(IrqError::InUse));
    assert_eq!(lines.keep(5), Ok(()));
    assert_eq!(lines.bind(Irq(5), guest(), 5, 105, 0), Err(IrqError::Busy));
    assert_eq!(lines.set_up(5, Signal::ISA), Err(IrqError::InUse));
    let low = Signal {
        trigger: Trigger::Level,
        polarity: Polarity::Low,
    };
    assert_eq!(lines.set_up(6, low), Ok(()));
    assert_eq!(lines.set_up(6, low), Err(IrqError::InUse));
    assert_eq!(lines.gsi(8), Err(IrqError::Invalid));
    assert_eq!(
        lines.bind(Irq(8), guest(), 8, 108, 0),
        Err(IrqError::Invalid)
    );
    assert!(!lines.unbind(LEVEL, Some(7)), "another port's");
    assert!(lines.unbind(LEVEL, Some(104)));
    assert!(!lines.unbind(LEVEL, Some(104)));
    assert_eq!(lines.vectors().taken(), 0);
}

#[test]
fn places_of_messages_run_out_and_come_back() {
    let machine = Machine::new();
    let lines = machine.lines();
    let add = || lines.add_message(true, 0, |_| ());
    let all: Vec<_> = MESSAGES.map(|_| add().expect("a place")).collect();
    assert_eq!(all, MESSAGES.map(Irq).collect::<Vec<_>>());
    assert_eq!(add(), Err(IrqError::NoRoom));
    lines.remove_message(Irq(9));
    assert_eq!(add(), Ok(Irq(9)));
    all.into_iter().for_each(|irq| lines.remove_message(irq));
    assert_eq!(lines.vectors().taken(), 0);
}

#[test]
fn vectors_run_out_without_touching_those_that_are_kept() {
    let vectors = Vectors::new(2);
    let mut given: Vec<_> = (0..1000)
        .map_while(|number| vectors.allocate(1, Irq(number)))
        .map(|route| route.vector)
        .collect();
    assert_eq!(vectors.allocate(1, Irq(7)), None);
    given.sort_unstable();
    let expected: Vec<_> = (0x30..=0xdf).filter(|&vector| vector != 0x80).collect();
    assert_eq!(given, expected);
    for vector in [0, 0x2f, 0x80, 0xe0, 0xff] {
        assert!(!vectors.take(Route { cpu: 0, vector }, Irq(1)));
    }
    let beyond = Route {
        cpu: 2,
        vector: 0x40,
    };
    assert!(!vectors.take(beyond, Irq(1)));
    assert_eq!(vectors.find(beyond), None);
}

#[test]
fn a_vector_of_nobody_is_ended_and_reported() {
    let machine = Machine::new();
    let lines = bound(&machine, EDGE);
    machine.raise(EDGE);
    assert!(lines.unbind(EDGE, None));
    // It was on its way: `deliver` checks that the local APIC is done with it.
    assert!(machine.deliver(&lines, 0));
    assert!(!machine.handle(&lines, EDGE));
}

#[test]
fn numbers_of_lines_are_their_own_and_those_of_messages_lie_above() {
    let pirqs = Pirqs::new(24, 40);
    assert_eq!(pirqs.map_line(Irq(9), Some(9)), Ok(9));
    assert_eq!(pirqs.map_line(Irq(9), None), Ok(9));
    assert_eq!(pirqs.map_line(Irq(9), Some(10)), Err(IrqError::InUse));
    assert_eq!(pirqs.map_line(Irq(10), Some(9)), Err(IrqError::InUse));
    assert_eq!(pirqs.map_line(Irq(10), Some(40)), Err(IrqError::Invalid));
    assert_eq!(pirqs.map_line(Irq(10), None), Ok(10));
    assert_eq!(pirqs.map_message(Irq(30), None), Ok(24));
    assert_eq!(pirqs.reserve(true), Ok(25));
    assert_eq!(pirqs.get(25), Some(Pirq::Reserved));
    assert_eq!(pirqs.irq(25), None);
    assert_eq!(pirqs.map_message(Irq(31), None), Ok(26));
    assert_eq!(pirqs.map_message(Irq(32), Some(25)), Ok(25));
    assert_eq!(pirqs.reserve(false), Ok(16));
    let mut all = Vec::new();
    pirqs.for_each(|pirq, irq| all.push((pirq, irq.0)));
    assert_eq!(all, [(9, 9), (10, 10), (24, 30), (25, 32), (26, 31)]);
    assert_eq!(pirqs.unmap_with(25, |_| ()), Some(Pirq::Mapped(Irq(32))));
    assert_eq!(pirqs.unmap_with(25, |_| ()), None);
    for _ in 0..14 {
        pirqs.reserve(true).expect("free");
    }
    assert_eq!(pirqs.reserve(true), Err(IrqError::NoRoom));
    assert_eq!(pirqs.map_message(Irq(33), None), Err(IrqError::NoRoom));
}

#[test]
fn a_number_that_is_worked_with_is_not_taken_away() {
    let pirqs = Pirqs::new(8, 16);
    assert_eq!(pirqs.map_line(Irq(5), Some(5)), Ok(5));
    assert_eq!(pirqs.reserve(true), Ok(8));
    let is_taken = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let worked = pirqs.with_irq(5, |irq| {
            scope.spawn(|| {
                let unmapped = pirqs.unmap_with(5, |_| is_taken.store(true, Ordering::SeqCst));
                assert_eq!(unmapped, Some(Pirq::Mapped(Irq(5))));
            });
            for _ in 0..1000 {
                std::thread::sleep(std::time::Duration::from_micros(10));
                assert!(!is_taken.load(Ordering::SeqCst));
            }
            irq
        });
        assert_eq!(worked, Some(Irq(5)));
    });
    assert!(is_taken.into_inner());
    assert_eq!(pirqs.with_irq(5, |_| ()), None);
    assert_eq!(pirqs.with_irq(8, |_| ()), None);
}
