//! A granted frame is mapped at an address, for writing: it is the frame, the entry says that it is in use, and after
//! unmapping neither is true.

use super::super::prelude::*;
use crate::grant::{Table, map_well, unmap};
use crate::memory::{DIRTY, NO_EXECUTE, PRESENT, SPARE, Tables, WRITABLE};
use guest_abi::grant_op::MapFlags;

pub(crate) fn run() {
    let table = Table::map(1);
    let tables = Tables::hook(SPARE);
    let frame = Frame::alloc();
    frame.write(5, 0x1111);
    table.grant(9, frame);
    assert_eq!(table.uses(9), (false, false));

    let done = map_well(MapFlags::HOST_MAP, 9, SPARE.0);
    assert_eq!(done.dev_bus_addr, frame.mfn().address());
    assert_ne!(done.handle, u32::MAX);
    assert_eq!(table.uses(9), (true, true));
    let entry = tables.l1.read(0);
    let wanted = PRESENT | WRITABLE | DIRTY | NO_EXECUTE;
    assert_eq!(entry & wanted, wanted, "{entry:#x}");
    assert_eq!(entry >> 12 & 0xff_ffff_ffff, frame.mfn().0);
    // SAFETY: just mapped; nothing refers to what lies there.
    unsafe {
        let at = (SPARE.0 as *mut u64).add(5);
        assert_eq!(at.read_volatile(), 0x1111);
        at.write_volatile(0x2222);
    }
    assert_eq!(frame.read(5), 0x2222);

    // A second mapping of the same grant, for reading.
    let second = map_well(MapFlags::HOST_MAP | MapFlags::READONLY, 9, SPARE.0 + 0x1000);
    assert_ne!(second.handle, done.handle);
    assert_eq!(unmap(done.handle, SPARE.0, 0), 0);
    assert_eq!(tables.l1.read(0), 0);
    assert_eq!(table.uses(9), (true, false));
    assert_eq!(unmap(second.handle, SPARE.0 + 0x1000, 0), 0);
    assert_eq!(table.uses(9), (false, false));
    assert_eq!(table.flags(9), 1);
}
