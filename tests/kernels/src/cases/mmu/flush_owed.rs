//! What a vCPU can still write to by an entry that is gone, because nobody has flushed it, becomes no page table and nobody
//! else's memory before it can't any more; and a grant that is unmapped is out of reach of all of them.

use super::super::prelude::*;
use crate::control;
use crate::grant::{Table, map_well, unmap};
use crate::memory::{KERNEL_RW, SPARE, Tables, entry};
use crate::reservation;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use guest_abi::grant_op::MapFlags;
use guest_abi::memory_op::MemoryOp;

const ROUNDS: usize = 24;
const GRANT: u32 = 9;

/// No write of the other vCPU that begins from now on may succeed.
static IS_GONE: AtomicBool = AtomicBool::new(false);
static IS_OVER: AtomicBool = AtomicBool::new(false);
static IS_DOWN: AtomicBool = AtomicBool::new(false);
static WRITES: AtomicU64 = AtomicU64::new(0);
static FAULTS: AtomicU64 = AtomicU64::new(0);

/// Writes what any table may hold.
fn write(vcpu: VcpuId) {
    stay_on_its_own(vcpu);
    while !IS_OVER.load(SeqCst) {
        let is_gone = IS_GONE.load(SeqCst);
        let trap = probe!("mov qword ptr [{at}], 0"; at = in(reg) SPARE.0);
        if trap.is_some() {
            FAULTS.fetch_add(1, SeqCst);
        } else {
            assert!(!is_gone, "writes by an entry that is gone");
            WRITES.fetch_add(1, SeqCst);
        }
    }
    IS_DOWN.store(true, SeqCst);
}

/// Waits until the other vCPU has begun to write since, and has done it or failed to. Whether it has.
fn has_written() -> bool {
    let (writes, faults) = (WRITES.load(SeqCst), FAULTS.load(SeqCst));
    let has = || {
        (
            WRITES.load(SeqCst) > writes + 1,
            FAULTS.load(SeqCst) > faults + 1,
        )
    };
    smp::wait_until("the other vCPU", || has() != (false, false));
    has().0
}

/// This vCPU keeps to the processor of its number, if there is one.
fn stay_on_its_own(vcpu: VcpuId) {
    if vcpu.0 < control::physical_processors() {
        assert_eq!(smp::pin_override(vcpu.0 as i32), Ok(0));
    }
}

/// From here on it must not write.
fn is_gone() {
    IS_GONE.store(true, SeqCst);
    assert!(!has_written(), "writes by an entry that is gone");
}

pub(crate) fn run() {
    smp::need(2);
    let hooked = Tables::hook(SPARE);
    let address = hooked.l1.word_address(0);
    let grants = Table::map(1);
    stay_on_its_own(VcpuId(0));
    smp::start(VcpuId(1), write);
    // Entries that were used after they were gone: of frames that became tables, and of those given up.
    let mut stale = [0; 2];
    let mut again = 0;
    for round in 0..ROUNDS {
        let frame = Frame::alloc();
        frame.write(0, 0);
        reservation::unmap(frame);
        let map = |stale: &mut u32| {
            assert_eq!(
                memory::set_entry(address, entry(frame.mfn(), KERNEL_RW)),
                Ok(0)
            );
            smp::wait_until("writes", has_written);
            assert_eq!(memory::set_entry(address, 0), Ok(0));
            *stale += u32::from(has_written());
        };
        match round % 3 {
            // It becomes a table.
            0 => {
                map(&mut stale[0]);
                assert_eq!(memory::pin(1, frame.mfn()), Ok(0));
                is_gone();
                assert_eq!(memory::unpin(frame.mfn()), Ok(0));
            }
            // It is given up, and given to somebody: here again, mostly.
            1 => {
                map(&mut stale[1]);
                let mut list = [frame.mfn().0];
                let given = reservation::extents(&mut list, 0);
                let done = reservation::reserve(MemoryOp::DecreaseReservation, given);
                assert_eq!(done, Ok(1));
                let mut list = [frame.pfn().0];
                let wanted = reservation::extents(&mut list, 0);
                let done = reservation::reserve(MemoryOp::PopulatePhysmap, wanted);
                assert_eq!(done, Ok(1));
                if list == [frame.mfn().0] {
                    is_gone();
                    again += 1;
                }
            }
            // It was mapped by a grant.
            _ => {
                grants.grant(GRANT, frame);
                let mapped = map_well(MapFlags::HOST_MAP, GRANT, SPARE.0);
                smp::wait_until("writes", has_written);
                assert_eq!(unmap(mapped.handle, SPARE.0, 0), 0);
                is_gone();
            }
        }
        IS_GONE.store(false, SeqCst);
        // It has seen that.
        has_written();
    }
    let [tables, given_up] = stale;
    println!(
        "{tables} entries of tables and {given_up} of frames given up were used after they were gone; {again} frames came back"
    );
    if control::physical_processors() > 1 {
        assert!(
            tables > 0 && given_up > 0 && again > 0,
            "nothing was stale: nothing was tested"
        );
    } else {
        println!("one processor: no entry can be stale, because a switch between vCPUs flushes");
    }
    IS_OVER.store(true, SeqCst);
    smp::wait_until("the other vCPU", || IS_DOWN.load(SeqCst));
}
