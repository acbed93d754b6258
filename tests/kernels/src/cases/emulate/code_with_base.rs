//! Instructions of 32-bit code are fetched where its segment's base says, and not behind its limit.

use super::super::prelude::*;
use super::based_code;
use crate::cpu;
use guest_abi::segment::FLAT_RING3_CS32;

user_code!(user_based, ".code32", "out 0x80, al", "int3", ".code64");

/// Where its instructions are in the segment.
const OUT: u64 = 0x1230;
const END: u64 = OUT + 2;

pub(crate) fn run() {
    user::load_new();
    assert_eq!(cpu::set_iopl(3), Ok(0));
    let start = user::code(user_based()).0;
    let base = start - OUT;
    let table = Frame::alloc();
    table.write(2, based_code(base, 0xf_ffff));
    // The last byte of the instruction is the last one that there is, and is one too many.
    table.write(3, based_code(base, OUT + 1));
    table.write(4, based_code(base, OUT));
    memory::make_readonly(table);
    assert_eq!(hypercall!(SetGdt, &[table.mfn()][..], 512u64), Ok(0));

    let enter = |index: u64| {
        user::enter(&trap::Frame {
            cs: index << 3 | 3,
            rip: OUT,
            ..user::registers32(user_based())
        })
    };
    let frame = enter(2).frame;
    assert_eq!((frame.vector, frame.rip), (BP, END + 1));
    assert_eq!(frame.cs, 2 << 3 | 3);
    // Behind the limit a processor that is emulated goes on; a real one faults.
    let frame = enter(3).frame;
    let expected = [(BP, END + 1), (GP, END)];
    assert!(expected.contains(&(frame.vector, frame.rip)), "{frame:?}");
    let frame = enter(4).frame;
    assert_eq!((frame.vector, frame.error_code), (GP, 0));
    assert_eq!(frame.rip, OUT);

    // The same instruction at no base at all.
    let frame = user::enter(&user::registers32(user_based())).frame;
    assert_eq!((frame.vector, frame.rip), (BP, start + 3));
    assert_eq!(frame.cs, u64::from(FLAT_RING3_CS32));
}
