//! Privileged instructions in the kernel: emulated one by one, or refused.

pub(crate) mod cache;
pub(crate) mod clts;
pub(crate) mod code_of_16_bits;
pub(crate) mod code_with_base;
pub(crate) mod cpuid;
pub(crate) mod cpuid_hypervisor;
pub(crate) mod cr0;
pub(crate) mod cr2;
pub(crate) mod cr3;
pub(crate) mod cr4;
pub(crate) mod data_with_base;
pub(crate) mod debug_registers;
pub(crate) mod interrupt_flag;
pub(crate) mod invd;
pub(crate) mod io_bitmap;
pub(crate) mod io_privilege;
pub(crate) mod io_strings;
pub(crate) mod mark_with_base;
pub(crate) mod msr_bases;
pub(crate) mod msr_efer;
pub(crate) mod msr_known;
pub(crate) mod msr_unknown;
pub(crate) mod operands;
pub(crate) mod ports_in_16_bits;
pub(crate) mod refused;
pub(crate) mod time_stamp;
pub(crate) mod unfetchable;
pub(crate) mod xsetbv;

use super::prelude::*;
use crate::memory::{ACCESSED, DIRTY, PRESENT, Tables, USER, WRITABLE, entry};
use crate::user::UserSpace;
use guest_abi::ids::PAGE_SIZE;
use guest_abi::mmu::MmuextOp;

/// An address space whose lowest addresses have code, so that 16-bit segments without a base reach it.
struct Code16 {
    /// The page of the kernel's image that is its first.
    first: u64,
}

/// Where its code, and the end of its stack, are.
const CODE_16: u64 = 0x8000;
const STACK_16: u64 = 0x7000;
/// The segment's place in each table.
const INDEX_16: u64 = 3;

impl Code16 {
    /// Loads it, with the pages of the image from that of `symbol` on, and tables with a segment for it.
    fn new(symbol: *const u8) -> Self {
        const PAGES: usize = 2;
        let first = symbol as u64 & !(PAGE_SIZE as u64 - 1);
        let tables = Tables::new(Vaddr(0));
        let [data, stack, gdt, ldt] = Frame::alloc_many();
        let page = |address: u64| address as usize / PAGE_SIZE;
        for number in 0..PAGES {
            let frame = Frame::at(Vaddr(first + (number * PAGE_SIZE) as u64));
            let value = entry(frame.mfn(), PRESENT | USER | ACCESSED);
            tables.l1.write(page(CODE_16) + number, value);
        }
        let writable = PRESENT | USER | ACCESSED | WRITABLE | DIRTY;
        tables
            .l1
            .write(page(STACK_16) - 1, entry(stack.mfn(), writable));
        tables.protect();
        let root = tables.l4.mfn();
        assert_eq!(memory::mmuext_one(MmuextOp::PinL4Table, root), Ok(0));
        UserSpace {
            tables,
            data,
            stack,
        }
        .load();
        for table in [gdt, ldt] {
            table.write(INDEX_16 as usize, CODE_16_DESCRIPTOR);
            memory::make_readonly(table);
        }
        assert_eq!(hypercall!(SetGdt, &[gdt.mfn()][..], 512u64), Ok(0));
        let outcome = memory::mmuext_two(MmuextOp::SetLdt, ldt.va().0, 512);
        assert_eq!(outcome, Ok(0));
        Self { first }
    }

    /// Its selectors, in the global table and in the local one.
    fn selectors(&self) -> [u64; 2] {
        [INDEX_16 << 3 | 3, INDEX_16 << 3 | 7]
    }

    /// Registers with which code starts in a segment of these.
    fn registers(&self, symbol: *const u8, selector: u64) -> trap::Frame {
        trap::Frame {
            cs: selector,
            rip: CODE_16 + (symbol as u64 - self.first),
            rsp: STACK_16,
            ..user::registers(symbol)
        }
    }
}

/// A present segment of 16-bit code of level 3, the lowest 64 KiB.
const CODE_16_DESCRIPTOR: u64 = 0x0000_fb00_0000_ffff;

/// A present segment of 32-bit code of level 3, with a base below 4 GiB and a limit in bytes.
const fn based_code(base: u64, limit: u64) -> u64 {
    0x0040_fb00_0000_0000
        | (base & 0xff_ffff) << 16
        | (base >> 24 & 0xff) << 56
        | limit & 0xffff
        | (limit >> 16 & 0xf) << 48
}
