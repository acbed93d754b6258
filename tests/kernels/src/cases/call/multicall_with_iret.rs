//! An iret in a multicall returns where its frame says, and the calls behind it are not made.

use super::super::prelude::*;
use guest_abi::hypercall::Hypercall;
use guest_abi::multicall::MulticallEntry;

pub(crate) fn run() {
    let mut list = [MulticallEntry::new_zeroed(); 3];
    list[0].op = Hypercall::Version.number();
    list[1].op = Hypercall::Iret.number();
    list[2].op = Hypercall::Version.number();
    list[2].result = 0x7777;
    event::mask_upcalls();
    let (rax, rcx, r11): (u64, u64, u64);
    let mut rsp: u64;
    let trap = probe!(
        "mov {rsp}, rsp",
        "push 0xe02b", // SS; the immediate is sign-extended, and only 16 bits count
        "push {rsp}",
        "push 0x202",
        "push 0xe030",
        "lea {tmp}, [rip + 75f]",
        "push {tmp}",
        "push 0", // flags
        "push 0x33", // RCX
        "push 0x44", // R11
        "push 0x55", // RAX
        "syscall",
        "ud2",
        "75:";
        tmp = out(reg) _,
        rsp = out(reg) rsp,
        inout("rax") Hypercall::Multicall.number() => rax,
        inout("rdi") list.as_mut_ptr() => _,
        inout("rsi") 3u64 => _,
        out("rcx") rcx,
        out("r11") r11,
    );
    assert_eq!(trap, None);
    assert_eq!((rax, rcx, r11), (0x55, 0x33, 0x44));
    assert_eq!(list[0].result, 4 << 16 | 17);
    assert_eq!(list[2].result, 0x7777, "the call behind the iret");
    assert_eq!(event::vcpu_info().upcall_mask(), 0, "IF in the frame");
    rsp &= 7;
    assert_eq!(rsp, 0);
}
