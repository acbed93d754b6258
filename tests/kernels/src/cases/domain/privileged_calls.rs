//! An ordinary domain is refused every operation that controls others, the machine or its devices: all numbers, known or not,
//! of the hypercalls that do nothing else, and of the others those operations that are about somebody else.
//!
//! What the interface knows has its row by an exhaustive `match`: an operation that is added does not compile before its
//! answer is written down.

use super::super::prelude::*;
use super::call_list::{Answer, List, Made, maker_of_calls};
use crate::control::{BASE, DATA, Guest, is_reference};
use guest_abi::console_io::ConsoleIo;
use guest_abi::domctl::DomctlOp;
use guest_abi::event_channel::EventChannelOp;
use guest_abi::grant_op::GrantTableOp;
use guest_abi::hypercall::Hypercall;
use guest_abi::memory_op::MemoryOp;
use guest_abi::mmu::MmuextOp;
use guest_abi::physdev::PhysdevOp;
use guest_abi::platform::PlatformOp;
use guest_abi::sched_op::SchedOp;
use guest_abi::sysctl::SysctlOp;
use guest_abi::vcpu_op::VcpuOp;
use guest_abi::version::VersionOp;

const PERM: Answer = Errno::EPERM.to_return();
const NONE: Answer = Errno::ENOSYS.to_return();
/// Of a list, nothing is done.
const NOTHING_DONE: Answer = 0;

/// What the reference says as well: for some operations it looks first whether they make sense, and it lets every domain
/// reserve numbers of interrupts.
const REFERENCE_SAYS: [Answer; 4] = [
    PERM,
    Errno::EINVAL.to_return(),
    Errno::EOPNOTSUPP.to_return(),
    Errno::ENODEV.to_return(),
];
const REFERENCE_LETS: (u64, u64, Answer) = (
    Hypercall::PhysdevOp as u64,
    PhysdevOp::GetFreePirq as u64,
    0,
);

/// Whether an answer that is another one than here is the reference's.
fn is_references(made: &Made, result: Answer) -> bool {
    is_reference()
        && (REFERENCE_SAYS.contains(&result) || (made.call, made.which, result) == REFERENCE_LETS)
}

/// Word of the page by which the two talk where the options are told.
const TEXT: usize = 128;

/// About the machine's devices, or the domain's own.
fn physdev(op: PhysdevOp) -> Option<Answer> {
    use PhysdevOp as Op;
    match op {
        Op::SetIopl
        | Op::SetIobitmap
        | Op::Eoi
        | Op::IrqStatusQuery
        | Op::PirqEoiGmfnV1
        | Op::PirqEoiGmfnV2
        | Op::IrqUnmaskNotify
        | Op::FreeIrqVector => None,
        Op::ApicRead
        | Op::ApicWrite
        | Op::AllocIrqVector
        | Op::MapPirq
        | Op::UnmapPirq
        | Op::ManagePciAdd
        | Op::ManagePciRemove
        | Op::RestoreMsi
        | Op::ManagePciAddExt
        | Op::SetupGsi
        | Op::GetFreePirq
        | Op::PciMmcfgReserved
        | Op::PciDeviceAdd
        | Op::PciDeviceRemove
        | Op::RestoreMsiExt
        | Op::DebugPortOp
        | Op::PrepareMsix
        | Op::ReleaseMsix => Some(PERM),
    }
}

/// Of the first domain's memory.
fn memory(op: MemoryOp) -> Option<Answer> {
    use MemoryOp as Op;
    match op {
        Op::IncreaseReservation | Op::DecreaseReservation | Op::PopulatePhysmap => {
            Some(NOTHING_DONE)
        }
        Op::CurrentReservation
        | Op::MaximumReservation
        | Op::MaximumGpfn
        | Op::MachineMemoryMap
        | Op::SetMemoryMap
        | Op::Exchange
        | Op::ClaimPages
        | Op::AcquireResource => Some(PERM),
        Op::AccessOp => Some(PERM),
        // What paravirtualized domains don't have, whoever asks.
        Op::AddToPhysmap | Op::RemoveFromPhysmap | Op::AddToPhysmapBatch => {
            Some(Errno::EACCES.to_return())
        }
        Op::SetPodTarget | Op::GetPodTarget => Some(Errno::EINVAL.to_return()),
        Op::PagingOp | Op::SharingOp => Some(NONE),
        Op::GetVnumaInfo => Some(Errno::EOPNOTSUPP.to_return()),
        Op::MaximumRamPage
        | Op::MachphysMfnList
        | Op::MemoryMap
        | Op::MachphysMapping
        | Op::GetSharingFreedPages
        | Op::GetSharingSharedPages
        | Op::MachphysCompatMfnList
        | Op::ReservedDeviceMemoryMap => None,
    }
}

