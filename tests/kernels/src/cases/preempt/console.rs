//! A long text is shown.

use super::super::prelude::*;
use super::{gives_way, listen};
use guest_abi::console_io::ConsoleIo;

const BYTES: usize = 16 * 1024;
static TEXT: [u8; BYTES] = {
    let mut text = [b'.'; BYTES];
    let mut at = 127;
    while at < BYTES {
        text[at] = b'\n';
        at += 128;
    }
    text
};

pub(crate) fn run() {
    listen();
    gives_way(
        "console_io",
        || {},
        || {
            let write = ConsoleIo::Write.number();
            assert_eq!(hypercall!(ConsoleIo, write, BYTES, &TEXT[..]), Ok(0));
        },
    );
}
