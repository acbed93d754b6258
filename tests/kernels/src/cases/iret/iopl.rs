//! The I/O privilege level in the frame of an iret is the vCPU's with the assist for that, and nothing without it.

use super::super::prelude::*;
use crate::cpu;
use guest_abi::vm_assist::{VmAssist, VmAssistCommand};

user_code!(user_out80_iopl, "out 0x80, al", "syscall");

/// How user mode, entered with this level in its flags, comes back: by the system call behind its OUT, or by the OUT's
/// fault; and the level that the kernel then finds in the flags.
fn enter(level: u64) -> (u64, u64) {
    let mut registers = user::registers(user_out80_iopl());
    registers.rflags |= level << 12;
    let frame = user::enter(&registers).frame;
    if frame.vector == GP {
        assert_eq!((frame.error_code, frame.rip), (0, registers.rip));
    }
    (frame.vector, (frame.rflags & rflags::IOPL) >> 12)
}

fn set_assist(command: VmAssistCommand) {
    let assist = VmAssist::ArchitecturalIopl.number();
    assert_eq!(hypercall!(VmAssist, command.number(), assist), Ok(0));
}

/// Whether the kernel itself may use ports.
fn may_kernel() -> bool {
    match probe!("out 0x80, al"; in("al") 0u8) {
        None => true,
        trap => {
            trap::expect(trap, GP, 0);
            false
        }
    }
}

/// Without the assist, the level of the hypercall counts, and no frame shows or changes it.
fn by_hypercall() {
    for (level, may_user) in [(0, false), (1, false), (3, true)] {
        assert_eq!(cpu::set_iopl(level), Ok(0));
        let expected = if may_user { trap::SYSCALL } else { GP };
        for in_frame in 0..=3 {
            assert_eq!(
                enter(in_frame),
                (expected, 0),
                "{level}, in the frame {in_frame}"
            );
        }
        assert_eq!(may_kernel(), level >= 1, "{level}");
    }
}

pub(crate) fn run() {
    user::load_new();
    by_hypercall();

    // With it the frame's counts from its return on, and is in the next frame.
    set_assist(VmAssistCommand::Enable);
    for hypercall_level in [0, 3] {
        for level in [3, 0, 1, 2, 3, 2] {
            assert_eq!(cpu::set_iopl(hypercall_level), Ok(0));
            let expected = if level == 3 { trap::SYSCALL } else { GP };
            assert_eq!(enter(level), (expected, level));
            // The kernel is at level 0 then.
            assert!(may_kernel(), "{level}");
        }
    }

    set_assist(VmAssistCommand::Disable);
    // The last one stays.
    assert_eq!(enter(3), (GP, 0));
    by_hypercall();
}
