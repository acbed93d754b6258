//! An iret to a code selector that can't be loaded is the guest's problem: an exception or the failsafe
//! callback; the hypervisor lives.

use super::super::prelude::*;

user_code!(user_nothing, "syscall");

pub(crate) fn run() {
    user::load_new();
    // No descriptor, a null selector, the hypervisor's own code, data.
    for selector in [0x33u64, 0x3, 0xe00b, 0xe02b, 0xfffb] {
        let mut registers = user::registers(user_nothing());
        registers.cs = selector;
        let frame = user::enter(&registers).frame;
        assert!(
            [GP, NP, trap::FAILSAFE].contains(&frame.vector),
            "{selector:#x}: vector {}",
            frame.vector
        );
        let mut registers = user::registers(user_nothing());
        registers.ss = selector & !3 | 3;
        let frame = user::enter(&registers).frame;
        // SS 0xe02b is right, and a null one is allowed in 64-bit code only below ring 3.
        if selector != 0xe02b {
            assert!(
                [GP, NP, SS, trap::FAILSAFE].contains(&frame.vector),
                "SS {selector:#x}: vector {}",
                frame.vector
            );
        }
        let frame = user::enter(&user::registers(user_nothing())).frame;
        assert_eq!(frame.vector, trap::SYSCALL, "afterwards");
    }
}
