//! Interrupts of devices on this machine: which lines there are, how messages are programmed, and the way from a vector to
//! a domain's event.

use super::msi::Message;
use super::{apic, clock, ioapic, percpu, scheduler, smp};
use crate::domain::Domain;
use crate::event::EventDomain;
use crate::irq::throttle::{MOST, Report, Rest, WINDOW_NS};
use crate::irq::{Arrival, Hardware, Irq, Lines, Mask, Owner, Polarity, Signal, Target, Trigger};
use crate::lock::IrqLock;
use crate::machine::acpi::{self, Madt, TriggerMode};
use crate::pci::Function;
use crate::sched::{CpuId, Reasons};
use crate::sync::rank;
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::{AtomicU32, Ordering};
use guest_abi::ids::Port;
use spin::Once;

/// Lines that are kept: the interrupt numbers of domains are small.
const MAX_GSIS: u32 = 2048;
/// Messages of all devices together.
pub(crate) const MAX_MESSAGES: u16 = 1024;
/// Above this, local APIC numbers don't fit into what devices and IO-APICs send. 255 is all processors.
const MAX_TARGET: u32 = 254;
/// How many interrupts that belong to nothing are reported.
const MAX_REPORTS: u32 = 10;

static LINES: Once<Lines<Machine, Arc<Domain>>> = Once::new();

/// The machine's sources of interrupts.
pub(crate) fn lines() -> &'static Lines<Machine, Arc<Domain>> {
    LINES
        .get()
        .expect("interrupts are used before there are any")
}

impl Owner for Arc<Domain> {
    fn raise(&self, pirq: u32, port: u32) -> Option<u32> {
        // If the port has been closed meanwhile, the line will be unbound next.
        crate::event::raise_pirq(&**self, pirq, Port(port));
        let vcpu = self.ports().snapshot(Port(port))?.vcpu;
        self.vcpu(vcpu).map(|vcpu| vcpu.processor())
    }
}

/// IO-APICs, local APICs, and devices that send messages.
pub(crate) struct Machine {
    nr_gsis: u16,
    /// What each message is programmed in. A leaf, but for the lock of PCI's ports.
    messages: Box<[IrqLock<Option<Message>, { rank::MESSAGE }>]>,
}

impl Machine {
    /// Does something with the registers of message `irq`.
    pub(super) fn with_message<R>(
        &self,
        irq: Irq,
        work: impl FnOnce(&mut Option<Message>) -> R,
    ) -> Option<R> {
        let index = irq.0.checked_sub(self.nr_gsis)?;
        let place = self.messages.get(usize::from(index))?;
        Some(work(&mut place.lock()))
    }
}

/// The local APIC's number of processor `cpu`, if it runs and messages reach it.
fn apic_id(cpu: u32) -> Option<u32> {
    smp::online()
        .find(|&(number, id)| number == cpu && id <= MAX_TARGET)
        .map(|(_, id)| id)
}

impl Hardware for Machine {
    fn set_pin(&self, irq: Irq, signal: Signal, target: Target, mask: Mask) {
        let apic_id = apic_id(target.cpu).unwrap_or(0);
        ioapic::set(irq.0.into(), signal, apic_id, target.vector, mask);
    }

    fn mask_pin(&self, irq: Irq, mask: Mask) {
        ioapic::mask(irq.0.into(), mask);
    }

    fn move_pin(&self, irq: Irq, cpu: u32) {
        if let Some(apic_id) = apic_id(cpu) {
            ioapic::set_destination(irq.0.into(), apic_id);
        }
    }

    fn is_pin_busy(&self, irq: Irq) -> bool {
        ioapic::is_busy(irq.0.into())
    }

    fn settle_pin(&self, irq: Irq) {
        ioapic::settle(irq.0.into());
    }

    fn set_message(&self, irq: Irq, target: Target) {
        let apic_id = apic_id(target.cpu).unwrap_or(0);
        self.with_message(irq, |message| {
            if let Some(message) = message {
                message.send_to(apic_id, target.vector);
            }
        });
    }

    fn mask_message(&self, irq: Irq, mask: Mask) {
        self.with_message(irq, |message| {
            if let Some(message) = message {
                message.mask(mask);
            }
        });
    }

    fn hush_message(&self, irq: Irq) {
        self.with_message(irq, |message| {
            if let Some(message) = message {
                message.hush();
            }
        });
    }

    fn end_of_interrupt(&self) {
        apic::end_of_interrupt();
    }

    fn can_reach(&self, cpu: u32) -> bool {
        apic_id(cpu).is_some()
    }
}

