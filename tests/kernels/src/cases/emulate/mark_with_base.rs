//! The mark of a CPUID is looked for where the base of its code segment says, and not behind its limit.

use super::super::prelude::*;
use super::based_code;
use crate::cpu;

user_code!(
    user_marked,
    ".code32",
    ".byte 0x0f, 0x0b, 0x78, 0x65, 0x6e", // the mark
    "cpuid",
    "ud2",
    ".code64",
);

/// Where its instructions are in the segment.
const MARK: u64 = 0x1230;
const END: u64 = MARK + 7;
const LEAF: u32 = 0x4000_0000;

pub(crate) fn run() {
    user::load_new();
    let base = user::code(user_marked()).0 - MARK;
    let table = Frame::alloc();
    table.write(2, based_code(base, END - 1));
    table.write(3, based_code(base, END - 2));
    memory::make_readonly(table);
    assert_eq!(hypercall!(SetGdt, &[table.mfn()][..], 512u64), Ok(0));

    let enter = |index: u64| {
        user::enter(&trap::Frame {
            cs: index << 3 | 3,
            rip: MARK,
            rax: LEAF.into(),
            ..user::registers32(user_marked())
        })
    };
    let frame = enter(2).frame;
    assert_eq!(frame.rip, END);
    let expected = cpu::cpuid(LEAF, 0).map(u64::from);
    assert_eq!([frame.rax, frame.rbx, frame.rcx, frame.rdx], expected);
    let frame = enter(3).frame;
    assert_eq!(frame.rip, MARK);
    assert_eq!(frame.rax, LEAF.into(), "it is not all there");
}
