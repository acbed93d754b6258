//! A mapping named by the machine address of its entry, for a process's page, with the bits that are the guest's.

use super::super::prelude::*;
use crate::grant::{Table, map, map_well, mapping, unmap};
use crate::memory::{PRESENT, SPARE, Tables, USER, WRITABLE};
use guest_abi::grant_op::{GrantStatus, MapFlags};

const KERNEL_PAGE: u64 = 1 << 52;

pub(crate) fn run() {
    let table = Table::map(1);
    let tables = Tables::hook(SPARE);
    let frame = Frame::alloc();
    table.grant(13, frame);
    let at = tables.l1.word_address(7);
    let by_entry = MapFlags::HOST_MAP | MapFlags::CONTAINS_PTE;
    let application = by_entry | MapFlags::APPLICATION_MAP;
    let done = map_well(application | MapFlags::GUEST_AVAIL0, 13, at);
    let entry = tables.l1.read(7);
    let wanted = PRESENT | WRITABLE | USER | 1 << 9;
    assert_eq!(
        entry & (wanted | 6 << 9 | KERNEL_PAGE),
        wanted,
        "{entry:#x}"
    );
    assert_eq!(entry >> 12 & 0xff_ffff_ffff, frame.mfn().0);
    assert_eq!(unmap(done.handle, at, 0), 0);
    assert_eq!(tables.l1.read(7), 0);
    let high = MapFlags::GUEST_AVAIL1 | MapFlags::GUEST_AVAIL2;
    let done = map_well(by_entry | high, 13, at);
    let entry = tables.l1.read(7);
    assert_eq!(entry & (7 << 9 | KERNEL_PAGE), 6 << 9 | KERNEL_PAGE);
    assert_eq!(unmap(done.handle, at, 0), 0);

    // Not an entry; not in a table of level 1; not in one's own memory; nowhere.
    let general = GrantStatus::GeneralError.number();
    let plain = Frame::alloc();
    for wrong in [
        at + 4,
        plain.word_address(0),
        tables.l2.word_address(300),
        0x1000,
        0xf_ffff_ffff_f000,
    ] {
        let refused = map(mapping(by_entry, 13, wrong));
        assert_eq!(refused.status, general, "{wrong:#x}");
        assert_eq!(table.uses(13), (false, false));
    }
}
