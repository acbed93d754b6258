//! Unmapping moves another page's entry into the place of the mapping.

use super::super::prelude::*;
use crate::grant::{Table, map_well, operate};
use crate::memory::{FRAME_MASK, KERNEL_RW, SPARE, Tables, entry, set_entry};
use guest_abi::grant_op::{GrantStatus, GrantTableOp, MapFlags, UnmapAndReplace};

fn replace(handle: u32, host_addr: u64, new_addr: u64) -> i16 {
    let mut op = UnmapAndReplace::new_zeroed();
    (op.handle, op.host_addr, op.new_addr) = (handle, host_addr, new_addr);
    op.status = 77;
    let mut ops = [op];
    assert_eq!(operate(GrantTableOp::UnmapAndReplace, &mut ops), Ok(0));
    ops[0].status
}

pub(crate) fn run() {
    let table = Table::map(1);
    let tables = Tables::hook(SPARE);
    let [granted, other] = Frame::alloc_many();
    other.write(1, 0x77);
    let second = SPARE.0 + 0x5000;
    let place = tables.l1.word_address(5);
    assert_eq!(set_entry(place, entry(other.mfn(), KERNEL_RW)), Ok(0));
    table.grant(18, granted);

    let done = map_well(MapFlags::HOST_MAP, 18, SPARE.0);
    let general = GrantStatus::GeneralError.number();
    // From nowhere.
    assert_eq!(replace(done.handle, SPARE.0, SPARE.0 + (2 << 39)), general);
    assert_eq!(table.uses(18), (true, true));
    let bad_handle = GrantStatus::BadHandle.number();
    assert_eq!(replace(done.handle + 1000, SPARE.0, second), bad_handle);
    assert_eq!(replace(done.handle, SPARE.0, second), 0);
    assert_eq!(table.uses(18), (false, false));
    assert_eq!(tables.l1.read(0) & FRAME_MASK, other.mfn().address());
    assert_eq!(tables.l1.read(5), 0);
    // SAFETY: just mapped; nothing refers to what lies there.
    let seen = unsafe { (SPARE.0 as *const u64).add(1).read_volatile() };
    assert_eq!(seen, 0x77);
    assert_eq!(replace(done.handle, SPARE.0, second), bad_handle);

    // By nothing.
    let done = map_well(MapFlags::HOST_MAP, 18, second);
    assert_eq!(replace(done.handle, second, 0), 0);
    assert_eq!(tables.l1.read(5), 0);
    assert_eq!(table.uses(18), (false, false));
}
