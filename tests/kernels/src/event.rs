//! Events: the shared page, upcalls, and who has been told of what.

use crate::hypercall::{Outcome, hypercall};
use crate::memory::{self, Frame};
use crate::{cpu, smp, trap};
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use guest_abi::errno::Errno;
use guest_abi::event_channel::{
    AllocUnbound, BindInterdomain, BindIpi, BindVcpu, BindVirq, Close, EventChannelOp, NR_PORTS_2L,
    Reset, Send, Status, Unmask, Virq,
};
use guest_abi::ids::{DomId, Mfn, Port, VcpuId};
use guest_abi::shared_info::{EVENT_WORDS, LEGACY_MAX_VCPUS};
use guest_abi::vcpu_op::{RegisterVcpuInfo, VcpuOp};
use zerocopy::FromZeros;

/// [`guest_abi::shared_info::VcpuInfo`] as memory that the hypervisor changes at any time.
#[repr(C)]
pub(crate) struct VcpuInfo {
    pub(crate) upcall_pending: AtomicU8,
    pub(crate) upcall_mask: AtomicU8,
    pad0: [u8; 6],
    pub(crate) pending_sel: AtomicU64,
    pub(crate) cr2: AtomicU64,
    pad1: u64,
    pub(crate) time: crate::clock::TimeInfo,
}

impl VcpuInfo {
    pub(crate) fn cr2(&self) -> u64 {
        self.cr2.load(Ordering::Relaxed)
    }

    pub(crate) fn upcall_mask(&self) -> u8 {
        self.upcall_mask.load(Ordering::Relaxed)
    }
}

/// [`guest_abi::shared_info::SharedInfo`] as memory that the hypervisor changes at any time.
#[repr(C)]
pub(crate) struct SharedInfo {
    pub(crate) vcpu_info: [VcpuInfo; LEGACY_MAX_VCPUS],
    pub(crate) pending: [AtomicU64; EVENT_WORDS],
    pub(crate) mask: [AtomicU64; EVENT_WORDS],
    pub(crate) wc_version: AtomicU32,
    pub(crate) wc_sec: AtomicU32,
    pub(crate) wc_nsec: AtomicU32,
    pub(crate) wc_sec_hi: AtomicU32,
    pub(crate) max_pfn: AtomicU64,
}

const _: () = {
    use core::mem::offset_of;
    use guest_abi::shared_info as abi;
    assert!(size_of::<VcpuInfo>() == size_of::<abi::VcpuInfo>());
    assert!(offset_of!(VcpuInfo, pending_sel) == offset_of!(abi::VcpuInfo, evtchn_pending_sel));
    assert!(offset_of!(VcpuInfo, cr2) == offset_of!(abi::VcpuInfo, arch));
    assert!(offset_of!(VcpuInfo, time) == offset_of!(abi::VcpuInfo, time));
    assert!(offset_of!(SharedInfo, pending) == offset_of!(abi::SharedInfo, evtchn_pending));
    assert!(offset_of!(SharedInfo, mask) == offset_of!(abi::SharedInfo, evtchn_mask));
    assert!(offset_of!(SharedInfo, wc_version) == offset_of!(abi::SharedInfo, wc_version));
    assert!(offset_of!(SharedInfo, wc_sec_hi) == offset_of!(abi::SharedInfo, wc_sec_hi));
    assert!(offset_of!(SharedInfo, max_pfn) == offset_of!(abi::SharedInfo, arch));
};

static SHARED_INFO: AtomicU64 = AtomicU64::new(0);
/// Where each vCPU's information is; 0 while it is in the shared page.
static REGISTERED: [AtomicU64; cpu::MAX_VCPUS] = [const { AtomicU64::new(0) }; cpu::MAX_VCPUS];
/// Upcalls by port.
static COUNTS: [AtomicU32; NR_PORTS_2L as usize] =
    [const { AtomicU32::new(0) }; NR_PORTS_2L as usize];
/// The vCPU on which the last upcall for a port has run.
static LAST_VCPU: [AtomicU32; NR_PORTS_2L as usize] =
    [const { AtomicU32::new(u32::MAX) }; NR_PORTS_2L as usize];
/// The vCPU that takes each port's events; [`ANY_VCPU`] while nobody has said. Ports of several vCPUs share words
/// of the pending bits: a vCPU that took another's would count it while that one, called for it, finds nothing and goes
/// to sleep.
static TAKERS: [AtomicU32; NR_PORTS_2L as usize] =
    [const { AtomicU32::new(ANY_VCPU) }; NR_PORTS_2L as usize];
