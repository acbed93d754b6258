//! Long operations give way: an event that becomes due in the middle of one is delivered there, the guest makes its call anew,
//! and in the end all is done as if nothing had been between.
//!
//! The cases run where time goes by instructions. That an operation has stopped is seen by where an upcall interrupts the
//! guest: not behind the SYSCALL, as when the hypervisor comes to events at the operation's end, but at it.

pub(crate) mod console;
pub(crate) mod destroy;
pub(crate) mod exchange;
pub(crate) mod grant_copy;
pub(crate) mod grant_map;
pub(crate) mod grant_replace;
pub(crate) mod grant_transfer;
pub(crate) mod mmu_list;
pub(crate) mod mmuext_list;
pub(crate) mod multicall;
pub(crate) mod pin;
pub(crate) mod ports;
pub(crate) mod reservation;
pub(crate) mod table_entry;
pub(crate) mod user_root;

use super::prelude::*;
use crate::clock::{self, MS};
use crate::memory::{KERNEL_RW, TABLE, entry};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};

/// Upcalls during each operation.
const UPCALLS: u32 = 7;
/// What an operation takes at least, undisturbed.
const LONG: u64 = MS;
/// By how much a timer may be late: what the largest piece of an operation takes.
const LATE: u64 = MS / 2;
/// The instruction that makes a hypercall.
const SYSCALL: u16 = 0x050f;

/// When the next timer is due; 0 without one.
static DUE_NS: AtomicU64 = AtomicU64::new(0);
static PERIOD_NS: AtomicU64 = AtomicU64::new(0);
/// Timers that are still to come.
static LEFT: AtomicU32 = AtomicU32::new(0);
/// Of those that have come, those that have found a call about to be made anew.
static AT_CALL: AtomicU32 = AtomicU32::new(0);
/// By how much the latest was late.
static LATEST_NS: AtomicU64 = AtomicU64::new(0);

/// Hears timers from now on.
fn listen() {
    clock::stop_periodic_timer();
    clock::bind_timer();
    trap::set_handler(trap::EVENT, handle);
    event::unmask_upcalls();
}

fn handle(trap: &mut trap::Trap) {
    event::dispatch();
    let (due_ns, now_ns) = (DUE_NS.load(SeqCst), clock::now_ns());
    if due_ns == 0 || now_ns < due_ns {
        return;
    }
    LATEST_NS.fetch_max(now_ns - due_ns, SeqCst);
    // SAFETY: the code that is interrupted, which is this kernel's.
    let next = unsafe { (trap.frame.rip as *const u16).read_unaligned() };
    if trap.frame.is_in_kernel_code() && next == SYSCALL {
        AT_CALL.fetch_add(1, SeqCst);
    }
    match LEFT.fetch_sub(1, SeqCst) {
        1 => DUE_NS.store(0, SeqCst),
        _ => arm(now_ns + PERIOD_NS.load(SeqCst)),
    }
}

fn arm(due_ns: u64) {
    DUE_NS.store(due_ns, SeqCst);
    clock::set_timer(due_ns);
}

/// Does `work`, each time when it is made `ready`: undisturbed, and with [`UPCALLS`] timers that become due in the middle
/// of it. None may be late. The number is that of upcalls that have found its call about to be made anew.
fn calls_made_anew(what: &str, mut ready: impl FnMut(), mut work: impl FnMut()) -> u32 {
    let mut undisturbed = || {
        ready();
        let start_ns = clock::now_ns();
        work();
        clock::now_ns() - start_ns
    };
    // The first time may take longer.
    let took_ns = undisturbed().min(undisturbed());
    assert!(took_ns >= LONG, "{what} takes {took_ns} ns only");
    ready();
    PERIOD_NS.store(took_ns / u64::from(UPCALLS + 1), SeqCst);
    LEFT.store(UPCALLS, SeqCst);
    AT_CALL.store(0, SeqCst);
    LATEST_NS.store(0, SeqCst);
    arm(clock::now_ns() + PERIOD_NS.load(SeqCst));
    work();
    let left = LEFT.load(SeqCst);
    let (anew, late_ns) = (AT_CALL.load(SeqCst), LATEST_NS.load(SeqCst));
    println!("{what}: {took_ns} ns; {anew} of {UPCALLS} timers in it, {late_ns} ns late at most");
    assert_eq!(left, 0, "{what}: timers that have not come");
    assert!(late_ns <= LATE, "{what}: a timer was {late_ns} ns late");
    anew
}

/// Sees that one call gives way to each of the timers.
fn gives_way(what: &str, ready: impl FnMut(), work: impl FnMut()) {
    assert_eq!(calls_made_anew(what, ready, work), UPCALLS, "{what}");
}

/// Level-1 tables in a [`Tree`].
const LEAVES: usize = 96;

/// Tables that take long to validate, none of them in force.
struct Tree {
    l4: Frame,
    l3: Frame,
}

impl Tree {
    /// One whose tables lead to the addresses around `va`, and nowhere else.
    fn new(va: Vaddr) -> Self {
        let [l4, l3, l2, page] = Frame::alloc_many();
        let leaves: [Frame; LEAVES] = Frame::alloc_many();
        l4.write(memory::index(va, 4), entry(l3.mfn(), TABLE));
        l3.write(memory::index(va, 3), entry(l2.mfn(), TABLE));
        for (slot, leaf) in leaves.into_iter().enumerate() {
            l2.write(slot, entry(leaf.mfn(), TABLE));
            (0..512).for_each(|slot| leaf.write(slot, entry(page.mfn(), KERNEL_RW)));
            memory::make_readonly(leaf);
        }
        [l4, l3, l2].into_iter().for_each(memory::make_readonly);
        Self { l4, l3 }
    }
}