/// The argument of an operation on the first domain's memory: which word has its number.
fn memory_content(op: MemoryOp, list: u64) -> [u64; 11] {
    let mut content = [0; 11];
    match op {
        // A reservation: list, length, order and flags, domain.
        MemoryOp::IncreaseReservation
        | MemoryOp::DecreaseReservation
        | MemoryOp::PopulatePhysmap
        | MemoryOp::ClaimPages => {
            content[0] = if op == MemoryOp::ClaimPages { 0 } else { list };
            content[1] = 1;
        }
        // Two of them.
        MemoryOp::Exchange => [content[0], content[1], content[4], content[5]] = [list, 1, list, 1],
        // The domain first; one frame of its grant table.
        MemoryOp::AcquireResource => content[0] = 1 << 16,
        _ => {}
    }
    content
}

/// Of another domain's events.
fn events(op: EventChannelOp) -> Option<Answer> {
    use EventChannelOp as Op;
    match op {
        // The domain that is named is the first one.
        Op::AllocUnbound | Op::Status | Op::Reset => Some(PERM),
        Op::BindInterdomain
        | Op::BindVirq
        | Op::BindPirq
        | Op::Close
        | Op::Send
        | Op::BindIpi
        | Op::BindVcpu
        | Op::Unmask
        | Op::InitControl
        | Op::ExpandArray
        | Op::SetPriority => None,
    }
}

/// Of another domain's page tables and frames.
fn mmuext(_: MmuextOp) -> Option<Answer> {
    // Whatever it is: the list is for another domain.
    Some(PERM)
}

/// What is called by a number.
fn named<T: TryFrom<u32>>(number: u32, answer: impl Fn(T) -> Option<Answer>) -> Option<Answer> {
    T::try_from(number).map_or(Some(NONE), answer)
}

/// The numbers that are tried, some beyond those that are known.
const NUMBERS: core::ops::Range<u32> = 0..96;

pub(crate) fn run() {
    let mut wrong = 0;
    wrong += tried(control_calls);
    wrong += tried(machine_calls);
    wrong += tried(other_calls);
    assert_eq!(wrong, 0, "wrong answers");
}

