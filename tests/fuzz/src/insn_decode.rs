//! Instruction bytes of any content: what our decoder claims, a full decoder sees as well, and the other way round.
//!
//! The first byte chooses the code size, the rest are the bytes.

use hypervisor::emulate::{decode, insn};

#[path = "../../../hypervisor/src/emulate/oracle.rs"]
mod oracle;

pub fn run(input: &[u8]) {
    let Some((size, code)) = input.split_first() else {
        return;
    };
    let size = if size & 1 == 0 {
        insn::CodeSize::Bits64
    } else {
        insn::CodeSize::Bits32
    };
    let mut window: decode::Window = [0; 16];
    for (byte, value) in window.iter_mut().zip(code) {
        *byte = *value;
    }
    let result = oracle::check(window, size).and_then(|_| oracle::check_truncated(window, size));
    if let Err(error) = result {
        panic!("{error}");
    }
}
