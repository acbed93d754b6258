//! A page fault in user mode is vector 14 with "user" in its error code and its address in the vCPU's
//! information. The kernel's half and the hypervisor's are not there for user mode.

use super::super::prelude::*;

user_code!(user_read, "mov rax, [rdi]", "syscall", "ud2");
user_code!(user_write, "mov [rdi], rax", "syscall", "ud2");
user_code!(user_jump, "jmp rdi");

pub(crate) fn run() {
    let space = user::load_new();
    space.data.write(0, 0x1234);
    let frame = enter(user_read(), user::DATA.0).frame;
    assert_eq!((frame.vector, frame.rax), (trap::SYSCALL, 0x1234));

    check(user_read(), user::HOLE.0, PF_USER);
    check(user_write(), user::HOLE.0, PF_USER | PF_WRITE);
    check(user_jump(), user::HOLE.0, PF_USER | PF_FETCH);
    // Code is read-only.
    let code = user::code(user_read()).0;
    check(user_write(), code, PF_USER | PF_WRITE | PF_PRESENT);
    // The kernel.
    check(user_read(), Frame::alloc().va().0, PF_USER);
    // The hypervisor: the same wherever it looks, present or not.
    for address in [
        0xffff_8200_0000_0000,
        0xffff_82d0_4020_0000,
        0xffff_8300_0000_0000u64,
    ] {
        let trap = enter(user_read(), address);
        let what = (
            trap.frame.vector,
            trap.frame.error_code & !PF_PRESENT,
            trap.cr2,
        );
        assert_eq!(what, (PF, PF_USER, address));
    }
    let trap = enter(user_read(), NON_CANONICAL);
    assert_eq!((trap.frame.vector, trap.frame.error_code), (GP, 0));
}

fn enter(symbol: *const u8, address: u64) -> trap::Trap {
    let mut registers = user::registers(symbol);
    registers.rdi = address;
    user::enter(&registers)
}

fn check(symbol: *const u8, address: u64, error_code: u64) {
    let trap = enter(symbol, address);
    let found = (trap.frame.vector, trap.frame.error_code, trap.cr2);
    assert_eq!(found, (PF, error_code, address));
    assert!(trap.frame.is_user());
}
