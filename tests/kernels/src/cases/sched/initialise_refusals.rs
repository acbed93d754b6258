//! A vCPU is initialised with nothing that no processor could load; what a kernel may not have of privilege is taken out. What
//! is refused can be tried again.

use super::super::prelude::*;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};
use guest_abi::vcpu_context::{ContextFlags, VcpuGuestContext};
use guest_abi::vcpu_op::VcpuOp;

const OTHER: VcpuId = VcpuId(1);
/// A page's start that no processor accepts.
const NOWHERE: Vaddr = Vaddr(NON_CANONICAL);
/// Flags of RFLAGS that mean something to whoever returns to a guest: its level for ports, virtual mode, and virtual
/// interrupts.
const PRIVILEGED: u64 = 3 << 12 | 1 << 17 | 3 << 19;

/// The flags with which the new vCPU runs.
static FLAGS: AtomicU64 = AtomicU64::new(0);

fn other(_: VcpuId) {
    let flags: u64;
    // SAFETY: pushes and pops one word.
    unsafe { core::arch::asm!("pushfq", "pop {}", out(reg) flags) };
    FLAGS.store(flags, SeqCst);
}

pub(crate) fn run() {
    smp::need(2);
    let initialise = |context: &VcpuGuestContext| smp::operate(VcpuOp::Initialise, OTHER, context);
    let sound = smp::context(OTHER);
    let spoils: [fn(&mut VcpuGuestContext); 15] = [
        |context| context.user_regs.rip = NOWHERE.0,
        |context| context.event_callback_eip = NOWHERE,
        |context| context.failsafe_callback_eip = NOWHERE,
        |context| context.syscall_callback_eip = NOWHERE,
        |context| context.trap_ctxt[0].address = NOWHERE,
        |context| context.trap_ctxt[255].address = NOWHERE,
        |context| context.fs_base = NOWHERE.0,
        |context| context.gs_base_kernel = NOWHERE.0,
        |context| context.gs_base_user = NOWHERE.0,
        |context| context.ldt_base = NOWHERE,
        |context| context.ldt_base = Vaddr(1),
        |context| context.ldt_ents = 8193,
        |context| context.gdt_ents = 7169,
        // User mode, and no page tables for it.
        |context| context.flags.remove(ContextFlags::IN_KERNEL),
        |context| context.ctrlreg[3] = Mfn(0x0f_ffff_ffff).address(),
    ];
    for (index, spoil) in spoils.into_iter().enumerate() {
        let mut context = sound;
        spoil(&mut context);
        assert_eq!(initialise(&context), Err(Errno::EINVAL), "spoil {index}");
        assert_eq!(
            smp::operate_plain(VcpuOp::Up, OTHER),
            Err(Errno::EINVAL),
            "it is initialised by spoil {index}"
        );
    }
    let unreadable = hypercall!(VcpuOp, VcpuOp::Initialise.number(), OTHER.0, 0x1000u64);
    assert_eq!(unreadable, Err(Errno::EFAULT));
    let nobody = smp::operate(VcpuOp::Initialise, VcpuId(5000), &sound);
    assert_eq!(nobody, Err(Errno::ENOENT));

    smp::set_main(OTHER, other);
    let mut context = sound;
    context.user_regs.rflags |= PRIVILEGED;
    // As if for ring 0.
    context.user_regs.cs &= !3;
    context.user_regs.ss &= !3;
    assert_eq!(initialise(&context), Ok(0));
    assert_eq!(initialise(&sound), Err(Errno::EEXIST));
    assert_eq!(smp::operate_plain(VcpuOp::Up, OTHER), Ok(0));
    smp::wait_until("the new vCPU", || FLAGS.load(SeqCst) != 0);
    let flags = FLAGS.load(SeqCst);
    assert_eq!(flags & PRIVILEGED, 0, "it runs with {flags:#x}");
}
