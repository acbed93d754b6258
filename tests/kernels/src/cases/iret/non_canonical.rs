//! An iret to an address that no processor accepts is the guest's problem: an exception at that address, or
//! the failsafe callback; the hypervisor lives.

use super::super::prelude::*;

user_code!(user_idle, "syscall");

pub(crate) fn run() {
    user::load_new();
    for address in [NON_CANONICAL, 0x0000_8000_0000_0000, 0xffff_7fff_ffff_f000] {
        let mut registers = user::registers(user_idle());
        registers.rip = address;
        let frame = user::enter(&registers).frame;
        assert!(
            [GP, PF, trap::FAILSAFE].contains(&frame.vector),
            "{address:#x}: vector {}",
            frame.vector
        );
        let frame = user::enter(&user::registers(user_idle())).frame;
        assert_eq!(frame.vector, trap::SYSCALL, "afterwards");
    }
    // A stack like that is no problem until it is used.
    let mut registers = user::registers(user_idle());
    registers.rsp = NON_CANONICAL;
    assert_eq!(user::enter(&registers).frame.vector, trap::SYSCALL);
}
