//! Frames that are not the domain's can't be mapped and can't be tables: the hypervisor's, those that
//! nobody has, and those that the domain has given back.

use super::super::prelude::*;
use crate::memory::{KERNEL_RO, KERNEL_RW, MachineMap, SPARE, TABLE, Tables, entry};
use guest_abi::address_space::M2P_INVALID;
use guest_abi::memory_map::E820Entry;
use guest_abi::memory_op::MemoryOp;

pub(crate) fn run() {
    let hooked = Tables::hook(SPARE);
    let Ok(end) = hypercall!(MemoryOp, MemoryOp::MaximumRamPage.number(), 0u64) else {
        panic!("the highest frame is not known");
    };
    // (Some of the) frames of the machine's memory that are nobody's or the hypervisor's, from its top down: each is
    // memory, since frames around it are.
    let mut one = [E820Entry::new_zeroed()];
    assert_eq!(MachineMap::ask(&mut one).0, Err(Errno::EINVAL), "no room");
    let map = MachineMap::read();
    let mut tried = 0;
    for mfn in (0x200..end).rev().map(Mfn) {
        if Frame::of_mfn(mfn).pfn() != Pfn(M2P_INVALID) || !map.is_ram(mfn) {
            continue;
        }
        tried += 1;
        if tried % 1024 != 1 {
            continue;
        }
        for flags in [KERNEL_RO, KERNEL_RW] {
            let outcome = memory::set_entry(hooked.l1.word_address(1), entry(mfn, flags));
            assert!(outcome.is_err(), "{mfn} can be mapped with {flags:#x}");
        }
        for (level, table) in [(2, hooked.l2), (3, hooked.l3), (4, hooked.l4)] {
            let outcome = memory::set_entry(table.word_address(300), entry(mfn, TABLE));
            assert!(outcome.is_err(), "{mfn} can be a table below level {level}");
            assert!(memory::pin(level - 1, mfn).is_err(), "{mfn} can be pinned");
        }
    }
    assert!(tried > 100, "only {tried} frames are not the domain's");
}
