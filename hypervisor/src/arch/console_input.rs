//! Input of the console: from the serial line to the first domain, or to the debug keys.
//!
//! An interrupt, or a look from time to time where the line has none, only says that something has come. What
//! follows is done by [`pump`] where a processor holds no lock: between two guests, or between pieces of long
//! work. The lock of what has come is held while it is taken from the device, so that two processors do not overtake
//! each other; the device's is a leaf, and so is that of pressed keys.

use super::percpu::{self, CpuInfo};
use super::{clock, debug_keys, irq, scheduler, serial, traps};
use crate::console::input::{InputRing, InputSwitch, Listener, Receiver};
use crate::console::{self};
use crate::domain::Domains;
use crate::event;
use crate::lock::IrqLock;
use crate::machine::acpi::Madt;
use crate::sched::{CpuId, Reasons};
use arrayvec::ArrayVec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use guest_abi::event_channel::Virq;
use guest_abi::ids::{DomId, VcpuId};

/// Characters that wait for the first domain. What is pasted comes as fast as the line is, and a domain that
/// boots reads it all at once.
const WAITING: usize = 16 << 10;
/// Characters that are handled before others have their turn.
const PIECE: usize = 64;
/// How often a line without an interrupt is looked at: it fills its buffer of 16 in less than 1.5 ms at
/// 115,200 bits per second, but nobody types so fast.
const LOOK_EVERY_NS: u64 = 5_000_000;

struct Input {
    switch: InputSwitch,
    domain: InputRing<WAITING>,
}

static INPUT: IrqLock<Input> = IrqLock::new(Input {
    switch: InputSwitch::new(),
    domain: InputRing::new(),
});
/// Something may have come.
static HAS_COME: AtomicBool = AtomicBool::new(false);
/// When to look at the line next, ns; `u64::MAX` where it interrupts, or where there is none.
static NEXT_LOOK: AtomicU64 = AtomicU64::new(u64::MAX);

/// Starts listening to the serial line, whose interrupt is number `line` of ISA, 0 for none.
pub(super) fn start(madt: Option<&Madt>, line: u8) {
    if !serial::COM1.is_there() {
        return;
    }
    let routed = madt.filter(|_| line != 0).is_some_and(|madt| {
        let gsi = madt.isa_interrupt(line).0;
        irq::take(madt, gsi, traps::VECTOR_SERIAL)
    });
    if routed {
        serial::COM1.enable_interrupt();
    } else {
        log::info!("com1: no interrupt; the line is looked at from time to time");
        NEXT_LOOK.store(clock::now_ns(), Ordering::Relaxed);
    }
}

/// When this processor has to look at the line next, ns.
pub(super) fn next_look(cpu: u32) -> Option<u64> {
    let at = NEXT_LOOK.load(Ordering::Relaxed);
    (cpu == 0 && at != u64::MAX).then_some(at)
}

/// The line's interrupt: takes what has come out of the device, and says that it is there.
pub(super) fn interrupt() {
    if serial::COM1.look() {
        HAS_COME.store(true, Ordering::Release);
        scheduler::ask(CpuId(percpu::current_cpu()), Reasons::PICK);
    }
}

/// Whom some characters were for.
#[derive(Default)]
struct Sorted<'r> {
    domain: Option<&'r mut InputRing<WAITING>>,
    keys: ArrayVec<u8, PIECE>,
    listeners: ArrayVec<Listener, PIECE>,
}

impl Receiver for Sorted<'_> {
    fn domain(&mut self, byte: u8) {
        if let Some(ring) = &mut self.domain {
            ring.push(byte);
        }
    }

    fn key(&mut self, byte: u8) {
        // There is room for as many as are handled at once.
        let _ = self.keys.try_push(byte);
    }

    fn switched(&mut self, listener: Listener) {
        let _ = self.listeners.try_push(listener);
    }
}

/// Keys that a domain has pressed.
static PRESSED: IrqLock<ArrayVec<u8, PIECE>> = IrqLock::new(ArrayVec::new_const());

/// A debug key is pressed by other means than the line. It is handled when a processor next looks for work.
pub(crate) fn press_later(key: u8) {
    // What is too much at once is lost, as on a line.
    let _ = PRESSED.lock().try_push(key);
    HAS_PRESSED.store(true, Ordering::Release);
}

/// There is something in `PRESSED`.
static HAS_PRESSED: AtomicBool = AtomicBool::new(false);

/// Handles keys that a domain has pressed.
fn handle_pressed(here: &CpuInfo) {
    if HAS_PRESSED.swap(false, Ordering::AcqRel) {
        let keys = core::mem::take(&mut *PRESSED.lock());
        for key in keys {
            debug_keys::press(key, here);
        }
    }
}

/// Handles what has come. Called by each processor when it looks for work, without locks.
pub(super) fn pump(here: &CpuInfo) {
    handle_pressed(here);
    let cpu = here.cpu;
    let is_due = next_look(cpu).is_some_and(|at| at <= clock::now_ns());
    if is_due {
        NEXT_LOOK.store(clock::now_ns() + LOOK_EVERY_NS, Ordering::Relaxed);
    }
    if !HAS_COME.swap(false, Ordering::AcqRel) && !is_due {
        return;
    }
    let mut piece = [0; PIECE];
    let mut input = INPUT.lock();
    let count = serial::COM1.take(&mut piece);
    if count == 0 {
        return;
    }
    // There may be more than one piece.
    HAS_COME.store(true, Ordering::Release);
    scheduler::ask(CpuId(cpu), Reasons::PICK);

    let Input { switch, domain } = &mut *input;
    let mut sorted = Sorted {
        domain: Some(domain),
        ..Sorted::default()
    };
    for &byte in piece.get(..count).unwrap_or(&[]) {
        // Two that were held back may come with the third.
        switch.take(byte, &mut sorted);
    }
    let Sorted {
        keys, listeners, ..
    } = sorted;
    let (is_waiting, lost) = (!input.domain.is_empty(), input.domain.take_lost());
    drop(input);

    if lost != 0 {
        log::warn!("{lost} typed characters are lost: the first domain does not read them");
    }
    if is_waiting && let Some(domain) = Domains.find(DomId::DOM0) {
        event::raise_virq(&*domain, Virq::Console as u32, VcpuId(0));
    }
    for listener in listeners {
        announce(listener);
    }
    for key in keys {
        debug_keys::press(key, here);
    }
}

/// Says whom is typed to.
pub(super) fn announce(listener: Listener) {
    let (to, from) = match listener {
        Listener::FirstDomain => ("the first domain", "the hypervisor's debug keys"),
        Listener::Hypervisor => (
            "the hypervisor (h lists its debug keys)",
            "the first domain",
        ),
    };
    console::line(format_args!(
        "Input goes to {to}; Ctrl-A three times switches to {from}"
    ));
}

/// Takes characters that wait for the first domain. Returns how many.
pub(crate) fn take(buffer: &mut [u8]) -> usize {
    let mut input = INPUT.lock();
    let count = input.domain.peek(buffer);
    input.domain.take(count);
    count
}
