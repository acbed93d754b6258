//! The hypervisor's console, a line at a time.

use crate::hypercall::hypercall;
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, Ordering};
use guest_abi::console_io::ConsoleIo;

/// Longer lines lose their end.
const MAX_LINE: usize = 700;

struct Line {
    bytes: [u8; MAX_LINE],
    len: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // One place is kept for the end of the line.
        let room = MAX_LINE - 1 - self.len;
        let taken = &text.as_bytes()[..text.len().min(room)];
        self.bytes[self.len..self.len + taken.len()].copy_from_slice(taken);
        self.len += taken.len();
        Ok(())
    }
}

/// Prints a line in one hypercall, so that lines of several vCPUs do not mix.
pub(crate) fn print_line(arguments: fmt::Arguments<'_>) {
    static IS_BUSY: AtomicBool = AtomicBool::new(false);
    let mut line = Line {
        bytes: [0; MAX_LINE],
        len: 0,
    };
    let _ = line.write_fmt(arguments);
    line.bytes[line.len] = b'\n';
    let text = &line.bytes[..line.len + 1];
    // Best effort: whoever dies while printing must not silence the others.
    let mut patience = 1_000_000;
    while IS_BUSY.swap(true, Ordering::Acquire) && patience > 0 {
        core::hint::spin_loop();
        patience -= 1;
    }
    let _ = hypercall!(ConsoleIo, ConsoleIo::Write.number(), text.len(), text);
    IS_BUSY.store(false, Ordering::Release);
}

/// `println!` on the hypervisor's console.
macro_rules! println {
    ($($arguments:tt)*) => {
        $crate::console::print_line(format_args!($($arguments)*))
    };
}