/// Has a domain make the calls that `fill` writes down.
fn tried(fill: fn(&mut List<'_>)) -> u32 {
    let guest = Guest::with_code(maker_of_calls());
    let mut list = List::new(&guest);
    fill(&mut list);
    assert!(list.count() > 40);
    let wrong = list.run(is_references);
    if list.asks_for(Hypercall::Version) {
        let text = [TEXT, TEXT + 1].map(|word| guest.window.read(DATA, word));
        assert_eq!(text, [u64::from_le_bytes(*b"<denied>"), 0]);
    }
    guest.end();
    wrong
}

/// Domains. Only who may ask is told that there is no such operation.
fn control_calls(list: &mut List<'_>) {
    assert!(NUMBERS.filter(|&op| DomctlOp::try_from(op).is_ok()).count() > 70);
    for op in NUMBERS.chain([1000, u32::MAX]) {
        let version = u64::from(guest_abi::domctl::INTERFACE_VERSION);
        let content = [u64::from(op) | version << 32, 0];
        list.add(
            Hypercall::Domctl,
            [list.content_at(), 0, 0, 0],
            &content,
            op.into(),
            PERM,
        );
    }
}

/// The machine and the platform.
fn machine_calls(list: &mut List<'_>) {
    assert!(NUMBERS.filter(|&op| SysctlOp::try_from(op).is_ok()).count() > 20);
    assert!(
        NUMBERS
            .filter(|&op| PlatformOp::try_from(op).is_ok())
            .count()
            > 20
    );
    let calls = [
        (Hypercall::Sysctl, guest_abi::sysctl::INTERFACE_VERSION),
        (
            Hypercall::PlatformOp,
            guest_abi::platform::INTERFACE_VERSION,
        ),
    ];
    for (call, version) in calls {
        for op in NUMBERS.chain([1000, u32::MAX]) {
            let content = [u64::from(op) | u64::from(version) << 32, 0];
            list.add(
                call,
                [list.content_at(), 0, 0, 0],
                &content,
                op.into(),
                PERM,
            );
        }
    }
}

/// Of operations that everybody has: where they are about the machine, or about the first domain.
fn others_of_everybodys(list: &mut List<'_>) {
    // An interrupt of the machine's, which the reference lets everybody bind; to run on processor 0; which processor that is.
    let virq = EventChannelOp::BindVirq.number();
    let arguments = [virq.into(), list.content_at(), 0, 0];
    let answer = if is_reference() { 0 } else { PERM };
    list.add(
        Hypercall::EventChannelOp,
        arguments,
        &[2, 0],
        virq.into(),
        answer,
    );
    let pin = SchedOp::PinOverride.number();
    let arguments = [pin.into(), list.content_at(), 0, 0];
    list.add(Hypercall::SchedOp, arguments, &[0], pin.into(), PERM);
    let physid = VcpuOp::GetPhysid.number();
    let arguments = [physid.into(), 0, list.content_at(), 0];
    let answer = Errno::EINVAL.to_return();
    list.add(Hypercall::VcpuOp, arguments, &[0], physid.into(), answer);
    // Which build this is, and how it was started.
    let build = VersionOp::BuildId.number();
    list.add(
        Hypercall::Version,
        [build.into(), 0, 0, 0],
        &[],
        build.into(),
        PERM,
    );
    let options = VersionOp::CommandLine.number();
    let to = BASE + (DATA * 4096 + TEXT * 8) as u64;
    list.add(
        Hypercall::Version,
        [options.into(), to, 0, 0],
        &[],
        options.into(),
        0,
    );
    let version = GrantTableOp::GetVersion.number();
    let arguments = [version.into(), list.content_at(), 1, 0];
    list.add(
        Hypercall::GrantTableOp,
        arguments,
        &[0],
        version.into(),
        PERM,
    );
}

/// Where some operations are for everybody.
fn other_calls(list: &mut List<'_>) {
    for op in NUMBERS {
        if let Some(answer) = named(op, physdev) {
            let arguments = [op.into(), list.content_at(), 0, 0];
            list.add(Hypercall::PhysdevOp, arguments, &[0; 8], op.into(), answer);
        }
        // The number has six bits.
        if op < 64
            && let Some(answer) = named(op, memory)
        {
            // A list of one frame, behind the argument.
            let list_at = list.content_at() + 10 * 8;
            let content = MemoryOp::try_from(op).map_or([0; 11], |op| memory_content(op, list_at));
            let arguments = [op.into(), list.content_at(), 0, 0];
            list.add(Hypercall::MemoryOp, arguments, &content, op.into(), answer);
        }
        if let Ok(op) = EventChannelOp::try_from(op)
            && let Some(answer) = events(op)
        {
            let arguments = [op.number().into(), list.content_at(), 0, 0];
            list.add(
                Hypercall::EventChannelOp,
                arguments,
                &[0; 4],
                op.number().into(),
                answer,
            );
        }
        if let Ok(op) = MmuextOp::try_from(op)
            && let Some(answer) = mmuext(op)
        {
            let arguments = [list.content_at(), 1, 0, 0];
            list.add(
                Hypercall::MmuextOp,
                arguments,
                &[op.number().into(), 0, 0],
                op.number().into(),
                answer,
            );
        }
    }
    // Caches matter to devices only.
    for (op, answer) in [
        (MmuextOp::FlushCache, Errno::EACCES),
        (MmuextOp::FlushCacheGlobal, Errno::EINVAL),
    ] {
        list.add(
            Hypercall::MmuextOp,
            [list.content_at(), 1, 0, DomId::SELF.0.into()],
            &[op.number().into(), 0, 0],
            op.number().into(),
            answer.to_return(),
        );
    }
    for op in [ConsoleIo::Write, ConsoleIo::Read] {
        let arguments = [op.number().into(), 1, list.content_at(), 0];
        list.add(
            Hypercall::ConsoleIo,
            arguments,
            &[0x2e],
            op.number().into(),
            PERM,
        );
    }
    others_of_everybodys(list);
    let shutdown = SchedOp::RemoteShutdown.number();
    let arguments = [shutdown.into(), list.content_at(), 0, 0];
    list.add(Hypercall::SchedOp, arguments, &[0], shutdown.into(), PERM);
    // A foreign frame, or another domain's tables.
    list.add(
        Hypercall::MmuUpdate,
        [list.content_at(), 1, 0, 0],
        &[0, 0],
        0,
        PERM,
    );
    list.add(
        Hypercall::UpdateVaMappingOtherdomain,
        [BASE, 0, 0, 0],
        &[],
        0,
        PERM,
    );
    // Machine checks; and what is not offered.
    list.add(
        Hypercall::Mca,
        [list.content_at(), 0, 0, 0],
        &[1 | 0x0300_0003 << 32],
        1,
        PERM,
    );
    for call in [
        Hypercall::KexecOp,
        Hypercall::XsmOp,
        Hypercall::HypfsOp,
        Hypercall::TmemOp,
    ] {
        list.add(call, [0, list.content_at(), 0, 0], &[0; 4], 0, NONE);
    }
}
