//! Arrays of any length are worked off, however often the hypervisor interrupts itself; what can't be read ends
//! them.

use super::super::prelude::*;
use crate::grant::{Table, map, mapping, operate};
use crate::memory::{SPARE, Tables};
use guest_abi::grant_op::{GrantTableOp, MapFlags, MapGrantRef, UnmapGrantRef};

const COUNT: usize = 4000;
static mut MAPS: [MapGrantRef; COUNT] = [const { zerocopy::transmute!([0u8; 32]) }; COUNT];
static mut UNMAPS: [UnmapGrantRef; COUNT] = [const { zerocopy::transmute!([0u8; 24]) }; COUNT];

pub(crate) fn run() {
    let port = crate::clock::bind_timer();
    event::unmask_upcalls();
    let table = Table::map(8);
    let _tables = Tables::hook(SPARE);
    let frame = Frame::alloc();
    let (maps, unmaps) = (&raw mut MAPS, &raw mut UNMAPS);
    // SAFETY: only this function, once, uses them.
    let (maps, unmaps) = unsafe { (&mut *maps, &mut *unmaps) };
    for (gref, op) in (8..).zip(maps.iter_mut()) {
        table.grant(gref, frame);
        *op = mapping(MapFlags::DEVICE_MAP, gref, 0);
    }
    crate::clock::set_timer(crate::clock::now_ns() + crate::clock::MS / 4);
    assert_eq!(operate(GrantTableOp::MapGrantRef, maps), Ok(0));
    for (op, gref) in maps.iter().zip(8..) {
        assert_eq!(op.status, 0, "{gref}");
        assert_eq!(table.uses(gref), (true, true));
    }
    for (unmap, map) in unmaps.iter_mut().zip(maps.iter()) {
        unmap.handle = map.handle;
        unmap.dev_bus_addr = frame.mfn().address();
        unmap.status = 77;
    }
    assert_eq!(operate(GrantTableOp::UnmapGrantRef, unmaps), Ok(0));
    for (op, gref) in unmaps.iter().zip(8..) {
        assert_eq!(op.status, 0, "{gref}");
        assert_eq!(table.uses(gref), (false, false));
    }
    smp::wait_until("the timer", || event::count(port) > 0);

    // An array that ends in a page that is not there: what was read is done.
    let [first, second] = Frame::alloc_many();
    crate::reservation::unmap(second);
    let ops = (first.va().0 + 4096 - 64) as *mut MapGrantRef;
    // SAFETY: within the first frame, to which nothing refers.
    unsafe {
        ops.write_volatile(mapping(MapFlags::DEVICE_MAP, 8, 0));
        ops.add(1)
            .write_volatile(mapping(MapFlags::DEVICE_MAP, 9, 0));
    }
    let number = GrantTableOp::MapGrantRef.number();
    let outcome = hypercall!(GrantTableOp, number, ops as u64, 3u64);
    assert_eq!(outcome, Err(Errno::EFAULT));
    assert_eq!(table.uses(8), (true, true));
    assert_eq!(table.uses(9), (true, true));
    assert_eq!(table.uses(10), (false, false));
    assert_eq!(map(mapping(MapFlags::DEVICE_MAP, 10, 0)).status, 0);
}
