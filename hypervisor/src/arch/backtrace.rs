//! Who called whom, by the chain of frame pointers, with names and lines from the image's own table.

use super::layout::{STACK_BLOCK, STACKS_START};
use super::percpu::{self, MAX_CPUS};
use super::{boot_stack, smp, symbols};
use crate::console;
use crate::registers::Registers;
use crate::symbols::SymbolTable;

/// Frames shown from the innermost on, of a chain that is longer than both together: a recursion.
const INNERMOST: usize = 24;
/// And those at its other end, which say who began it.
const OUTERMOST: usize = 8;
/// Frames followed at the most: as many as fit into a processor's stacks, two words each.
const LONGEST: usize = (STACK_BLOCK / 16) as usize;

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

/// Where a trace begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Start {
    /// Where the registers say: an exception came there.
    Here,
    /// At the function that found a fault and reports it: what is called from there on is the report's own.
    Reporter,
}

/// Not aligned, hence in no stack.
const NOWHERE: u64 = 1;

/// Return addresses along the chain of frame pointers.
#[derive(Clone)]
struct Callers {
    rbp: u64,
    /// The chain has come to its end, as it is made where a stack begins.
    is_complete: bool,
}

impl Iterator for Callers {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        // Where a stack begins, the frame pointer is 0.
        self.is_complete = self.rbp == 0;
        if !is_stack(self.rbp) {
            return None;
        }
        // SAFETY: 16 readable bytes of a stack (`is_stack`); what they hold is checked before use.
        let [next, caller] = unsafe { (self.rbp as *const [u64; 2]).read_volatile() };
        if caller == 0 {
            self.rbp = 0;
            self.is_complete = true;
            return None;
        }
        // The chain goes up, or from an interrupt stack to the one it interrupted.
        self.rbp = if next == self.rbp { NOWHERE } else { next };
        Some(caller)
    }
}

/// Prints where the processor was and the chain of callers.
pub(super) fn print(registers: &Registers, start: Start) {
    let rip = registers.rip;
    let table = symbols::table();
    let table = table.as_ref();
    let mut printer = Printer {
        table,
        is_skipping: start == Start::Reporter && table.is_some(),
    };
    let callers = Callers {
        rbp: registers.rbp,
        is_complete: false,
    };
    console::line(format_args!("Backtrace:"));
    printer.address(rip, rip);
    // A jump to where no code is: the call that led there has left its return address on the stack.
    if table.is_some_and(|table| table.locate(rip).is_none()) && is_stack(registers.rsp) {
        // SAFETY: readable (`is_stack`); a number that means nothing is printed as one.
        let caller = unsafe { (registers.rsp as *const u64).read_volatile() };
        printer.address(caller, caller.wrapping_sub(1));
    }
    let mut rest = callers.clone();
    let count = rest.by_ref().take(LONGEST).count();
    let left_out = count.saturating_sub(INNERMOST + OUTERMOST);
    for (index, caller) in callers.take(count).enumerate() {
        if left_out == 0 || index < INNERMOST || index >= INNERMOST + left_out {
            printer.address(caller, caller.wrapping_sub(1));
        } else if index == INNERMOST {
            console::line(format_args!(
                "    ({left_out} more frames, then the outermost)"
            ));
        }
    }
    if count == LONGEST {
        console::line(format_args!("    (and so on: the chain has no end)"));
    } else if !rest.is_complete {
        console::line(format_args!("    (end of what can be followed)"));
    }
}

struct Printer<'a> {
    table: Option<&'a SymbolTable<'a>>,
    /// Nothing but the report's own functions has come.
    is_skipping: bool,
}

impl Printer<'_> {
    fn address(&mut self, address: u64, lookup: u64) {
        let mut frames = self
            .table
            .into_iter()
            .flat_map(|table| table.frames(lookup))
            .peekable();
        if frames.peek().is_none() {
            self.is_skipping = false;
            console::line(format_args!("    {address:#018x}"));
        }
        for place in frames {
            self.is_skipping &= reports(place.function);
            if self.is_skipping {
                continue;
            }
            let inlined = if place.is_inlined { " (inlined)" } else { "" };
            let (function, offset) = (place.function, place.offset);
            // Of assembly only the name is known.
            if place.file.is_empty() || place.line == 0 {
                console::line(format_args!(
                    "    {address:#018x} {function}+{offset:#x}{inlined}"
                ));
            } else {
                console::line(format_args!(
                    "    {address:#018x} {function}+{offset:#x} {}:{}{inlined}",
                    place.file, place.line
                ));
            }
        }
    }
}

/// Whether a function is between the one that finds a fault and the report of it.
fn reports(function: &str) -> bool {
    ["core::", "<core::", "alloc::"]
        .iter()
        .any(|library| function.starts_with(library))
        || function.contains("rust_begin_unwind")
        || function.contains("arch::death::")
}
