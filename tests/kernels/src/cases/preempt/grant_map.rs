//! Many grants are mapped, as a device's addresses, and unmapped.

use super::super::prelude::*;
use super::{gives_way, listen};
use crate::grant::{Table, mapping, operate};
use core::cell::{Cell, RefCell};
use guest_abi::grant_op::{GrantTableOp, MapFlags, MapGrantRef, UnmapGrantRef};

const COUNT: usize = 4000;
static mut MAPS: [MapGrantRef; COUNT] = [const { zerocopy::transmute!([0u8; 32]) }; COUNT];
static mut UNMAPS: [UnmapGrantRef; COUNT] = [const { zerocopy::transmute!([0u8; 24]) }; COUNT];

pub(crate) fn run() {
    listen();
    let table = Table::map(8);
    let frame = Frame::alloc();
    (8..).take(COUNT).for_each(|gref| table.grant(gref, frame));
    let (maps, unmaps) = (&raw mut MAPS, &raw mut UNMAPS);
    // SAFETY: only this function, once, uses them.
    let (maps, unmaps) = unsafe { (RefCell::new(&mut *maps), RefCell::new(&mut *unmaps)) };
    let is_mapped = Cell::new(false);
    let map = || {
        let maps = &mut **maps.borrow_mut();
        for (gref, op) in (8..).zip(maps.iter_mut()) {
            *op = mapping(MapFlags::DEVICE_MAP, gref, 0);
        }
        assert_eq!(operate(GrantTableOp::MapGrantRef, maps), Ok(0));
        is_mapped.set(true);
    };
    let unmap = || {
        let unmaps = &mut **unmaps.borrow_mut();
        for (unmap, map) in unmaps.iter_mut().zip(maps.borrow().iter()) {
            unmap.handle = map.handle;
            unmap.dev_bus_addr = frame.mfn().address();
            unmap.status = 77;
        }
        assert_eq!(operate(GrantTableOp::UnmapGrantRef, unmaps), Ok(0));
        is_mapped.set(false);
    };
    let all_are = |used: bool| {
        (8..)
            .take(COUNT)
            .all(|gref| table.uses(gref) == (used, used))
    };
    gives_way(
        "map_grant_ref",
        || {
            if is_mapped.get() {
                unmap()
            }
        },
        map,
    );
    assert!(maps.borrow().iter().all(|op| op.status == 0));
    assert!(all_are(true));
    gives_way(
        "unmap_grant_ref",
        || {
            if !is_mapped.get() {
                map()
            }
        },
        unmap,
    );
    assert!(unmaps.borrow().iter().all(|op| op.status == 0));
    assert!(all_are(false));
}
