//! The machine's memory map, as the hypervisor tells it the first domain.

use crate::hypercall::{Outcome, hypercall};
use guest_abi::ids::{Mfn, PAGE_SIZE, Vaddr};
use guest_abi::memory_map::{E820Entry, E820Type, MemoryMap};
use guest_abi::memory_op::MemoryOp;
use zerocopy::FromZeros;

/// More than any machine here has.
const MAX_RANGES: usize = 64;

/// The map.
pub(crate) struct MachineMap {
    list: [E820Entry; MAX_RANGES],
    len: usize,
}

impl MachineMap {
    /// Asks for it.
    pub(crate) fn read() -> Self {
        let mut list = [E820Entry::new_zeroed(); MAX_RANGES];
        let (outcome, len) = Self::ask(&mut list);
        assert_eq!(outcome, Ok(0));
        Self {
            list,
            len: len as usize,
        }
    }

    /// Asks for it with room for `list`; the number is that of the ranges.
    pub(crate) fn ask(list: &mut [E820Entry]) -> (Outcome, u32) {
        let mut map = MemoryMap::new_zeroed();
        map.nr_entries = list.len() as u32;
        map.buffer = Vaddr(list.as_mut_ptr() as u64);
        let outcome = hypercall!(MemoryOp, MemoryOp::MachineMemoryMap.number(), &mut map);
        (outcome, map.nr_entries)
    }

    /// Its ranges: first byte, bytes, type.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = (u64, u64, u32)> {
        let ranges = self.list[..self.len].iter();
        ranges.map(|range| (range.addr.get(), range.size.get(), range.range_type.get()))
    }

    /// Whether it calls a whole frame usable memory.
    pub(crate) fn is_ram(&self, mfn: Mfn) -> bool {
        let (start, end) = (mfn.address(), mfn.address() + PAGE_SIZE as u64);
        self.ranges().any(|(at, size, kind)| {
            kind == E820Type::Ram.number() && at <= start && end <= at + size
        })
    }
}
