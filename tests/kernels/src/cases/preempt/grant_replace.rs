//! Many mappings of a grant are unmapped, and nothing or another page takes their places.

use super::super::prelude::*;
use super::{gives_way, listen};
use crate::grant::{Table, mapping, operate};
use crate::memory::{SPARE, Tables};
use core::cell::RefCell;
use guest_abi::grant_op::{GrantTableOp, MapFlags, MapGrantRef, UnmapAndReplace};

/// As many as a level-1 table has places for.
const PAGES: usize = 512;
/// Tables.
const TABLES: usize = 6;
const COUNT: usize = PAGES * TABLES;
static mut MAPS: [MapGrantRef; COUNT] = [const { zerocopy::transmute!([0u8; 32]) }; COUNT];
static mut OPS: [UnmapAndReplace; COUNT] = [const { zerocopy::transmute!([0u8; 24]) }; COUNT];

pub(crate) fn run() {
    listen();
    let table = Table::map(8);
    let frame = Frame::alloc();
    // A grant can be in use a limited number of times: one for each mapping.
    let grefs = || (8..).take(COUNT);
    grefs().for_each(|gref| table.grant(gref, frame));
    // A root slot for each.
    let tables: [Tables; TABLES] =
        core::array::from_fn(|index| Tables::hook(Vaddr(SPARE.0 + ((2 + index as u64) << 39))));
    let address = |index: usize| {
        SPARE.0 + ((2 + index / PAGES) << 39) as u64 + ((index % PAGES) << 12) as u64
    };
    let (maps, ops) = (&raw mut MAPS, &raw mut OPS);
    // SAFETY: only this function, once, uses them.
    let (maps, ops) = unsafe { (RefCell::new(&mut *maps), &mut *ops) };
    gives_way(
        "unmap_and_replace",
        || {
            let maps = &mut **maps.borrow_mut();
            for ((index, op), gref) in maps.iter_mut().enumerate().zip(grefs()) {
                *op = mapping(MapFlags::HOST_MAP, gref, address(index));
            }
            assert_eq!(operate(GrantTableOp::MapGrantRef, maps), Ok(0));
            assert!(maps.iter().all(|op| op.status == 0));
        },
        || {
            for (index, (op, map)) in ops.iter_mut().zip(maps.borrow().iter()).enumerate() {
                (op.handle, op.host_addr, op.new_addr) = (map.handle, address(index), 0);
                op.status = 77;
            }
            assert_eq!(operate(GrantTableOp::UnmapAndReplace, ops), Ok(0));
            assert!(ops.iter().all(|op| op.status == 0));
        },
    );
    assert!(grefs().all(|gref| table.uses(gref) == (false, false)));
    for table in tables {
        assert!((0..PAGES).all(|slot| table.l1.read(slot) == 0));
    }
}
