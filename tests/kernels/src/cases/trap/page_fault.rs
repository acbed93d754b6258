//! A page fault of the kernel is vector 14. The fault address is in the vCPU's information, and the error
//! code never says "user".

use super::super::prelude::*;

pub(crate) fn run() {
    let frame = Frame::alloc();
    let address = frame.va().0 + 0x123;

    assert_eq!(memory::update_va_mapping(frame.va(), 0, 2), Ok(0));
    check(read(address), 0, address);
    check(write(address), PF_WRITE, address);

    memory::make_readonly(frame);
    assert_eq!(read(address), None);
    check(write(address), PF_PRESENT | PF_WRITE, address);

    let entry = memory::entry(frame.mfn(), memory::KERNEL_RO | memory::NO_EXECUTE);
    assert_eq!(memory::update_va_mapping(frame.va(), entry, 2), Ok(0));
    let trap = probe!("jmp {address}"; address = in(reg) address);
    check(trap, PF_PRESENT | PF_FETCH, address);

    // No table leads there.
    check(read(0x1234_5678_9abc), 0, 0x1234_5678_9abc);
}

fn read(address: u64) -> Option<trap::Trap> {
    probe!("mov {tmp}, [{address}]"; address = in(reg) address, tmp = out(reg) _)
}

fn write(address: u64) -> Option<trap::Trap> {
    probe!("mov byte ptr [{address}], 1"; address = in(reg) address)
}

fn check(trap: Option<trap::Trap>, error_code: u64, address: u64) {
    assert_eq!(trap::expect(trap, PF, error_code).cr2, address);
}
