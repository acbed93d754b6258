//! The console refuses text that it can't read.

use super::super::prelude::*;
use guest_abi::console_io::ConsoleIo;

pub(crate) fn run() {
    let op = ConsoleIo::Write.number();
    for pointer in [0u64, 0x1_0000_0000, NON_CANONICAL] {
        assert_eq!(hypercall!(ConsoleIo, op, 5u64, pointer), Err(Errno::EFAULT));
        assert_eq!(
            hypercall!(ConsoleIo, op, 0u64, pointer),
            Ok(0),
            "nothing at {pointer:#x}"
        );
    }
}
