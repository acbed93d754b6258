//! A domain that has suspended can go on where it was; its tables are described for who saves it.

use super::super::prelude::*;
use crate::control::{DATA, FRAMES, Guest, control, simple};
use guest_abi::domctl::DomctlOp;
use guest_abi::domctl_domain::DomainInfoFlags;
use guest_abi::domctl_memory::PageFrameInfo;
use guest_abi::sched_op::ShutdownReason;
use guest_abi::vcpu_context::VcpuGuestContext;

user_code!(
    suspends,
    "mov rbx, rsi",
    "mov qword ptr [rbx + 8], 2",
    "mov eax, 29",
    "mov edi, 2",
    "lea rsi, [rbx + 8]",
    "mov edx, 0x1234",
    "syscall",
    "mov [rbx + 16], rax",
    "mov qword ptr [rbx], 1",
    "2: pause",
    "jmp 2b",
);

pub(crate) fn run() {
    let guest = Guest::with_code(suspends());
    guest.start();
    assert_eq!(guest.wait_for_end(), ShutdownReason::Suspend as u8);

    let mut list: [u64; FRAMES + 1] = [u64::MAX; FRAMES + 1];
    list[..FRAMES].copy_from_slice(&guest.frames);
    let wish = PageFrameInfo {
        num: list.len() as u64,
        array: Vaddr(list.as_mut_ptr() as u64),
    };
    assert_eq!(control(DomctlOp::GetPageFrameInfo, guest.id, &wish), Ok(0));
    assert_eq!(
        list[..5],
        [0xc000_0000, 0x3000_0000, 0x2000_0000, 0x1000_0000, 0]
    );
    assert_eq!(list[FRAMES], 0xf000_0000);
    let wish = PageFrameInfo { num: 1025, ..wish };
    assert_eq!(
        control(DomctlOp::GetPageFrameInfo, guest.id, &wish),
        Err(Errno::E2BIG)
    );

    // The vCPU's state: where it is in its call.
    let mut context = VcpuGuestContext::new_zeroed();
    assert_eq!(guest.get_context(0, &mut context), Ok(0));
    assert_eq!(context.user_regs.rdx, 0x1234);
    assert_eq!(context.ctrlreg[3], Mfn(guest.frames[0]).address());
    context.user_regs.rax = 1;
    assert_eq!(guest.set_context(0, &context), Ok(0));
    assert_eq!(simple(DomctlOp::ResumeDomain, guest.id), Ok(0));
    assert!(!guest.info().flags.contains(DomainInfoFlags::SHUTDOWN));
    guest.wait_for(0, 1);
    assert_eq!(guest.window.read(DATA, 2), 1);
    guest.end();
}
