//! An iret to user mode loads all of its frame, with selectors of the kernel's own descriptors too.

use super::super::prelude::*;

user_code!(
    user_selectors,
    "mov ebx, cs",
    "mov edx, ss",
    "mov rdi, rsp",
    "syscall",
);

pub(crate) fn run() {
    user::load_new();
    let table = Frame::alloc();
    // 64-bit code and data of privilege level 3, as kernels have them.
    table.write(6, 0x00af_fb00_0000_ffff);
    table.write(5, 0x00cf_f300_0000_ffff);
    memory::make_readonly(table);
    assert_eq!(hypercall!(SetGdt, &[table.mfn()][..], 16u64), Ok(0));
    let mut registers = user::registers(user_selectors());
    (registers.cs, registers.ss) = (6 << 3 | 3, 5 << 3 | 3);
    registers.rsp -= 0x100;
    let frame = user::enter(&registers).frame;
    assert_eq!(frame.vector, trap::SYSCALL);
    assert_eq!((frame.rbx, frame.rdx), (registers.cs, registers.ss));
    assert_eq!(frame.rdi, registers.rsp);
    // An exception's frame says which it was.
    registers.rip = user::code(user_fault_here()).0;
    let frame = user::enter(&registers).frame;
    assert_eq!(frame.vector, UD);
    assert_eq!((frame.cs, frame.ss), (registers.cs, registers.ss));
}

user_code!(user_fault_here, "ud2");
