//! The hypervisor's slots of a root can't be written, and what a new root holds there is replaced.

use super::super::prelude::*;
use crate::memory::{PRESENT, SPARE, TABLE, Tables, entry};
use crate::start::start_info;
use guest_abi::address_space::{END_OF_HYPERVISOR_SLOTS, FIRST_HYPERVISOR_SLOT};

pub(crate) fn run() {
    let root = Frame::at(start_info().pt_base);
    let tables = Tables::new(SPARE);
    for slot in FIRST_HYPERVISOR_SLOT..END_OF_HYPERVISOR_SLOTS {
        // Garbage, and a table that would be right elsewhere.
        let garbage = if slot % 2 == 0 {
            u64::MAX
        } else {
            entry(tables.l3.mfn(), TABLE)
        };
        tables.l4.write(slot, garbage);
    }
    tables.protect();
    assert_eq!(memory::pin(4, tables.l4.mfn()), Ok(0));
    for slot in FIRST_HYPERVISOR_SLOT..END_OF_HYPERVISOR_SLOTS {
        for value in [entry(tables.l3.mfn(), TABLE), 0, PRESENT] {
            let before = root.read(slot);
            let outcome = memory::set_entry(root.word_address(slot), value);
            assert_eq!(outcome, Err(Errno::EINVAL), "slot {slot}, entry {value:#x}");
            assert_eq!(root.read(slot), before);
        }
        let found = tables.l4.read(slot);
        assert_ne!(found, u64::MAX, "slot {slot} of the new root");
        assert_ne!(
            found,
            entry(tables.l3.mfn(), TABLE),
            "slot {slot} of the new root"
        );
    }
}
