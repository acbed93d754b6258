//! INTO and BOUND in 32-bit code of the kernel are vector 4, after the instruction, and vector 5, at it. 64-bit code has
//! neither.

use super::super::prelude::*;
use guest_abi::segment::FLAT_RING3_CS32;

user_code!(
    small_code,
    ".code32",
    "mov al, 0x7f",
    "inc al",
    ".byte 0xce", // into
    "ud2",
    ".long 3, 5",
    "mov eax, 6",
    ".byte 0x2e, 0x62, 0x07", // bound eax, cs:[edi]
    "ud2",
    ".code64",
);
/// Where its parts are.
const INTO_END: u64 = 5;
const BOUNDS: u64 = 7;
const BOUND_START: u64 = 15;
const BOUND: u64 = BOUND_START + 5;

/// 32-bit code and its stack lie below 4 GiB.
const CODE: Vaddr = Vaddr(0x40_0000);
const STACK: Vaddr = Vaddr(0x48_0000);
const STACK_PAGES: usize = 4;

/// The segment, of the kernel's own level as it is told.
const SELECTOR: u64 = FLAT_RING3_CS32 as u64 & !3;

pub(crate) fn run() {
    let tables = memory::Tables::hook(CODE);
    let map = |va: Vaddr, frame: Frame, flags: u64| {
        let address = tables.l1.word_address(memory::index(va, 1));
        assert_eq!(
            memory::set_entry(address, memory::entry(frame.mfn(), flags)),
            Ok(0)
        );
    };
    let code = small_code() as u64;
    let page = code & !0xfff;
    for offset in [0, 0x1000] {
        let frame = Frame::at(Vaddr(page + offset));
        map(Vaddr(CODE.0 + offset), frame, memory::KERNEL_RO);
    }
    let stack: [Frame; STACK_PAGES] = Frame::alloc_many();
    for (va, frame) in (STACK.0..).step_by(4096).zip(stack) {
        map(Vaddr(va), frame, memory::KERNEL_RW);
    }
    let start = CODE.0 + (code - page);
    let run = |at: u64| {
        probe!(
            "mov rsp, {stack}",
            "push {cs}",
            "push {at}",
            "retfq";
            stack = in(reg) STACK.0 + (STACK_PAGES * 4096) as u64,
            cs = in(reg) u64::from(FLAT_RING3_CS32),
            at = in(reg) at,
            in("rdi") start + BOUNDS,
            out("rax") _,
        )
    };
    let frame = trap::expect(run(start), OF, 0).frame;
    assert_eq!(frame.rip, start + INTO_END);
    assert_eq!(frame.cs & 0xffff, SELECTOR);
    let frame = trap::expect(run(start + BOUND_START), BR, 0).frame;
    assert_eq!(frame.rip, start + BOUND);
    assert_eq!(frame.cs & 0xffff, SELECTOR);
}
