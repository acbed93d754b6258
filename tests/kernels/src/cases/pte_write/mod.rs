//! Stores into page tables, which the hypervisor carries out for the kernel: every form of instruction.

use super::prelude::*;
use crate::memory::{KERNEL_RW, SPARE, Tables, entry};
use guest_abi::vm_assist::{VmAssist, VmAssistCommand};

pub(crate) mod arithmetic;
pub(crate) mod bits;
pub(crate) mod compare_exchange;
pub(crate) mod exchange;
pub(crate) mod invalid;
pub(crate) mod mov;
pub(crate) mod narrow;
pub(crate) mod not_level_one;
pub(crate) mod race;
pub(crate) mod unaligned;
pub(crate) mod without_assist;

/// A live level-1 table at [`SPARE`], stores into which are carried out, and a frame that its first entry
/// maps.
struct Live {
    tables: Tables,
    frame: Frame,
    value: u64,
}

impl Live {
    fn new() -> Self {
        let assist = VmAssist::WritablePagetables.number();
        let outcome = hypercall!(VmAssist, VmAssistCommand::Enable.number(), assist);
        assert_eq!(outcome, Ok(0));
        let tables = Tables::hook(SPARE);
        let frame = Frame::alloc();
        let value = entry(frame.mfn(), KERNEL_RW);
        assert_eq!(memory::set_entry(tables.l1.word_address(0), value), Ok(0));
        // As the table shows it, with the bits that every entry gets.
        let value = tables.l1.read(0);
        Self {
            tables,
            frame,
            value,
        }
    }

    /// Where the kernel sees an entry.
    fn at(&self, index: usize) -> u64 {
        self.tables.l1.va().0 + index as u64 * 8
    }

    fn read(&self, index: usize) -> u64 {
        self.tables.l1.read(index)
    }
}
