//! The root of user mode is held as long as it is loaded; zero unloads it.

use super::super::prelude::*;
use crate::memory::{KERNEL_RW, entry};
use guest_abi::mmu::MmuextOp;

user_code!(user_hello, "syscall");

pub(crate) fn run() {
    let space = user::load_new();
    let root = space.tables.l4;
    let registers = user::registers(user_hello());
    assert_eq!(user::enter(&registers).frame.vector, trap::SYSCALL);
    assert_eq!(memory::unpin(root.mfn()), Ok(0));
    assert_eq!(user::enter(&registers).frame.vector, trap::SYSCALL);
    let writable = entry(root.mfn(), KERNEL_RW);
    assert_eq!(
        memory::update_va_mapping(root.va(), writable, 2),
        Err(Errno::EBUSY)
    );
    assert_eq!(memory::mmuext_one(MmuextOp::NewUserBaseptr, Mfn(0)), Ok(0));
    memory::make_writable(root);
}
