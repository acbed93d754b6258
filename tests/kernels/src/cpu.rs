//! What each vCPU has of its own, found by its GS base.

use crate::hypercall::{Outcome, hypercall};
use crate::trap::{Trap, probe};
use core::arch::asm;
use core::cell::Cell;
use guest_abi::ids::VcpuId;
use guest_abi::physdev::{PhysdevOp, SetIopl};

/// The most vCPUs that a case uses.
pub(crate) const MAX_VCPUS: usize = 8;
/// Bytes of each stack.
const STACK_SIZE: usize = 32 * 1024;

const MSR_GS_BASE: u32 = 0xC000_0101;

/// A stack, aligned as calls expect it.
#[repr(C, align(4096))]
pub(crate) struct Stack([u8; STACK_SIZE]);

/// One vCPU's own data.
#[repr(C)]
pub(crate) struct Cpu {
    /// Its own address, which `gs:[0]` yields.
    this: Cell<*const Cpu>,
    /// Where to go on after an exception that [`probe!`](crate::trap::probe) expects; 0 when none is.
    pub(crate) fixup: Cell<u64>,
    /// The first instruction of the [`probe!`](crate::trap::probe) that runs.
    pub(crate) probe_start: Cell<u64>,
    /// Its stack, to which an exception under it returns.
    pub(crate) probe_rsp: Cell<u64>,
    /// The stack of whoever has entered user mode and waits for its end.
    pub(crate) user_caller_rsp: Cell<u64>,
    /// Flags that the next return from an entry gives the hypervisor, once.
    pub(crate) iret_flags: Cell<u64>,
    /// Its number.
    pub(crate) id: Cell<u32>,
    /// The last exception that was expected or has ended user mode.
    pub(crate) trap: Cell<Option<Trap>>,
}

/// Where assembly finds what it needs.
pub(crate) const FIXUP: usize = core::mem::offset_of!(Cpu, fixup);
pub(crate) const PROBE_START: usize = core::mem::offset_of!(Cpu, probe_start);
pub(crate) const PROBE_RSP: usize = core::mem::offset_of!(Cpu, probe_rsp);
pub(crate) const IRET_FLAGS: usize = core::mem::offset_of!(Cpu, iret_flags);
pub(crate) const USER_CALLER_RSP: usize = core::mem::offset_of!(Cpu, user_caller_rsp);

// SAFETY: each vCPU touches its own element only; before it runs, the one that starts it does.
unsafe impl Sync for Cpu {}

impl Cpu {
    const fn new() -> Self {
        Self {
            this: Cell::new(core::ptr::null()),
            fixup: Cell::new(0),
            probe_rsp: Cell::new(0),
            probe_start: Cell::new(0),
            user_caller_rsp: Cell::new(0),
            iret_flags: Cell::new(0),
            id: Cell::new(0),
            trap: Cell::new(None),
        }
    }
}

static CPUS: [Cpu; MAX_VCPUS] = [const { Cpu::new() }; MAX_VCPUS];
static STACKS: [Stack; MAX_VCPUS] = [const { Stack([0; STACK_SIZE]) }; MAX_VCPUS];
static ENTRY_STACKS: [Stack; MAX_VCPUS] = [const { Stack([0; STACK_SIZE]) }; MAX_VCPUS];

/// The vCPU that this runs on.
pub(crate) fn this() -> &'static Cpu {
    let cpu: *const Cpu;
    // SAFETY: the GS base of kernel mode is the address of an element of CPUS, whose first field this is.
    unsafe {
        asm!("mov {}, gs:[0]", out(reg) cpu, options(nostack, readonly, preserves_flags));
        &*cpu
    }
}

/// The number of the vCPU that this runs on.
pub(crate) fn id() -> VcpuId {
    VcpuId(this().id.get())
}

/// Prepares the data of a vCPU and returns the GS base that it needs.
pub(crate) fn prepare(vcpu: VcpuId) -> u64 {
    let cpu = &CPUS[vcpu.0 as usize];
    cpu.this.set(cpu);
    cpu.id.set(vcpu.0);
    core::ptr::from_ref(cpu) as u64
}

/// The end of the stack on which a vCPU starts.
pub(crate) fn stack_end(vcpu: VcpuId) -> u64 {
    STACKS[vcpu.0 as usize].0.as_ptr_range().end as u64
}

/// The end of the stack on which entries from user mode arrive.
pub(crate) fn entry_stack_end(vcpu: VcpuId) -> u64 {
    ENTRY_STACKS[vcpu.0 as usize].0.as_ptr_range().end as u64
}

/// Gives the first vCPU its GS base by the privileged instruction, as kernels do before all else.
pub(crate) fn init_first() {
    write_msr(MSR_GS_BASE, prepare(VcpuId(0)));
}

/// WRMSR, which must not fault.
pub(crate) fn write_msr(msr: u32, value: u64) {
    // SAFETY: this kernel uses no MSR but the segment bases, and says so where it changes them.
    unsafe {
        asm!("wrmsr", in("ecx") msr, in("eax") value as u32, in("edx") (value >> 32) as u32, options(nostack));
    }
}

/// Sets the I/O privilege level.
pub(crate) fn set_iopl(iopl: u32) -> Outcome {
    hypercall!(PhysdevOp, PhysdevOp::SetIopl.number(), &SetIopl { iopl })
}

/// RDMSR; `None` where it faults.
pub(crate) fn read_msr(msr: u32) -> Option<u64> {
    let (low, high): (u32, u32);
    let trap = probe!("rdmsr"; in("ecx") msr, out("eax") low, out("edx") high);
    trap.is_none()
        .then_some(u64::from(high) << 32 | u64::from(low))
}

/// CPUID as the hypervisor answers it to a kernel: EAX, EBX, ECX, EDX.
pub(crate) fn cpuid(leaf: u32, subleaf: u32) -> [u32; 4] {
    let (a, c, d): (u32, u32, u32);
    let wide: u64;
    let trap = probe!(
        "mov {saved}, rbx",
        "ud2",
        ".ascii \"xen\"",
        "cpuid",
        "xchg {saved}, rbx";
        saved = out(reg) wide,
        inout("eax") leaf => a,
        inout("ecx") subleaf => c,
        out("edx") d,
    );
    assert_eq!(trap, None, "CPUID {leaf:#x}");
    [a, wide as u32, c, d]
}

/// Whether the processor follows AMD's manual where that differs from Intel's.
pub(crate) fn is_amd() -> bool {
    let [_, b, c, d] = cpuid(0, 0);
    [b, d, c].map(u32::to_le_bytes).as_flattened() == b"AuthenticAMD"
}