const ANY_VCPU: u32 = u32::MAX;
/// Upcalls by vCPU, those without any pending port included.
static UPCALLS: [AtomicU32; cpu::MAX_VCPUS] = [const { AtomicU32::new(0) }; cpu::MAX_VCPUS];

/// Maps the shared page and registers the ways in, on the first vCPU.
pub(crate) fn init() {
    let place = Frame::alloc();
    let mfn = Mfn::of_address(crate::start::start_info().shared_info);
    let outcome = memory::update_va_mapping(
        place.va(),
        memory::entry(mfn, memory::KERNEL_RW),
        guest_abi::mmu::UVMF_INVLPG,
    );
    assert_eq!(outcome, Ok(0), "the shared page can't be mapped");
    SHARED_INFO.store(place.va().0, Ordering::Release);
    trap::init_callbacks();
}

/// The shared page.
pub(crate) fn shared_info() -> &'static SharedInfo {
    let address = SHARED_INFO.load(Ordering::Acquire);
    // SAFETY: `init` has mapped the page there for good; all fields that change are atomic.
    unsafe { &*(address as *const SharedInfo) }
}

/// The information of a vCPU.
pub(crate) fn vcpu_info_of(vcpu: VcpuId) -> &'static VcpuInfo {
    match REGISTERED[vcpu.0 as usize].load(Ordering::Acquire) {
        0 => &shared_info().vcpu_info[vcpu.0 as usize],
        // SAFETY: `register_info` got the address of such information that stays mapped.
        address => unsafe { &*(address as *const VcpuInfo) },
    }
}

/// The information of the vCPU that this runs on.
pub(crate) fn vcpu_info() -> &'static VcpuInfo {
    vcpu_info_of(cpu::id())
}

/// Moves the information of a vCPU to a frame, which is the vCPU's from then on.
pub(crate) fn register_info(vcpu: VcpuId, frame: Frame, offset: u32) -> Outcome {
    let wish = RegisterVcpuInfo {
        mfn: frame.mfn(),
        offset,
        rsvd: 0,
    };
    let outcome = smp::operate(VcpuOp::RegisterVcpuInfo, vcpu, &wish);
    if outcome.is_ok() {
        REGISTERED[vcpu.0 as usize].store(frame.va().0 + u64::from(offset), Ordering::Release);
    }
    outcome
}

/// Masks upcalls on this vCPU.
pub(crate) fn mask_upcalls() {
    vcpu_info().upcall_mask.store(1, Ordering::SeqCst);
}

/// Unmasks upcalls on this vCPU and takes one that waits.
pub(crate) fn unmask_upcalls() {
    let info = vcpu_info();
    info.upcall_mask.store(0, Ordering::SeqCst);
    if info.upcall_pending.load(Ordering::SeqCst) != 0 {
        let _ = hypercall!(Version, 0u64, 0u64);
    }
}

