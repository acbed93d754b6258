//! Without the level for it, ports are reached as the bitmap allows, by the kernel and by user mode.

use super::super::prelude::*;
use crate::cpu;
use guest_abi::physdev::{PhysdevOp, SetIobitmap};

user_code!(user_port, "mov edx, 0x80", "out dx, al", "syscall");

fn set(bitmap: Vaddr, nr_ports: u32) -> crate::hypercall::Outcome {
    let mut argument = SetIobitmap::new_zeroed();
    argument.bitmap = bitmap;
    argument.nr_ports = nr_ports;
    hypercall!(PhysdevOp, PhysdevOp::SetIobitmap.number(), &argument)
}

pub(crate) fn run() {
    user::load_new();
    let bitmap = Frame::alloc();
    (0..512).for_each(|word| bitmap.write(word, u64::MAX));
    // Port 0x80 is allowed: the one that is there for delays.
    bitmap.write(2, !1);
    assert_eq!(cpu::set_iopl(0), Ok(0));
    trap::expect(out(0x80), GP, 0);
    assert_eq!(set(bitmap.va(), 0x200), Ok(0));
    assert_eq!(out(0x80), None);
    trap::expect(out(0x81), GP, 0);
    let frame = user::enter(&user::registers(user_port())).frame;
    assert_eq!(frame.vector, trap::SYSCALL);
    // A wider access needs all its ports.
    let trap = probe!("out dx, eax"; in("dx") 0x80u16, in("eax") 0);
    trap::expect(trap, GP, 0);
    // Ports behind the bitmap's end.
    assert_eq!(set(bitmap.va(), 0x80), Ok(0));
    trap::expect(out(0x80), GP, 0);
    // A bitmap that can't be read allows nothing.
    assert_eq!(set(Vaddr(0x1_0000_0000), 0x200), Ok(0));
    trap::expect(out(0x80), GP, 0);
    assert_eq!(set(bitmap.va(), 65537), Err(Errno::EINVAL));
}

fn out(port: u16) -> Option<trap::Trap> {
    probe!("out dx, al"; in("dx") port, in("al") 0u8)
}
