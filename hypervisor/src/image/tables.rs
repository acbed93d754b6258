//! The page tables of the initial mapping.
//!
//! They map 4 KiB pages only: Linux takes the level-2 table over into its own and expects tables below
//! it. Every page of the mapping is writable, except the page tables themselves.

use super::{layout::Layout, pfns::Pfns};
use bitflags::bitflags;
use guest_abi::ids::{PAGE_SHIFT, Pfn};

/// Entries in a table.
pub const ENTRIES: usize = 512;
/// Address bits that each level translates.
const INDEX_BITS: u32 = 9;

bitflags! {
    /// Bits of an initial page-table entry, as the processor defines them. The hypervisor's own software
    /// bits are added by who writes the entry.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct EntryFlags: u64 {
        /// The entry maps something.
        const PRESENT = 1 << 0;
        /// Writes are allowed.
        const WRITABLE = 1 << 1;
        /// Ring 3, where guest kernels run, may use it.
        const USER = 1 << 2;
        /// The processor has used the entry.
        const ACCESSED = 1 << 5;
        /// The processor has written through the entry.
        const DIRTY = 1 << 6;
    }
}

const READ_ONLY: EntryFlags = EntryFlags::PRESENT
    .union(EntryFlags::USER)
    .union(EntryFlags::ACCESSED);
const WRITABLE: EntryFlags = READ_ONLY.union(EntryFlags::WRITABLE);
const TABLE: EntryFlags = WRITABLE.union(EntryFlags::DIRTY);

/// Level of a page table: what its entries point to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    /// Pages.
    L1,
    /// Level-1 tables.
    L2,
    /// Level-2 tables.
    L3,
    /// Level-3 tables: the root.
    L4,
}

impl Level {
    /// Which entry of a table of this level translates the address.
    const fn index(self, address: u64) -> usize {
        (address >> (PAGE_SHIFT + INDEX_BITS * self as u32)) as usize % ENTRIES
    }
}

/// A page table to be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Table {
    /// Its frame.
    pub pfn: Pfn,
    /// Its level.
    pub level: Level,
}

/// An entry that is present.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Where in its table, 0 to 511.
    pub index: usize,
    /// The frame that it points to.
    pub target: Pfn,
    /// Its flags.
    pub flags: EntryFlags,
}

/// Where page tables are written: frames of a machine, or a test's idea of memory. It knows the machine
/// frame behind each frame number.
pub trait TableWriter {
    /// Why a write fails.
    type Error;

    /// Makes `table` a page table without entries. The hypervisor's own entries of a root are the writer's
    /// affair.
    ///
    /// # Errors
    ///
    /// The frame cannot be written.
    fn clear(&mut self, table: Table) -> Result<(), Self::Error>;

    /// Writes one entry of `table`, which has been cleared.
    ///
    /// # Errors
    ///
    /// The frame cannot be written.
    fn set(&mut self, table: Table, entry: Entry) -> Result<(), Self::Error>;
}

/// Writes all page tables of the initial mapping, root first.
///
/// # Errors
///
/// The writer's.
pub fn write<W: TableWriter>(layout: &Layout, writer: &mut W) -> Result<(), W::Error> {
    for table in tables(layout) {
        writer.clear(table)?;
        for entry in entries(layout, table) {
            writer.set(table, entry)?;
        }
    }
    Ok(())
}

/// The page tables in the order of their frames: the root, one table each of levels 3 and 2, and those of
/// level 1 in the order of what they map.
pub fn tables(layout: &Layout) -> impl Iterator<Item = Table> + use<> {
    let levels = [Level::L4, Level::L3, Level::L2]
        .into_iter()
        .chain(core::iter::repeat(Level::L1));
    layout
        .page_tables
        .iter()
        .zip(levels)
        .map(|(pfn, level)| Table { pfn, level })
}

/// The entries of one of the [`tables`] in ascending order.
pub fn entries(layout: &Layout, table: Table) -> impl Iterator<Item = Entry> + use<> {
    let first_level1 = Pfn(layout.page_tables.start().0.saturating_add(3));
    let level1_tables = Pfns::new(first_level1, layout.page_tables.end());
    let below = Pfn(table.pfn.0.saturating_add(1));
    let targets = match table.level {
        Level::L4 | Level::L3 => Pfns::new(below, Pfn(below.0.saturating_add(1))),
        Level::L2 => level1_tables,
        Level::L1 => pages_of(layout, table.pfn.0.saturating_sub(first_level1.0)),
    };
    // The first target is at the start of the mapping or, in level 1, at the start of a table's span.
    let first_index = match table.level {
        Level::L1 => table.level.index(layout.vaddr(targets.start()).0),
        level => level.index(layout.virt_base.0),
    };
    let page_tables = layout.page_tables;
    targets
        .iter()
        .zip(first_index..ENTRIES)
        .map(move |(target, index)| {
            let flags = match table.level {
                Level::L1 if page_tables.contains(target) => READ_ONLY,
                Level::L1 => WRITABLE,
                _ => TABLE,
            };
            Entry {
                index,
                target,
                flags,
            }
        })
}

/// The pages that the `nth` table of level 1 maps.
fn pages_of(layout: &Layout, nth: u64) -> Pfns {
    // Pages of the first table's span that lie below the mapping.
    let before = Level::L1.index(layout.virt_base.0) as u64;
    let span_start = nth.saturating_mul(ENTRIES as u64);
    let span_end = span_start
        .saturating_add(ENTRIES as u64)
        .saturating_sub(before);
    let start = Pfn(span_start.saturating_sub(before));
    Pfns::new(start, Pfn(span_end.min(layout.mapped.end().0)))
}
