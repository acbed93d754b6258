//! A mapping for devices alone, and one for both: each kind is unmapped by what was told for it, in any order.

use super::super::prelude::*;
use crate::grant::{Table, map_well, unmap};
use crate::memory::{SPARE, Tables};
use guest_abi::grant_op::{GrantStatus, MapFlags};

pub(crate) fn run() {
    let table = Table::map(1);
    let tables = Tables::hook(SPARE);
    let frame = Frame::alloc();
    let bus = frame.mfn().address();
    table.grant(12, frame);
    let done = map_well(MapFlags::DEVICE_MAP, 12, 0);
    assert_eq!(done.dev_bus_addr, bus);
    assert_eq!(table.uses(12), (true, true));
    assert_eq!(tables.l1.read(0), 0);
    let bad = GrantStatus::BadDevAddr.number();
    assert_eq!(unmap(done.handle, 0, bus + 4096), bad);
    assert_eq!(table.uses(12), (true, true));
    assert_eq!(unmap(done.handle, 0, bus), 0);
    assert_eq!(table.uses(12), (false, false));

    let both = MapFlags::DEVICE_MAP | MapFlags::HOST_MAP | MapFlags::READONLY;
    for host_first in [true, false] {
        let done = map_well(both, 12, SPARE.0);
        assert_eq!(table.uses(12), (true, false));
        let (first, second) = if host_first {
            ((SPARE.0, 0), (0, bus))
        } else {
            ((0, bus), (SPARE.0, 0))
        };
        assert_eq!(unmap(done.handle, first.0, first.1), 0);
        assert_eq!(table.uses(12), (true, false));
        assert_eq!(unmap(done.handle, second.0, second.1), 0);
        assert_eq!(table.uses(12), (false, false));
        assert_eq!(tables.l1.read(0), 0);
    }
    // Both at once.
    let done = map_well(both, 12, SPARE.0);
    assert_eq!(unmap(done.handle, SPARE.0, bus), 0);
    assert_eq!(table.uses(12), (false, false));
}
