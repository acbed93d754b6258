//! While one vCPU pins a frame as a table and another maps it writable, never do both hold it, and what is
//! pinned is valid.

use super::super::prelude::*;
use crate::clock::{MS, now_ns};
use crate::memory::{GLOBAL, KERNEL_RO, KERNEL_RW, TABLE, entry};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst};

static TABLE_FRAME: AtomicU64 = AtomicU64::new(0);
static IS_WRITABLE: AtomicBool = AtomicBool::new(false);
static IS_PINNED: AtomicBool = AtomicBool::new(false);
static IS_OVER: AtomicBool = AtomicBool::new(false);
static TIMES_WRITABLE: AtomicU32 = AtomicU32::new(0);
static IS_DOWN: AtomicBool = AtomicBool::new(false);

fn table() -> Frame {
    Frame::of_pfn(Pfn(TABLE_FRAME.load(SeqCst)))
}

/// Maps it writable, writes what no table may hold, takes it back, gives write access up.
fn write(_: VcpuId) {
    let table = table();
    let writable = entry(table.mfn(), KERNEL_RW);
    let readonly = entry(table.mfn(), KERNEL_RO);
    while !IS_OVER.load(SeqCst) {
        if memory::update_va_mapping(table.va(), writable, 2).is_ok() {
            IS_WRITABLE.store(true, SeqCst);
            let good = table.read(0);
            table.write(0, good | GLOBAL);
            assert!(!IS_PINNED.load(SeqCst), "writable while it is pinned");
            table.write(0, good);
            IS_WRITABLE.store(false, SeqCst);
            TIMES_WRITABLE.fetch_add(1, SeqCst);
            assert_eq!(memory::update_va_mapping(table.va(), readonly, 2), Ok(0));
        }
    }
    IS_DOWN.store(true, SeqCst);
}

pub(crate) fn run() {
    smp::need(2);
    let [table, below] = Frame::alloc_many();
    memory::make_readonly(below);
    table.write(0, entry(below.mfn(), TABLE));
    memory::make_readonly(table);
    TABLE_FRAME.store(table.pfn().0, SeqCst);
    smp::start(VcpuId(1), write);

    let mut times_pinned = 0;
    let deadline = now_ns() + 1500 * MS;
    while now_ns() < deadline || times_pinned < 20 || TIMES_WRITABLE.load(SeqCst) < 20 {
        assert!(
            now_ns() < deadline + 20_000 * MS,
            "one of the two never had it"
        );
        match memory::pin(2, table.mfn()) {
            Ok(_) => {
                IS_PINNED.store(true, SeqCst);
                assert!(!IS_WRITABLE.load(SeqCst), "pinned while it is writable");
                assert_eq!(table.read(0) & GLOBAL, 0, "a bad entry in a valid table");
                IS_PINNED.store(false, SeqCst);
                assert_eq!(memory::unpin(table.mfn()), Ok(0));
                times_pinned += 1;
            }
            Err(errno) => assert_eq!(errno, Errno::EINVAL),
        }
        // Where both share a processor, the other one needs a chance.
        if times_pinned % 8 == 0 {
            let _ = hypercall!(SchedOp, 0u64);
        }
    }
    IS_OVER.store(true, SeqCst);
    smp::wait_until("the other vCPU", || IS_DOWN.load(SeqCst));
    memory::make_writable(below);
}
