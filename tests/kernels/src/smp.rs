//! More vCPUs than the first.

use crate::hypercall::{Outcome, hypercall};
use crate::memory::Frame;
use crate::start::start_info;
use crate::{clock, cpu, trap};
use core::sync::atomic::{AtomicPtr, Ordering};
use guest_abi::errno::Errno;
use guest_abi::ids::{Vaddr, VcpuId};
use guest_abi::sched_op::{PinOverride, SchedOp};
use guest_abi::segment::{FLAT_RING3_CS64, FLAT_RING3_SS};
use guest_abi::trap::TrapFlags;
use guest_abi::vcpu_context::{ContextFlags, VcpuGuestContext};
use guest_abi::vcpu_op::VcpuOp;
use zerocopy::FromZeros;

/// What a vCPU runs.
pub(crate) type Main = fn(VcpuId);

static MAINS: [AtomicPtr<()>; cpu::MAX_VCPUS] =
    [const { AtomicPtr::new(core::ptr::null_mut()) }; cpu::MAX_VCPUS];

unsafe extern "C" {
    fn ap_start();
}

/// `vcpu_op` with an argument.
pub(crate) fn operate<T: ?Sized>(op: VcpuOp, vcpu: VcpuId, argument: &T) -> Outcome {
    let address = core::ptr::from_ref(argument).cast::<u8>() as u64;
    hypercall!(VcpuOp, op.number(), vcpu.0, address)
}

/// `vcpu_op` without an argument.
pub(crate) fn operate_plain(op: VcpuOp, vcpu: VcpuId) -> Outcome {
    hypercall!(VcpuOp, op.number(), vcpu.0, 0u64)
}

/// How many vCPUs the domain has.
pub(crate) fn nr_vcpus() -> u32 {
    let mut count = 0;
    loop {
        match operate_plain(VcpuOp::IsUp, VcpuId(count)) {
            Ok(_) => count += 1,
            Err(Errno::ENOENT) => return count.min(cpu::MAX_VCPUS as u32),
            Err(errno) => panic!("is_up of vCPU {count}: {errno:?}"),
        }
    }
}

/// Has the vCPU that this runs on run on this processor only, or, below 0, again wherever it did.
pub(crate) fn pin_override(pcpu: i32) -> Outcome {
    hypercall!(
        SchedOp,
        SchedOp::PinOverride.number(),
        &PinOverride { pcpu }
    )
}

/// Skips the case unless the domain has so many vCPUs.
pub(crate) fn need(count: u32) {
    let present = nr_vcpus();
    if present < count {
        crate::verdict::skip!("it needs {count} vCPUs and the domain has {present}");
    }
}

/// The state in which a vCPU of this kernel starts.
pub(crate) fn context(vcpu: VcpuId) -> VcpuGuestContext {
    let mut context = VcpuGuestContext::new_zeroed();
    context.flags = ContextFlags::IN_KERNEL | ContextFlags::SYSCALL_DISABLES_EVENTS;
    let gs_base = cpu::prepare(vcpu);
    let registers = &mut context.user_regs;
    registers.rip = ap_start as *const () as u64;
    registers.cs = FLAT_RING3_CS64;
    registers.ss = FLAT_RING3_SS;
    registers.rsp = cpu::stack_end(vcpu);
    registers.rflags = trap::rflags::IF;
    registers.rdi = gs_base;
    for (entry, mut info) in context.trap_ctxt.iter_mut().zip(trap::table()) {
        info.flags = TrapFlags::from_bits_retain(0);
        *entry = info;
    }
    context.kernel_ss = u64::from(FLAT_RING3_SS);
    context.kernel_sp = Vaddr(cpu::entry_stack_end(vcpu));
    context.ctrlreg[3] = Frame::at(start_info().pt_base).mfn().address();
    context.event_callback_eip = trap::stub(trap::EVENT);
    context.failsafe_callback_eip = trap::stub(trap::FAILSAFE);
    context.syscall_callback_eip = trap::stub(trap::SYSCALL);
    context.gs_base_kernel = gs_base;
    context
}

/// Says what a vCPU runs once it starts.
pub(crate) fn set_main(vcpu: VcpuId, main: Main) {
    MAINS[vcpu.0 as usize].store(main as *mut (), Ordering::Release);
}

/// Starts a vCPU that has never run. When `main` returns, the vCPU takes itself down.
pub(crate) fn start(vcpu: VcpuId, main: Main) {
    set_main(vcpu, main);
    assert_eq!(operate(VcpuOp::Initialise, vcpu, &context(vcpu)), Ok(0));
    assert_eq!(operate_plain(VcpuOp::Up, vcpu), Ok(0));
}

/// Where a vCPU starts: its data is prepared, its GS base set, events masked.
pub(crate) extern "C" fn ap_main() -> ! {
    let vcpu = cpu::id();
    let main = MAINS[vcpu.0 as usize].load(Ordering::Acquire);
    // SAFETY: `start` has stored such a function.
    let main = unsafe { core::mem::transmute::<*mut (), Main>(main) };
    main(vcpu);
    loop {
        let _ = operate_plain(VcpuOp::Down, vcpu);
    }
}

/// Waits, letting others run, until something is the case; `what` says what when it does not come.
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    /// Far more than anything here takes, on a machine with other work to do.
    const LIMIT_NS: u64 = 30_000_000_000;
    let deadline = clock::now_ns() + LIMIT_NS;
    while !condition() {
        assert!(clock::now_ns() < deadline, "waited in vain: {what}");
        let _ = hypercall!(SchedOp, SchedOp::Yield.number());
    }
}
