//! The number of a domain that is gone is given out anew only when no call works with that domain any more.

use super::super::prelude::*;
use crate::control::{
    DATA, FRAMES, Guest, domctl, exists, is_reference, ordinary, physical_processors, simple,
};
use crate::memory::typed_update;
use core::hint::spin_loop;
use core::sync::atomic::{AtomicU32, Ordering::SeqCst};
use guest_abi::domctl::DomctlOp;
use guest_abi::mmu::{MmuUpdate, MmuUpdateType};
use guest_abi::payload::Payload;

user_code!(lives_shortly, "2: inc qword ptr [rsi]", "jmp 2b");

const ROUNDS: u32 = 20;
/// A list that takes long.
const COUNT: usize = 40_000;
static mut LIST: [MmuUpdate; COUNT] = [const { MmuUpdate { ptr: 0, val: 0 } }; COUNT];

/// The domain whose tables the other vCPU's list is about, plus 1; 0 when that has ended.
static SUBJECT: AtomicU32 = AtomicU32::new(0);
static HAS_BEGUN: AtomicU32 = AtomicU32::new(0);

/// Makes a call that names a domain for long, and changes nothing of it.
fn work(_: VcpuId) {
    loop {
        let subject = SUBJECT.load(SeqCst);
        if subject == 0 {
            spin_loop();
            continue;
        }
        HAS_BEGUN.fetch_add(1, SeqCst);
        let who = u64::from(subject) << 16 | u64::from(DomId::SELF.0);
        // At its end the domain may be gone, or may have been before it began.
        let _ = hypercall!(MmuUpdate, &raw const LIST as u64, COUNT as u64, 0u64, who);
        SUBJECT.store(0, SeqCst);
    }
}

/// The number of a domain that has run and is gone.
fn of_one_that_ran() -> DomId {
    let guest = Guest::with_code(lives_shortly());
    guest.start();
    smp::wait_until("the guest", || guest.window.read(DATA, 0) != 0);
    assert_eq!(simple(DomctlOp::DestroyDomain, guest.id), Ok(0));
    guest.window.clear(FRAMES);
    assert!(!exists(guest.id));
    guest.id
}

pub(crate) fn run() {
    smp::need(2);
    let frame = Frame::alloc();
    let list = &raw mut LIST;
    // SAFETY: nobody else uses the list yet, and nobody writes it afterwards.
    for slot in unsafe { &mut *list } {
        let kind = MmuUpdateType::MachphysUpdate;
        *slot = typed_update(kind, frame.mfn().address(), frame.pfn().0);
    }
    smp::start(VcpuId(1), work);
    let wish = ordinary(1);
    let id = of_one_that_ran();
    let make = |id: DomId| domctl(DomctlOp::CreateDomain, id, &mut Payload::of(&wish));
    // Processors that it ran on let go of it on their own.
    smp::wait_until("the number of one that ran", || make(id).0 == Ok(0));
    let mut nr_kept = 0;
    for round in 1..=ROUNDS {
        SUBJECT.store(u32::from(id.0) + 1, SeqCst);
        smp::wait_until("the other's call", || HAS_BEGUN.load(SeqCst) == round);
        assert_eq!(simple(DomctlOp::DestroyDomain, id), Ok(0));
        assert!(!exists(id));
        let mut is_kept = false;
        loop {
            let is_busy = SUBJECT.load(SeqCst) != 0;
            let (outcome, got) = make(id);
            if outcome.is_ok() {
                assert_eq!(got, id);
                break;
            }
            assert_eq!(outcome, Err(Errno::EEXIST));
            assert!(is_busy, "it is kept though nobody works with it");
            is_kept = true;
        }
        nr_kept += u32::from(is_kept);
        smp::wait_until("the call's end", || SUBJECT.load(SeqCst) == 0);
    }
    assert_eq!(simple(DomctlOp::DestroyDomain, id), Ok(0));
    println!("in {nr_kept} of {ROUNDS} rounds the number was kept");
    // On one processor the call was interrupted, and finds the domain anew. The reference tells domains themselves apart.
    assert!(nr_kept > 0 || physical_processors() == 1 || is_reference());
}
