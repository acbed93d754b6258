//! The memory map that a domain is given is the one that it reads; without one there is none.

use super::super::prelude::*;
use guest_abi::memory_map::{E820Entry, E820Type, ForeignMemoryMap, MemoryMap};
use guest_abi::memory_op::MemoryOp;

fn set(dom: DomId, list: &mut [E820Entry]) -> Result<u64, Errno> {
    let mut op = ForeignMemoryMap::new_zeroed();
    op.domid = dom;
    op.map.nr_entries = list.len() as u32;
    op.map.buffer = Vaddr(list.as_mut_ptr() as u64);
    hypercall!(MemoryOp, MemoryOp::SetMemoryMap.number(), &mut op)
}

fn get(list: &mut [E820Entry]) -> (Result<u64, Errno>, u32) {
    let mut op = MemoryMap::new_zeroed();
    op.nr_entries = list.len() as u32;
    op.buffer = Vaddr(list.as_mut_ptr() as u64);
    let outcome = hypercall!(MemoryOp, MemoryOp::MemoryMap.number(), &mut op);
    (outcome, op.nr_entries)
}

pub(crate) fn run() {
    let mut read = [E820Entry::new_zeroed(); 64];
    assert_eq!(get(&mut read).0, Err(Errno::ENOSYS));
    let mut map: [E820Entry; 40] = core::array::from_fn(|index| {
        let mut range = E820Entry::new_zeroed();
        range.addr = ((index as u64) << 24).into();
        range.size = 0x1000.into();
        range.range_type = E820Type::Ram.number().into();
        range
    });
    for dom in [DomId::SELF, DomId::DOM0] {
        assert_eq!(set(dom, &mut map), Ok(0));
        assert_eq!(get(&mut read), (Ok(0), 40));
        for (read, set) in read.iter().zip(map) {
            assert_eq!(read.addr.get(), set.addr.get());
            assert_eq!(read.size.get(), set.size.get());
            assert_eq!(read.range_type.get(), set.range_type.get());
        }
    }
    // As much as there is room for.
    assert_eq!(get(&mut read[..3]), (Ok(0), 3));
    assert_eq!(get(&mut read[..0]), (Ok(0), 0));
    // Refused: the one before stays.
    assert_eq!(set(DomId(77), &mut map), Err(Errno::ESRCH));
    let mut op = ForeignMemoryMap::new_zeroed();
    (op.domid, op.map.nr_entries, op.map.buffer) = (DomId::SELF, 3, Vaddr(0x1000));
    let number = MemoryOp::SetMemoryMap.number();
    assert_eq!(hypercall!(MemoryOp, number, &mut op), Err(Errno::EFAULT));
    op.map.nr_entries = 1025;
    assert_eq!(hypercall!(MemoryOp, number, &mut op), Err(Errno::EINVAL));
    assert_eq!(get(&mut read), (Ok(0), 40));
    assert_eq!(set(DomId::SELF, &mut []), Ok(0));
    assert_eq!(get(&mut read).0, Err(Errno::ENOSYS));
}
