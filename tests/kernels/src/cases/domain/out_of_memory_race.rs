//! vCPUs are made while another processor takes the last memory that there is, and gives it back: some can't be made, and
//! that is all.

use super::super::prelude::*;
use super::out_of_memory::take_all;
use crate::clock::{MS, now_ns};
use crate::control::{self, Guest, control, create, free_frames, ordinary, simple};
use core::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, Ordering::SeqCst};
use guest_abi::domctl::DomctlOp;
use guest_abi::domctl_memory::MaxMem;
use guest_abi::domctl_vcpu::MaxVcpus;
use guest_abi::memory_op::{MemoryOp, Reservation};

/// Blocks that come and go, of 16 frames: enough for some of the vCPUs, and not for all.
const BLOCKS: usize = 12;
const ORDER: u32 = 4;
const VCPUS: u32 = 128;

static GLUTTON: AtomicU16 = AtomicU16::new(0);
/// The other vCPU may take blocks, and may have some.
static MAY_TAKE: AtomicBool = AtomicBool::new(false);
static IS_OVER: AtomicBool = AtomicBool::new(false);
static HAS_TAKEN: AtomicBool = AtomicBool::new(false);
static TIMES_TAKEN: AtomicU32 = AtomicU32::new(0);

/// Takes blocks for the glutton, or gives them back. Says how many.
fn change(op: MemoryOp, blocks: &mut [u64]) -> usize {
    let mut reservation = Reservation::new_zeroed();
    reservation.extent_start = Vaddr(blocks.as_mut_ptr() as u64);
    reservation.nr_extents = blocks.len() as u64;
    reservation.extent_order = ORDER;
    reservation.domid = DomId(GLUTTON.load(SeqCst));
    let outcome = hypercall!(MemoryOp, op.number(), &mut reservation);
    outcome.expect("as many as there are") as usize
}

fn take_and_give(_: VcpuId) {
    let mut blocks = [0; BLOCKS];
    loop {
        smp::wait_until("its turn", || MAY_TAKE.load(SeqCst) || IS_OVER.load(SeqCst));
        if IS_OVER.load(SeqCst) {
            return;
        }
        HAS_TAKEN.store(true, SeqCst);
        // Not in the time between the end of its turn and the other's look at that.
        if MAY_TAKE.load(SeqCst) {
            let taken = change(MemoryOp::IncreaseReservation, &mut blocks);
            let blocks = &mut blocks[..taken];
            assert_eq!(change(MemoryOp::DecreaseReservation, blocks), taken);
            TIMES_TAKEN.fetch_add(u32::from(taken != 0), SeqCst);
        }
        HAS_TAKEN.store(false, SeqCst);
    }
}

/// One that takes all memory but for some blocks, which come and go while vCPUs of another are made.
fn race(duration_ms: u64) {
    let glutton = create(&ordinary(1)).expect("no domain");
    let most = MaxMem {
        max_memkb: u64::MAX,
    };
    assert_eq!(control(DomctlOp::MaxMem, glutton, &most), Ok(0));
    let small = create(&ordinary(VCPUS)).expect("no domain");
    let mut blocks = [0; BLOCKS];
    GLUTTON.store(glutton.0, SeqCst);
    assert_eq!(change(MemoryOp::IncreaseReservation, &mut blocks), BLOCKS);
    for order in [9, ORDER, 0] {
        take_all(glutton, order);
    }
    assert_eq!(change(MemoryOp::DecreaseReservation, &mut blocks), BLOCKS);

    let taken_before = TIMES_TAKEN.load(SeqCst);
    let start = now_ns();
    MAY_TAKE.store(true, SeqCst);
    // The reference has memory for vCPUs that it keeps from domains.
    let is_enough = || control::is_reference() || TIMES_TAKEN.load(SeqCst) >= taken_before + 20;
    while now_ns() < start + duration_ms * MS || !is_enough() {
        assert!(
            now_ns() < start + 20_000 * MS,
            "one of the two never got anywhere"
        );
        let made = control(DomctlOp::MaxVcpus, small, &MaxVcpus { max: VCPUS });
        assert!(made == Err(Errno::ENOMEM) || (control::is_reference() && made == Ok(0)));
    }
    MAY_TAKE.store(false, SeqCst);
    smp::wait_until("the other vCPU", || !HAS_TAKEN.load(SeqCst));
    for id in [glutton, small] {
        assert_eq!(simple(DomctlOp::DestroyDomain, id), Ok(0));
    }
}

pub(crate) fn run() {
    smp::need(2);
    smp::start(VcpuId(1), take_and_give);
    // What stays comes to be: room for so many vCPUs in the queues of all processors.
    Guest::empty(1).end();
    let others = [1, 1, VCPUS].map(|vcpus| create(&ordinary(vcpus)).expect("no domain"));
    let all = MaxVcpus { max: VCPUS };
    assert_eq!(control(DomctlOp::MaxVcpus, others[2], &all), Ok(0));
    for id in others {
        assert_eq!(simple(DomctlOp::DestroyDomain, id), Ok(0));
    }
    race(100);
    let before = free_frames();
    race(1000);
    IS_OVER.store(true, SeqCst);
    let left = before.abs_diff(free_frames());
    let most = if control::is_reference() { 2048 } else { 0 };
    assert!(left <= most, "{left} frames are gone");
    Guest::empty(2).end();
}
