//! The stacks that boot runs on until the first processor has its own: a stack block in the image, laid out
//! as every other ([`percpu`]), guard pages included.
//!
//! The early page tables map the image in pages of 2 MiB. The first thing that boot does is to cut the one
//! around the block into small pages and to take the guards out; the final page tables never map them.

use super::layout::{self, STACK_BLOCK, table_index};
use super::{paging, percpu};
use core::arch::asm;
use core::cell::UnsafeCell;
use core::ops::Range;

/// Aligned to its size, so that one page of 2 MiB holds it.
#[repr(C, align(0x40000))]
pub(super) struct Block(UnsafeCell<[u8; STACK_BLOCK as usize]>);
// SAFETY: touched only as stacks, by the first processor.
unsafe impl Sync for Block {}

const _: () = assert!(align_of::<Block>() as u64 == STACK_BLOCK);

/// The block.
pub(super) static BLOCK: Block = Block(UnsafeCell::new([0; STACK_BLOCK as usize]));

/// A last-level page table.
#[repr(C, align(4096))]
struct Table(UnsafeCell<[u64; 512]>);
// SAFETY: written by `guard` alone, before any other processor runs; read by hardware afterwards.
unsafe impl Sync for Table {}

/// Maps the 2 MiB around the block in the early page tables.
static SMALL_PAGES: Table = Table(UnsafeCell::new([0; 512]));

unsafe extern "C" {
    /// The early page table that maps the image, at its unmoved physical address.
    static boot_l2_image: u8;
}

fn start() -> u64 {
    &raw const BLOCK as u64
}

/// Where the block ends and its stack begins (growing down).
pub(super) fn top() -> u64 {
    start() + STACK_BLOCK
}

/// Tops of the NMI, machine-check, double-fault and debug-exception stacks.
pub(super) fn interrupt_stack_tops() -> [u64; 4] {
    percpu::interrupt_stack_tops_of(start())
}

/// The pages of the image that stay unmapped, in ascending order.
pub(super) fn guard_pages() -> impl Iterator<Item = Range<u64>> {
    let page = |index| start() + index * 4096..start() + (index + 1) * 4096;
    percpu::guard_page_indices().map(page)
}

/// Whether `address` lies in one of the block's guard pages.
pub(super) fn is_guard_address(address: u64) -> bool {
    is_in_block(address) && percpu::is_guard_page((address - start()) / 4096)
}

/// Whether `address` lies in one of the block's stacks.
pub(super) fn is_stack_address(address: u64) -> bool {
    is_in_block(address) && !percpu::is_guard_page((address - start()) / 4096)
}

fn is_in_block(address: u64) -> bool {
    (start()..top()).contains(&address)
}

/// Takes the guard pages out of the early page tables. `load_base` is where the loader put the image's first byte.
///
/// # Safety
/// Called once, by the first processor, on the early page tables, as the first thing it does.
pub(super) unsafe fn guard(load_base: u64) {
    const SMALL_PAGE: u64 = 0b11;
    let moved = |unmoved: u64| unmoved - layout::IMAGE_UNMOVED + load_base;
    let large_page = start() & !((1 << 21) - 1);
    for (index, page) in (large_page..).step_by(4096).take(512).enumerate() {
        if !is_guard_address(page) {
            let entry = moved(page - layout::IMAGE_OFFSET) | SMALL_PAGE;
            // SAFETY: in bounds; nobody else looks (caller).
            unsafe { (*SMALL_PAGES.0.get())[index] = entry };
        }
    }
    let table = moved(&raw const SMALL_PAGES as u64 - layout::IMAGE_OFFSET);
    let image = paging::direct::<u64>(moved(&raw const boot_l2_image as u64));
    // SAFETY: the entry of the early page tables that maps the block; the new one maps the same, guards
    // excepted, on which nothing lies. Loading CR3 forgets the old translation.
    unsafe {
        image
            .add(table_index(start(), 2))
            .write_volatile(table | SMALL_PAGE);
        asm!("mov {0}, cr3", "mov cr3, {0}", out(reg) _, options(nostack, preserves_flags));
    }
}