/// How the firmware says that interrupt line `gsi` signals. Lines of ISA are edges unless it says otherwise; the others are PCI's.
fn signal_of(madt: &Madt, gsi: u32) -> Signal {
    let wired = madt
        .isa_overrides
        .iter()
        .rev()
        .find(|entry| entry.gsi == gsi);
    let of_bus = if gsi < 16 {
        Signal::ISA
    } else {
        Signal {
            trigger: Trigger::Level,
            polarity: Polarity::Low,
        }
    };
    let Some(wired) = wired else { return of_bus };
    Signal {
        trigger: match wired.line.trigger {
            TriggerMode::OfBus => Trigger::Edge,
            TriggerMode::Edge => Trigger::Edge,
            TriggerMode::Level => Trigger::Level,
        },
        polarity: match wired.line.polarity {
            acpi::Polarity::OfBus | acpi::Polarity::High => Polarity::High,
            acpi::Polarity::Low => Polarity::Low,
        },
    }
}

/// Learns what lines there are. The processors are counted, the IO-APICs run.
pub(super) fn start(madt: Option<&Madt>) {
    let processors = smp::online().map(|(cpu, _)| cpu + 1).max().unwrap_or(1);
    let nr_gsis = ioapic::end().min(MAX_GSIS) as u16;
    LINES.call_once(|| {
        let machine = Machine {
            nr_gsis,
            messages: (0..MAX_MESSAGES).map(|_| IrqLock::new(None)).collect(),
        };
        Lines::new(machine, processors, nr_gsis, MAX_MESSAGES, |gsi| {
            let gsi = u32::from(gsi);
            madt.filter(|_| ioapic::has(gsi))
                .map(|madt| signal_of(madt, gsi))
        })
    });
    let Some(madt) = madt else { return };
    for entry in madt.nmi_sources.iter() {
        keep(entry.gsi);
    }
    // The interval timer, whose number is 0 wherever it is wired to.
    keep(0);
    keep(madt.isa_interrupt(0).0);
}

/// The hypervisor uses interrupt line `gsi` itself: no domain can bind it.
pub(super) fn keep(gsi: u32) {
    // If there is no such line, nobody will have it.
    let _ = lines().keep(gsi);
}

/// The hypervisor uses interrupt line `gsi` itself, on `vector` of this processor. `false` if there is no such line.
pub(super) fn take(madt: &Madt, gsi: u32, vector: u8) -> bool {
    keep(gsi);
    let is_there = ioapic::has(gsi);
    if is_there {
        let signal = signal_of(madt, gsi);
        ioapic::set(gsi, signal, apic::id(), vector, Mask::Open);
    }
    is_there
}

/// Interrupt lines are below this.
pub(crate) fn nr_gsis() -> u32 {
    LINES.get().map_or(0, |lines| lines.nr_gsis().into())
}

/// An interrupt on a vector that is none of the hypervisor's own. Ends it.
pub(super) fn arrived(vector: u8) {
    static REPORTS: AtomicU32 = AtomicU32::new(0);
    let cpu = percpu::current_cpu();
    let arrival = match LINES.get() {
        Some(lines) => lines.arrive(cpu, vector, clock::now_ns()),
        None => {
            apic::end_of_interrupt();
            Arrival::Nobodys
        }
    };
    if let Arrival::Rests(irq, rest) = arrival {
        begin_rest(cpu, irq, &rest);
    }
    // One that was on its way when its line was taken away is nothing to worry about; many are.
    if arrival == Arrival::Nobodys && REPORTS.fetch_add(1, Ordering::Relaxed) < MAX_REPORTS {
        log::warn!("CPU{cpu}: interrupt on vector {vector:#x}, which is nobody's");
    }
}

/// A source has come too often: it is masked, and somebody has to wake it.
#[cold]
fn begin_rest(cpu: u32, irq: Irq, rest: &Rest) {
    // On its way to a guest, or to sleep, this processor sets its timer for it.
    scheduler::ask(CpuId(cpu), Reasons::TIMER);
    if rest.report == Report::Keep {
        return;
    }
    let sender = lines()
        .hardware()
        .with_message(irq, |message| message.as_ref().map(Message::function))
        .flatten();
    log::warn!(
        "{}: more than {MOST} within {} ms: masked for {} ms, and for longer while it goes on",
        Source(irq, sender),
        WINDOW_NS / 1_000_000,
        rest.pause_ns / 1_000_000
    );
}

/// A source as people know it.
struct Source(Irq, Option<Function>);

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Some(function) => write!(f, "messages of {function}"),
            None => write!(f, "interrupt line {}", self.0.0),
        }
    }
}

/// When sources are to be [woken](wake_due), if any rests.
pub(super) fn next_wake_ns() -> Option<u64> {
    LINES.get().and_then(Lines::next_wake_ns)
}

/// Lets sources through again whose rest is over.
pub(super) fn wake_due(now_ns: u64) {
    if let Some(lines) = LINES.get() {
        lines.wake_due(now_ns);
    }
}

/// Register `number` of the IO-APIC at machine address `address`. `None` if none is there.
pub(crate) fn io_apic_register(address: u64, number: u8) -> Option<u32> {
    ioapic::register(address, number)
}
