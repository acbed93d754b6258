//! A mapping for reading can't be written through, and what is granted for reading only is mapped for nothing
//! else, whichever way it is tried.

use super::super::prelude::*;
use crate::grant::{Table, map, map_well, mapping, unmap};
use crate::memory::{KERNEL_RW, SPARE, Tables, WRITABLE, entry, set_entry};
use guest_abi::grant_op::{GrantStatus, MapFlags};

pub(crate) fn run() {
    let table = Table::map(1);
    let tables = Tables::hook(SPARE);
    let frame = Frame::alloc();
    table.grant_readonly(10, frame);
    let general = GrantStatus::GeneralError.number();
    let refused = map(mapping(MapFlags::HOST_MAP, 10, SPARE.0));
    assert_eq!(refused.status, general);
    assert_eq!(table.uses(10), (false, false));
    assert_eq!(tables.l1.read(0), 0);

    let readonly = MapFlags::HOST_MAP | MapFlags::READONLY;
    let done = map_well(readonly, 10, SPARE.0);
    assert_eq!(table.uses(10), (true, false));
    assert_eq!(tables.l1.read(0) & WRITABLE, 0);
    let fault = probe!("mov qword ptr [{at}], 1"; at = in(reg) SPARE.0);
    assert_eq!(fault.map(|fault| fault.frame.vector), Some(PF));
    // Not for writing, while it is mapped for reading.
    let refused = map(mapping(MapFlags::HOST_MAP, 10, SPARE.0 + 0x1000));
    assert_eq!(refused.status, general);
    assert_eq!(table.uses(10), (true, false));
    // Unmapped with its own rights, by its own address.
    assert_eq!(unmap(done.handle, SPARE.0 + 0x1000, 0), general);
    assert_eq!(table.uses(10), (true, false));
    assert_eq!(unmap(done.handle, SPARE.0, 0), 0);
    assert_eq!(table.uses(10), (false, false));
    // A frame that is a page table can be granted for reading, not for writing.
    table.grant(11, tables.l1);
    assert_eq!(
        map(mapping(MapFlags::HOST_MAP, 11, SPARE.0)).status,
        general
    );
    assert_eq!(table.uses(11), (false, false));
    let done = map_well(readonly, 11, SPARE.0);
    assert_eq!(unmap(done.handle, SPARE.0, 0), 0);
    assert_eq!(
        set_entry(tables.l1.word_address(3), entry(frame.mfn(), KERNEL_RW)),
        Ok(0)
    );
}
