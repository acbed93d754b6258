//! Pointers to nothing, into the hypervisor, to no address at all, and (for results) to read-only memory
//! answer EFAULT, in every hypercall that takes one.

use super::super::prelude::*;
use guest_abi::event_channel::EventChannelOp;
use guest_abi::grant_op::GrantTableOp;
use guest_abi::memory_op::MemoryOp;
use guest_abi::sched_op::SchedOp;
use guest_abi::sysctl::SysctlOp;
use guest_abi::vcpu_op::VcpuOp;
use guest_abi::version::VersionOp;

pub(crate) fn run() {
    // What is there is a wish that can be read, of a control operation.
    let readonly = Frame::alloc();
    let version = u64::from(guest_abi::sysctl::INTERFACE_VERSION);
    readonly.write(0, u64::from(SysctlOp::PhysInfo.number()) | version << 32);
    memory::make_readonly(readonly);
    let [mapped, unmapped] = Frame::alloc_many();
    assert_eq!(memory::update_va_mapping(unmapped.va(), 0, 2), Ok(0));
    let bad = [
        0x1_0000_0000,
        0x1000,
        Vaddr::HYPERVISOR_START.0 + 0x5000_0000_0000,
        Vaddr::HYPERVISOR_END.0 - 8,
        NON_CANONICAL,
        // Starts in a page and ends in one that is not there.
        mapped.va().0 + 4096 - 1,
    ];
    for pointer in bad {
        let all = [
            (
                "event_channel_op",
                hypercall!(EventChannelOp, EventChannelOp::Send.number(), pointer),
            ),
            (
                "sched_op",
                hypercall!(SchedOp, SchedOp::Poll.number(), pointer),
            ),
            (
                "memory_op",
                hypercall!(MemoryOp, MemoryOp::CurrentReservation.number(), pointer),
            ),
            (
                "memory_op, map",
                hypercall!(MemoryOp, MemoryOp::MachineMemoryMap.number(), pointer),
            ),
            (
                "vcpu_op",
                hypercall!(VcpuOp, VcpuOp::SetSingleshotTimer.number(), 0u64, pointer),
            ),
            ("callback_op", hypercall!(CallbackOp, 0u64, pointer)),
            ("physdev_op", hypercall!(PhysdevOp, 6u64, pointer)),
            ("platform_op", hypercall!(PlatformOp, pointer)),
            ("domctl", hypercall!(Domctl, pointer)),
            ("sysctl", hypercall!(Sysctl, pointer)),
            ("mca", hypercall!(Mca, pointer)),
            ("multicall", hypercall!(Multicall, pointer, 1u64)),
            (
                "mmu_update",
                hypercall!(MmuUpdate, pointer, 1u64, 0u64, DomId::SELF),
            ),
            (
                "mmuext_op",
                hypercall!(MmuextOp, pointer, 1u64, 0u64, DomId::SELF),
            ),
            ("set_gdt", hypercall!(SetGdt, pointer, 512u64)),
            ("set_trap_table", hypercall!(SetTrapTable, pointer)),
            ("console_io", hypercall!(ConsoleIo, 0u64, 8u64, pointer)),
            (
                "grant_table_op",
                hypercall!(
                    GrantTableOp,
                    GrantTableOp::QuerySize.number(),
                    pointer,
                    1u64
                ),
            ),
            (
                "version, extra",
                hypercall!(Version, VersionOp::ExtraVersion.number(), pointer),
            ),
            (
                "version, features",
                hypercall!(Version, VersionOp::GetFeatures.number(), pointer),
            ),
        ];
        for (name, outcome) in all {
            assert_eq!(outcome, Err(Errno::EFAULT), "{name} with {pointer:#x}");
        }
    }
    // Results.
    let pointer = readonly.va().0;
    let all = [
        (
            "version",
            hypercall!(Version, VersionOp::ExtraVersion.number(), pointer),
        ),
        (
            "memory_op",
            hypercall!(MemoryOp, MemoryOp::MachphysMapping.number(), pointer),
        ),
        (
            "vcpu_op",
            hypercall!(VcpuOp, VcpuOp::GetRunstateInfo.number(), 0u64, pointer),
        ),
        ("sysctl", hypercall!(Sysctl, pointer)),
    ];
    for (name, outcome) in all {
        assert_eq!(outcome, Err(Errno::EFAULT), "{name} into a read-only page");
    }
}