/// Takes what is pending on this vCPU, as the way in for events does.
pub(crate) fn dispatch() {
    let vcpu = cpu::id();
    let info = vcpu_info();
    let shared = shared_info();
    UPCALLS[vcpu.0 as usize].fetch_add(1, Ordering::SeqCst);
    info.upcall_pending.store(0, Ordering::SeqCst);
    let mut words = info.pending_sel.swap(0, Ordering::SeqCst);
    while words != 0 {
        let word = words.trailing_zeros() as usize;
        words &= words - 1;
        let mut bits =
            shared.pending[word].load(Ordering::SeqCst) & !shared.mask[word].load(Ordering::SeqCst);
        while bits != 0 {
            let bit = bits & bits.wrapping_neg();
            let port = word * 64 + bits.trailing_zeros() as usize;
            bits &= bits - 1;
            let taker = TAKERS[port].load(Ordering::SeqCst);
            if taker != ANY_VCPU && taker != vcpu.0 {
                continue;
            }
            shared.pending[word].fetch_and(!bit, Ordering::SeqCst);
            LAST_VCPU[port].store(vcpu.0, Ordering::SeqCst);
            COUNTS[port].fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// How often an upcall has found this port pending.
pub(crate) fn count(port: Port) -> u32 {
    COUNTS[port.0 as usize].load(Ordering::SeqCst)
}

/// The vCPU on which the last upcall for this port has run.
pub(crate) fn last_vcpu(port: Port) -> VcpuId {
    VcpuId(LAST_VCPU[port.0 as usize].load(Ordering::SeqCst))
}

/// How often a vCPU has been called.
pub(crate) fn upcalls(vcpu: VcpuId) -> u32 {
    UPCALLS[vcpu.0 as usize].load(Ordering::SeqCst)
}

/// Whether a port is pending.
pub(crate) fn is_pending(port: Port) -> bool {
    bit_of(&shared_info().pending, port)
}

/// Whether a port is masked.
pub(crate) fn is_masked(port: Port) -> bool {
    bit_of(&shared_info().mask, port)
}

fn bit_of(words: &[AtomicU64; EVENT_WORDS], Port(port): Port) -> bool {
    words[port as usize / 64].load(Ordering::SeqCst) >> (port % 64) & 1 != 0
}

/// Masks a port.
pub(crate) fn mask(Port(port): Port) {
    shared_info().mask[port as usize / 64].fetch_or(1 << (port % 64), Ordering::SeqCst);
}

/// Clears a port's pending bit.
pub(crate) fn clear_pending(Port(port): Port) {
    shared_info().pending[port as usize / 64].fetch_and(!(1 << (port % 64)), Ordering::SeqCst);
}

/// The event-channel operations by their argument.
pub(crate) fn operate<T>(op: EventChannelOp, argument: &mut T) -> Outcome {
    hypercall!(EventChannelOp, op.number(), argument)
}

/// Binds a virtual interrupt to a port, unmasked.
pub(crate) fn bind_virq(virq: Virq, vcpu: VcpuId) -> Port {
    let mut bind = BindVirq {
        virq: virq.number(),
        vcpu,
        port: Port(0),
    };
    assert_eq!(
        operate(EventChannelOp::BindVirq, &mut bind),
        Ok(0),
        "{virq:?}"
    );
    set_taker(bind.port, vcpu.0);
    bind.port
}

/// Says which vCPU takes a port's events.
fn set_taker(Port(port): Port, vcpu: u32) {
    TAKERS[port as usize].store(vcpu, Ordering::SeqCst);
}

/// Allocates a port that interrupts a vCPU.
pub(crate) fn bind_ipi(vcpu: VcpuId) -> Port {
    let mut bind = BindIpi {
        vcpu,
        port: Port(0),
    };
    assert_eq!(operate(EventChannelOp::BindIpi, &mut bind), Ok(0));
    set_taker(bind.port, vcpu.0);
    bind.port
}

/// Moves a port's events to a vCPU.
pub(crate) fn bind_vcpu(port: Port, vcpu: VcpuId) -> Outcome {
    let outcome = operate(EventChannelOp::BindVcpu, &mut BindVcpu { port, vcpu });
    if outcome.is_ok() {
        set_taker(port, vcpu.0);
    }
    outcome
}

/// Sends an event.
pub(crate) fn send(port: Port) -> Outcome {
    operate(EventChannelOp::Send, &mut Send { port })
}

/// Allocates a port of `dom` that `remote` may connect to.
pub(crate) fn alloc_unbound(dom: DomId, remote: DomId) -> Result<Port, Errno> {
    let mut wish = AllocUnbound {
        dom,
        remote_dom: remote,
        port: Port(0),
    };
    operate(EventChannelOp::AllocUnbound, &mut wish).map(|_| wish.port)
}

/// Connects a new port of this domain to one of another.
pub(crate) fn bind_interdomain(remote: DomId, port: Port) -> Result<Port, Errno> {
    let mut wish = BindInterdomain::new_zeroed();
    (wish.remote_dom, wish.remote_port) = (remote, port);
    operate(EventChannelOp::BindInterdomain, &mut wish).map(|_| wish.local_port)
}

/// The state of a port of this domain.
pub(crate) fn status(port: Port) -> Result<Status, Errno> {
    let mut status = Status::new_zeroed();
    (status.dom, status.port) = (DomId::SELF, port);
    operate(EventChannelOp::Status, &mut status).map(|_| status)
}

/// Unmasks a port by hypercall.
pub(crate) fn unmask(port: Port) -> Outcome {
    operate(EventChannelOp::Unmask, &mut Unmask { port })
}

/// Closes a port.
pub(crate) fn close(port: Port) -> Outcome {
    let outcome = operate(EventChannelOp::Close, &mut Close { port });
    if outcome.is_ok() {
        set_taker(port, ANY_VCPU);
    }
    outcome
}

/// Closes all ports of a domain, which is the calling one.
pub(crate) fn reset(dom: DomId) -> Outcome {
    let outcome = operate(EventChannelOp::Reset, &mut Reset { dom });
    if outcome.is_ok() {
        for taker in &TAKERS {
            taker.store(ANY_VCPU, Ordering::SeqCst);
        }
    }
    outcome
}
