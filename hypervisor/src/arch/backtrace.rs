//! Who called whom, by the chain of frame pointers, with names and lines from the image's own table.

use super::layout::{STACK_BLOCK, STACKS_START};
use super::percpu::{self, MAX_CPUS};
use super::{boot_stack, smp, symbols};
use crate::console;
use crate::registers::Registers;
use crate::symbols::SymbolTable;

/// Frames shown at the most; a deeper chain is a recursion.
const MAX_FRAMES: usize = 32;

/// Whether two words at `address` can be read: in a stack of a processor that has one, or in the boot
/// stack.
fn is_stack(address: u64) -> bool {
    if !address.is_multiple_of(8) {
        return false;
    }
    if boot_stack::is_stack_address(address) && boot_stack::is_stack_address(address + 15) {
        return true;
    }
    let Some(offset) = address.checked_sub(STACKS_START) else {
        return false;
    };
    let cpu = offset / STACK_BLOCK;
    // Both words in one page: frames are 16-byte aligned, so an address at a page's last word is no frame.
    cpu < MAX_CPUS as u64
        && smp::has_stacks(cpu as u32)
        && !percpu::is_guard_page(offset % STACK_BLOCK / 4096)
        && address % 4096 <= 4096 - 16
}

/// Prints where the processor was and the chain of callers.
pub(super) fn print(registers: &Registers) {
    let (rip, mut rbp) = (registers.rip, registers.rbp);
    let table = symbols::table();
    console::line(format_args!("Backtrace:"));
    print_address(table.as_ref(), rip, rip);
    // A jump to where no code is: the call that led there has left its return address on the stack.
    if table
        .as_ref()
        .is_some_and(|table| table.locate(rip).is_none())
        && is_stack(registers.rsp)
    {
        // SAFETY: readable (`is_stack`); a number that means nothing is printed as one.
        let caller = unsafe { (registers.rsp as *const u64).read_volatile() };
        print_address(table.as_ref(), caller, caller.wrapping_sub(1));
    }
    for _ in 0..MAX_FRAMES {
        if !is_stack(rbp) {
            break;
        }
        // SAFETY: 16 readable bytes of a stack (`is_stack`); what they hold is checked before use.
        let [next, caller] = unsafe { (rbp as *const [u64; 2]).read_volatile() };
        if caller == 0 {
            return;
        }
        print_address(table.as_ref(), caller, caller.wrapping_sub(1));
        // The chain goes up, or from an interrupt stack to the one it interrupted.
        if next == rbp {
            break;
        }
        rbp = next;
    }
    console::line(format_args!("    (end of what can be followed)"));
}

fn print_address(table: Option<&SymbolTable<'_>>, address: u64, lookup: u64) {
    let mut frames = table
        .into_iter()
        .flat_map(|table| table.frames(lookup))
        .peekable();
    if frames.peek().is_none() {
        console::line(format_args!("    {address:#018x}"));
    }
    for place in frames {
        let inlined = if place.is_inlined { " (inlined)" } else { "" };
        console::line(format_args!(
            "    {address:#018x} {}+{:#x} {}:{}{inlined}",
            place.function, place.offset, place.file, place.line
        ));
    }
}
