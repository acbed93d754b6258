//! The console takes text in any portion, across pages too, and gives what was typed: nothing.

use super::super::prelude::*;
use guest_abi::console_io::ConsoleIo;

pub(crate) fn run() {
    let write = |text: &[u8]| hypercall!(ConsoleIo, ConsoleIo::Write.number(), text.len(), text);
    assert_eq!(write(b""), Ok(0));
    for byte in b"one byte at a time\n" {
        assert_eq!(write(&[*byte]), Ok(0));
    }
    let frames: [Frame; 2] = Frame::alloc_many();
    let word = u64::from_le_bytes(*b"line...\n");
    for frame in frames {
        (0..512).for_each(|index| frame.write(index, word));
    }
    // From the middle of the first page into the second, and not from the start of a line.
    let start = frames[0].va().0 + 4096 - 104;
    assert_eq!(
        hypercall!(ConsoleIo, ConsoleIo::Write.number(), 200u64, start),
        Ok(0)
    );
    let mut buffer = [0u8; 16];
    let read = hypercall!(
        ConsoleIo,
        ConsoleIo::Read.number(),
        buffer.len(),
        &mut buffer
    );
    assert_eq!(read, Ok(0));
}
