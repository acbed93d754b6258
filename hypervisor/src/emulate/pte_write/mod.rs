//! Stores of a guest kernel to its own lowest-level page tables.
//!
//! Such tables are mapped read-only, so the store raises #PF. The handler has found that the page under CR2 is a
//! table of the guest's; here the instruction is executed with that page replaced by a [`PageTable`], which sees
//! each store as the change of one whole entry and may refuse it.
//!
//! All changes are compare-and-exchange on the whole entry, whatever the instruction: the processor sets
//! accessed and dirty bits under us, and a narrow store must not write back stale neighbours.

mod frequent;
#[cfg(all(test, not(loom)))]
mod tests;

use crate::emulate::execute;
use crate::emulate::fetch;
use crate::emulate::insn::{Gpr, Modify, Op, Segment, Width};
use crate::emulate::machine::{
    CodeSegment, DataSegment, Exchange, GuestContext, Outcome, ShortFetch, Stop,
};
use guest_abi::ids::{PAGE_SHIFT, PAGE_SIZE, Vaddr};

/// How often a plain store starts over because the entry changed under it.
const MAX_ATTEMPTS: u32 = 4;
const OFFSET_IN_PAGE: u64 = PAGE_SIZE as u64 - 1;

/// Which of a table's 512 entries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EntryIndex(u16);

impl EntryIndex {
    /// The entry that the linear address `address` is in.
    #[inline(always)]
    const fn at(address: u64) -> Self {
        Self(((address & OFFSET_IN_PAGE) >> 3) as u16)
    }

    /// 0 to 511.
    #[must_use]
    #[inline(always)]
    pub const fn get(self) -> usize {
        self.0 as usize & 511
    }
}

/// The page table under CR2.
pub trait PageTable {
    /// The entry as it is now.
    ///
    /// # Errors
    ///
    /// The page is no longer a table: [`Stop::Unhandleable`] or [`Stop::Retry`].
    fn entry(&mut self, index: EntryIndex) -> Result<u64, Stop>;

    /// Validates `new` and, if the entry is still `old`, puts it (or what the rules make of it) in place.
    ///
    /// # Errors
    ///
    /// [`Stop::Unhandleable`] if the entry is refused, which gives the guest its page fault; other reasons as they
    /// are.
    fn update(&mut self, index: EntryIndex, old: u64, new: u64) -> Result<Exchange, Stop>;
}

/// Executes the instruction at RIP, which faulted writing to `fault_address`, on `table`.
///
/// [`Outcome::NotHandled`] means that the guest gets the page fault: the instruction is not one that we
/// emulate, doesn't write to the page of `fault_address`, writes across entries, or the new entry is refused.
#[inline]
pub fn emulate<C: GuestContext, T: PageTable>(
    cpu: &mut C,
    fault_address: Vaddr,
    table: &mut T,
) -> Outcome {
    let stepping = execute::single_step(cpu);
    let page = fault_address.0 >> PAGE_SHIFT;
    let result = match frequent::execute(cpu, page, table) {
        Some(result) => result,
        None => general(cpu, page, table),
    };
    Outcome::of(result.map(|()| stepping))
}

/// Any instruction with a memory destination that the decoder knows.
#[inline(never)]
fn general<C: GuestContext, T: PageTable>(
    cpu: &mut C,
    page: u64,
    table: &mut T,
) -> Result<(), Stop> {
    fetch::with_instruction(cpu, |cpu, insn| {
        // Writes nothing, so it isn't what faulted.
        if matches!(insn.op, Op::Modify(Modify::BitTest)) {
            return Err(Stop::Unhandleable);
        }
        execute::memory(
            &mut Diverted {
                cpu,
                table,
                page,
                entry: 0,
            },
            insn,
        )
    })
}

/// A guest context in which one page is a page table.
struct Diverted<'a, C, T> {
    cpu: &'a mut C,
    table: &'a mut T,
    /// The page's linear address divided by the page size.
    page: u64,
    /// The whole entry that the last read of the table saw.
    entry: u64,
}

impl<C, T> Diverted<'_, C, T> {
    #[inline(always)]
    fn is_table(&self, address: u64) -> bool {
        address >> PAGE_SHIFT == self.page
    }
}

