//! vCPU contexts: set, read, changed, reset; and what is refused.

use super::super::prelude::*;
use crate::control::{DATA, Guest, simple};
use guest_abi::domctl::DomctlOp;
use guest_abi::domctl_domain::DomainInfoFlags;
use guest_abi::vcpu_context::{ContextFlags, VcpuGuestContext};

// Keeps some values where they can be read.
user_code!(
    keeps,
    "mov rbx, 0x1111",
    "mov r15, 0x2222",
    "movq xmm3, rbx",
    "mov qword ptr [rsi], 1",
    "2: pause",
    "jmp 2b",
);

pub(crate) fn run() {
    let guest = Guest::empty(2);
    let mut context = VcpuGuestContext::new_zeroed();
    assert_eq!(guest.get_context(0, &mut context), Err(Errno::ENODATA));
    assert_eq!(guest.get_context(2, &mut context), Err(Errno::EINVAL));
    assert_eq!(guest.set_context(2, &guest.context(0)), Err(Errno::EINVAL));
    // Its root is not one.
    assert_eq!(guest.set_context(0, &guest.context(0)), Err(Errno::EINVAL));
    guest.build(keeps());
    for spoil in [
        (|context| context.user_regs.rip = NON_CANONICAL) as fn(&mut VcpuGuestContext),
        |context| context.event_callback_eip = Vaddr(NON_CANONICAL),
        |context| context.ldt_base = Vaddr(1),
        |context| context.ldt_ents = 8193,
        |context| context.gdt_ents = 7169,
        |context| context.ctrlreg[3] = Mfn(0x0f_ffff_ffff).address(),
        |context| context.flags = ContextFlags::ONLINE,
    ] {
        let mut context = guest.context(0);
        spoil(&mut context);
        assert_eq!(guest.set_context(0, &context), Err(Errno::EINVAL));
    }
    assert_eq!(
        guest.context_operation(DomctlOp::SetVcpuContext, 0, 0x1000),
        Err(Errno::EFAULT)
    );
    assert_eq!(guest.set_context(0, &guest.context(0)), Ok(0));
    guest.start();
    guest.wait_for(0, 1);
    assert_eq!(guest.get_context(0, &mut context), Ok(0));
    assert_eq!(
        (context.user_regs.rbx, context.user_regs.r15),
        (0x1111, 0x2222)
    );
    // XMM3 in the processor's format.
    assert_eq!(context.fpu_ctxt[160 + 48..160 + 50], [0x11, 0x11]);
    assert!(
        context
            .flags
            .contains(ContextFlags::IN_KERNEL | ContextFlags::ONLINE)
    );
    assert_eq!(simple(DomctlOp::PauseDomain, guest.id), Ok(0));
    // Other tables can't be put under it, other registers can.
    let mut other = guest.context(0);
    other.ctrlreg[3] = Mfn(guest.frames[DATA]).address();
    assert_eq!(guest.set_context(0, &other), Err(Errno::EOPNOTSUPP));
    guest.window.write(DATA, 0, 0);
    assert_eq!(guest.set_context(0, &guest.context(0)), Ok(0));
    guest.start();
    guest.wait_for(0, 1);
    // Without a context it is as if it had never been set up.
    assert_eq!(
        guest.context_operation(DomctlOp::SetVcpuContext, 0, 0),
        Ok(0)
    );
    assert_eq!(guest.get_context(0, &mut context), Err(Errno::ENODATA));
    assert_eq!(guest.info().nr_online_vcpus, 0);
    assert!(!guest.info().flags.contains(DomainInfoFlags::RUNNING));
    guest.end();
}
