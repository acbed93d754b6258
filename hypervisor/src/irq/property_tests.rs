//! Whatever happens in whatever order: nothing is lost, nothing storms, no vector leaks.

use super::lines::{Irq, Lines};
use super::model::{Guest, LEVELS, MESSAGES, Machine, PROCESSORS};
use super::throttle::{LONGEST_NS, MOST, WINDOW_NS};
use super::vectors::Route;
use proptest::prelude::*;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A device wants its driver.
    Raise(u16),
    /// A processor takes an interrupt.
    Deliver(u32),
    /// A driver does its work.
    Handle(u16),
    /// A driver ends an interrupt and has not done its work.
    EndEarly(u16),
    /// A port is moved to another vCPU.
    Retarget(u16, u32),
    /// A device sends interrupts back to back, and a processor takes them.
    Storm(u16),
    /// Time goes by, ns.
    Wait(u64),
    /// A vCPU moves to another processor.
    Migrate(u16, u32),
    /// A port is closed, and what was on its way is taken as nobody's; then it is bound anew.
    Rebind(u16, u32),
}

fn step() -> impl Strategy<Value = Step> {
    let irq = 0..MESSAGES.end;
    let cpu = 0..PROCESSORS;
    prop_oneof![
        4 => irq.clone().prop_map(Step::Raise),
        4 => cpu.clone().prop_map(Step::Deliver),
        3 => irq.clone().prop_map(Step::Handle),
        1 => irq.clone().prop_map(Step::EndEarly),
        3 => (irq.clone(), 0..PROCESSORS + 1).prop_map(|(irq, cpu)| Step::Retarget(irq, cpu)),
        1 => irq.clone().prop_map(Step::Storm),
        2 => (0..2 * WINDOW_NS).prop_map(Step::Wait),
        2 => (irq.clone(), cpu.clone()).prop_map(|(irq, cpu)| Step::Migrate(irq, cpu)),
        1 => (irq, cpu).prop_map(|(irq, cpu)| Step::Rebind(irq, cpu)),
    ]
}

fn bind(machine: &Machine, lines: &Lines<Machine, Guest>, irq: Irq, cpu: u32) {
    let (pirq, port) = (u32::from(irq.0), u32::from(irq.0) + 100);
    lines
        .bind(irq, Guest(machine.clone()), pirq, port, cpu)
        .expect("not bound");
    lines.activate(irq, port);
}

fn deliver_all(machine: &Machine, lines: &Lines<Machine, Guest>) {
    while (0..PROCESSORS).any(|cpu| machine.deliver(lines, cpu)) {}
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]
    #[test]
    fn nothing_is_lost_and_nothing_storms(steps in proptest::collection::vec(step(), 0..120)) {
        let machine = Machine::new();
        let lines = machine.lines();
        for number in MESSAGES {
            prop_assert_eq!(
                lines.add_message(Machine::is_maskable(number), 0, |_| ()),
                Ok(Irq(number))
            );
        }
        // On one processor somebody else has the vectors that most of these have elsewhere.
        let mut taken = 0;
        for number in (0..MESSAGES.end).filter(|number| number % 3 != 0) {
            let route = Route { cpu: 1, vector: 0x30 + number as u8 };
            prop_assert!(lines.vectors().take(route, Irq(1000)));
            taken += 1;
        }
        let all = || (0..MESSAGES.end).map(Irq);
        all().for_each(|irq| bind(&machine, &lines, irq, 0));
        for step in steps {
            match step {
                Step::Raise(irq) => machine.raise(Irq(irq)),
                Step::Deliver(cpu) => {
                    machine.deliver(&lines, cpu);
                }
                Step::Handle(irq) => {
                    machine.handle(&lines, Irq(irq));
                }
                Step::EndEarly(irq) => machine.end_early(&lines, Irq(irq)),
                Step::Storm(irq) => {
                    for _ in 0..MOST + 2 {
                        machine.raise(Irq(irq));
                        deliver_all(&machine, &lines);
                    }
                }
                Step::Wait(ns) => machine.wait(&lines, ns),
                Step::Migrate(irq, cpu) => machine.migrate(Irq(irq), cpu),
                Step::Retarget(irq, cpu) => lines.retarget(Irq(irq), cpu),
                Step::Rebind(irq, cpu) => {
                    prop_assert!(lines.unbind(Irq(irq), Some(u32::from(irq) + 100)));
                    prop_assert!(machine.is_masked(Irq(irq)));
                    machine.abandon(Irq(irq));
                    bind(&machine, &lines, Irq(irq), cpu);
                }
            }
        }
        // Every rest ends, and everybody does what there is to do until nothing is left.
        machine.wait(&lines, LONGEST_NS);
        prop_assert_eq!(lines.next_wake_ns(), None);
        for round in 0.. {
            prop_assert!(round < 100, "a storm");
            deliver_all(&machine, &lines);
            if all().filter(|&irq| machine.handle(&lines, irq)).count() == 0 {
                break;
            }
        }
        for irq in all() {
            prop_assert!(!machine.is_forgotten(irq), "{:?} was lost", irq);
            prop_assert!(!machine.is_masked(irq), "{:?} stays masked", irq);
            if LEVELS.contains(&irq.0) {
                prop_assert!(!machine.is_stuck(irq), "{:?} is stuck", irq);
            }
        }
        // And it still works.
        for irq in all() {
            machine.raise(irq);
            deliver_all(&machine, &lines);
            prop_assert!(machine.handle(&lines, irq), "{:?} is dead", irq);
        }
        for irq in all() {
            prop_assert!(lines.unbind(irq, None));
        }
        MESSAGES.map(Irq).for_each(|irq| lines.remove_message(irq));
        prop_assert_eq!(lines.vectors().taken(), taken);
    }
}
