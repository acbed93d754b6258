//! OUTS and INS move what they should between memory and ports, with REP too, and leave the registers as
//! the processor would.

use super::super::prelude::*;
use crate::cpu;

pub(crate) fn run() {
    assert_eq!(cpu::set_iopl(1), Ok(0));
    let frame = Frame::alloc();
    let start = frame.va().0;
    let (mut rsi, mut rcx): (u64, u64);
    assert_eq!(
        probe!("outsb"; inout("rsi") start => rsi, in("dx") 0x80u16),
        None
    );
    assert_eq!(rsi, start + 1);
    assert_eq!(
        probe!("rep outsw"; inout("rsi") start => rsi, inout("rcx") 5u64 => rcx, in("dx") 0x80u16),
        None
    );
    assert_eq!((rsi, rcx), (start + 10, 0));

    let mut rdi: u64;
    assert_eq!(
        probe!(
            "rep insd";
            inout("rdi") start => rdi,
            inout("rcx") 3u64 => rcx,
            in("dx") 0x5678u16
        ),
        None
    );
    assert_eq!((rdi, rcx), (start + 12, 0));
    assert_eq!(frame.read(0), u64::MAX);
    assert_eq!(frame.read(1), 0xffff_ffff);
    // Backwards.
    assert_eq!(
        probe!("std", "insb", "cld"; inout("rdi") start + 20 => rdi, in("dx") 0x5678u16),
        None
    );
    assert_eq!(rdi, start + 19);
    assert_eq!(frame.read(2), 0xff_0000_0000);

    // A page that is not there: a page fault at the instruction, with what is done done.
    let [first, second] = Frame::alloc_many();
    assert_eq!(memory::update_va_mapping(second.va(), 0, 2), Ok(0));
    let last = first.va().0 + 4096 - 2;
    let trap = probe!(
        "rep insb";
        inout("rdi") last => rdi,
        inout("rcx") 4u64 => rcx,
        in("dx") 0x5678u16
    );
    let trap = trap::expect(trap, PF, PF_WRITE);
    assert_eq!(trap.cr2, second.va().0);
    assert_eq!((rdi, rcx), (second.va().0, 2));
    assert_eq!(first.read(511) >> 48, 0xffff);
}
