//! The frames of the machine-to-physical table are listed, 2 MiB each, can be mapped by who looks after domains,
//! and hold what the table shows; never for writing.

use super::super::prelude::*;
use crate::memory::{KERNEL_RO, KERNEL_RW, SPARE, Tables, entry, update};
use guest_abi::memory_map::MachphysMfnList;
use guest_abi::memory_op::MemoryOp;

pub(crate) fn run() {
    let mut list = [0u64; 64];
    let ask = |list: &mut [u64]| {
        let mut op = MachphysMfnList::new_zeroed();
        op.max_extents = list.len() as u32;
        op.extent_start = Vaddr(list.as_mut_ptr() as u64);
        let outcome = hypercall!(MemoryOp, MemoryOp::MachphysMfnList.number(), &mut op);
        (outcome, op.nr_extents)
    };
    assert_eq!(ask(&mut list[..0]), (Ok(0), 0));
    assert_eq!(ask(&mut list[..1]), (Ok(0), 1));
    let first = list[0];
    let (outcome, count) = ask(&mut list);
    assert_eq!(outcome, Ok(0));
    assert!((1..64).contains(&count), "{count}");
    assert_eq!(list[0], first);
    assert!(list[..count as usize].iter().all(|mfn| mfn % 512 == 0));

    let tables = Tables::hook(SPARE);
    let frame = Frame::alloc();
    let index = frame.mfn().0 as usize;
    let mfn = Mfn(list[index >> 18] + (index >> 9 & 511) as u64);
    let map = |flags: u64, owner: DomId| {
        let updates = [update(tables.l1.word_address(0), entry(mfn, flags))];
        let mut done = 0u32;
        hypercall!(MmuUpdate, &updates[..], 1u64, &mut done, owner)
    };
    assert!(map(KERNEL_RW, DomId::XEN).is_err());
    assert!(map(KERNEL_RO, DomId::SELF).is_err());
    assert_eq!(map(KERNEL_RO, DomId::XEN), Ok(0));
    // SAFETY: just mapped; a fault is reported.
    let seen = unsafe { ((SPARE.0 + (index as u64 & 511) * 8) as *const u64).read_volatile() };
    assert_eq!(Pfn(seen), frame.pfn());
}