/// Where in its entry a naturally aligned operand is.
#[derive(Clone, Copy)]
struct Lane {
    index: EntryIndex,
    shift: u32,
    mask: u64,
}

impl Lane {
    #[inline(always)]
    fn of(address: u64, width: Width) -> Result<Self, Stop> {
        if address & (width.bytes() - 1) != 0 {
            return Err(Stop::Unhandleable);
        }
        let shift = (address as u32 & 7) * 8;
        Ok(Self {
            index: EntryIndex::at(address),
            shift,
            mask: width.mask(),
        })
    }

    #[inline(always)]
    fn extract(self, entry: u64) -> u64 {
        entry.wrapping_shr(self.shift) & self.mask
    }

    #[inline(always)]
    fn merge(self, entry: u64, value: u64) -> u64 {
        (entry & !self.mask.wrapping_shl(self.shift)) | (value & self.mask).wrapping_shl(self.shift)
    }
}

impl<C: GuestContext, T: PageTable> GuestContext for Diverted<'_, C, T> {
    #[inline(always)]
    fn gpr(&self, register: Gpr) -> u64 {
        self.cpu.gpr(register)
    }
    #[inline(always)]
    fn set_gpr(&mut self, register: Gpr, value: u64) {
        self.cpu.set_gpr(register, value);
    }
    #[inline(always)]
    fn rip(&self) -> u64 {
        self.cpu.rip()
    }
    #[inline(always)]
    fn set_rip(&mut self, rip: u64) {
        self.cpu.set_rip(rip);
    }
    #[inline(always)]
    fn rflags(&self) -> u64 {
        self.cpu.rflags()
    }
    #[inline(always)]
    fn set_rflags(&mut self, rflags: u64) {
        self.cpu.set_rflags(rflags);
    }
    fn code_segment(&mut self) -> CodeSegment {
        self.cpu.code_segment()
    }
    fn segment_base(&mut self, segment: Segment) -> u64 {
        self.cpu.segment_base(segment)
    }
    fn data_segment(&mut self, segment: Segment) -> Result<Option<DataSegment>, Stop> {
        self.cpu.data_segment(segment)
    }
    fn fetch(&mut self, address: u64, window: &mut [u8; 16]) -> Result<(), ShortFetch> {
        self.cpu.fetch(address, window)
    }

    #[inline(always)]
    fn read(&mut self, address: u64, width: Width) -> Result<u64, Stop> {
        if !self.is_table(address) {
            return self.cpu.read(address, width);
        }
        let lane = Lane::of(address, width)?;
        self.entry = self.table.entry(lane.index)?;
        Ok(lane.extract(self.entry))
    }

    #[inline(always)]
    fn write(&mut self, address: u64, width: Width, value: u64) -> Result<(), Stop> {
        if !self.is_table(address) {
            return Err(Stop::Unhandleable);
        }
        let lane = Lane::of(address, width)?;
        for _ in 0..MAX_ATTEMPTS {
            let old = self.table.entry(lane.index)?;
            if matches!(change(self.table, lane, old, value)?, Exchange::Written) {
                return Ok(());
            }
        }
        Err(Stop::Retry)
    }

    fn probe_write(&mut self, _address: u64, _width: Width) -> Result<(), Stop> {
        Err(Stop::Unhandleable)
    }

    #[inline(always)]
    fn compare_exchange(
        &mut self,
        address: u64,
        width: Width,
        _old: u64,
        new: u64,
    ) -> Result<Exchange, Stop> {
        if !self.is_table(address) {
            return Err(Stop::Unhandleable);
        }
        // The operand's old value came from the read just before, and `entry` is the whole of it. Neighbours of a
        // narrow operand may have changed since; then the exchange fails and the instruction starts over.
        change(self.table, Lane::of(address, width)?, self.entry, new)
    }
}

/// Makes the operand at `lane` of the entry `old` be `value`.
#[inline(always)]
fn change<T: PageTable>(table: &mut T, lane: Lane, old: u64, value: u64) -> Result<Exchange, Stop> {
    let new = lane.merge(old, value);
    if new == old {
        // It was so when it was read, which is all that a store of the same value promises.
        return Ok(Exchange::Written);
    }
    table.update(lane.index, old, new)
}
