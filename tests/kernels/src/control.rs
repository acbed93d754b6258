//! Control operations, and a second domain that they make.
//!
//! The second domain is as small as can be: four page tables, a page of code from this kernel's image, a stack, and a
//! page that both sides write to. This kernel maps all of its frames, so that it can look at any of them.

use crate::hypercall::{Outcome, hypercall};
use crate::memory::{self, KERNEL_RO, KERNEL_RW, TABLE, Tables, entry};
use crate::smp;
use core::sync::atomic::{AtomicU64, Ordering};
use guest_abi::domctl::{Domctl, DomctlOp};
use guest_abi::domctl_domain::{CreateDomain, DomainInfo, DomainInfoFlags};
use guest_abi::domctl_memory::MaxMem;
use guest_abi::domctl_vcpu::{MaxVcpus, VcpuContext};
use guest_abi::errno::Errno;
use guest_abi::ids::{DomId, Mfn, PAGE_SIZE, Vaddr};
use guest_abi::memory_op::{MemoryOp, Reservation};
use guest_abi::mmu::{MmuUpdate, MmuextOp, MmuextOperation};
use guest_abi::payload::Payload;
use guest_abi::segment::{FLAT_RING3_CS64, FLAT_RING3_SS};
use guest_abi::sysctl::{Sysctl, SysctlOp};
use guest_abi::vcpu_context::{ContextFlags, VcpuGuestContext};
use zerocopy::FromZeros;

/// Where the second domain's frames are mapped here, 512 of them for each domain at most.
const WINDOWS: u64 = 0xffff_b000_0000_0000;
/// The second domain's address of its frame 0.
pub(crate) const BASE: u64 = 0xffff_ffff_8000_0000;
/// What its first frames are.
pub(crate) const L4: usize = 0;
const L3: usize = 1;
const L2: usize = 2;
pub(crate) const L1: usize = 3;
pub(crate) const CODE: usize = 4;
const STACK: usize = 5;
/// The page by which the two talk.
pub(crate) const DATA: usize = 6;
/// Where in the window its shared page is for a moment.
pub(crate) const SHARED: usize = 511;
/// Frames of an ordinary one.
pub(crate) const FRAMES: usize = 16;

/// A control operation on `domain` with these contents, which are replaced by the answer.
pub(crate) fn domctl(op: DomctlOp, domain: DomId, content: &mut Payload<16>) -> (Outcome, DomId) {
    let mut wish = Domctl::new_zeroed();
    wish.cmd = op.number();
    wish.interface_version = guest_abi::domctl::INTERFACE_VERSION;
    wish.domain = domain;
    wish.u = *content;
    let outcome = hypercall!(Domctl, &mut wish);
    *content = wish.u;
    (outcome, wish.domain)
}

/// One without an answer.
pub(crate) fn control<T: zerocopy::IntoBytes + zerocopy::Immutable>(
    op: DomctlOp,
    domain: DomId,
    content: &T,
) -> Outcome {
    domctl(op, domain, &mut Payload::of(content)).0
}

/// One without arguments.
pub(crate) fn simple(op: DomctlOp, domain: DomId) -> Outcome {
    let mut nothing = Payload::ZERO;
    domctl(op, domain, &mut nothing).0
}

/// A control operation on the machine.
pub(crate) fn sysctl(op: SysctlOp, content: &mut Payload<16>) -> Outcome {
    let mut wish = Sysctl::new_zeroed();
    wish.cmd = op.number();
    wish.interface_version = guest_abi::sysctl::INTERFACE_VERSION;
    wish.u = *content;
    let outcome = hypercall!(Sysctl, &mut wish);
    *content = wish.u;
    outcome
}

/// A wish for an ordinary domain.
pub(crate) fn ordinary(max_vcpus: u32) -> CreateDomain {
    let mut wish = CreateDomain::new_zeroed();
    wish.max_vcpus = max_vcpus;
    wish.max_evtchn_port = 1023;
    wish.max_grant_frames = 4;
    wish.max_maptrack_frames = 8;
    wish.grant_opts = 1;
    wish
}

/// Makes a domain; which number it has is the hypervisor's choice.
pub(crate) fn create(wish: &CreateDomain) -> Result<DomId, Errno> {
    let (outcome, id) = domctl(DomctlOp::CreateDomain, DomId(0), &mut Payload::of(wish));
    outcome.map(|_| id)
}

/// What is said of a domain with this number or a higher one.
pub(crate) fn info(domain: DomId) -> Result<DomainInfo, Errno> {
    let mut content = Payload::ZERO;
    let (outcome, _) = domctl(DomctlOp::GetDomainInfo, domain, &mut content);
    outcome.map(|_| content.read())
}

/// Whether there is a domain with exactly this number.
pub(crate) fn exists(domain: DomId) -> bool {
    info(domain).is_ok_and(|info| info.domain == domain)
}

/// Bytes of code that a second domain is given.
const CODE_BYTES: u64 = 1024;
static NEXT_WINDOW: AtomicU64 = AtomicU64::new(0);

/// Domains' frames, mapped here at addresses that follow each other.
#[derive(Clone, Copy)]
pub(crate) struct Window {
    tables: Tables,
    base: u64,
}

impl Window {
    /// One that shows nothing yet.
    pub(crate) fn new() -> Self {
        let index = NEXT_WINDOW.fetch_add(1, Ordering::Relaxed);
        // A root slot of its own for each.
        let base = WINDOWS + (index << 39);
        Self {
            tables: Tables::hook(Vaddr(base)),
            base,
        }
    }

    /// Maps frames of `owner` from place `first` on; the number is that of those that are mapped.
    pub(crate) fn map(&self, owner: DomId, first: usize, entries: &[u64]) -> (Outcome, u32) {
        let mut updates = [MmuUpdate { ptr: 0, val: 0 }; 64];
        for (index, (to, from)) in updates.iter_mut().zip(entries).enumerate() {
            to.ptr = self.tables.l1.word_address(first + index);
            to.val = *from;
        }
        let mut done = u32::MAX;
        let updates = &updates[..entries.len()];
        let outcome = hypercall!(MmuUpdate, updates, updates.len(), &mut done, owner);
        (outcome, done)
    }

    /// Takes everything out of it.
    pub(crate) fn clear(&self, count: usize) {
        for first in (0..count).step_by(64) {
            let zeroes = [0; 64];
            let (outcome, _) = self.map(DomId::SELF, first, &zeroes[..(count - first).min(64)]);
            assert_eq!(outcome, Ok(0));
        }
        let flush = memory::mmuext_two(MmuextOp::TlbFlushLocal, 0, 0);
        assert_eq!(flush, Ok(0));
    }

    fn word(&self, page: usize, index: usize) -> *mut u64 {
        (self.base + (page * PAGE_SIZE + index * 8) as u64) as *mut u64
    }

    /// Reads a word.
    pub(crate) fn read(&self, page: usize, index: usize) -> u64 {
        // SAFETY: a volatile access to what no reference points to; a fault is reported.
        unsafe { self.word(page, index).read_volatile() }
    }

    /// Writes a word.
    pub(crate) fn write(&self, page: usize, index: usize, value: u64) {
        // SAFETY: as `read`.
        unsafe { self.word(page, index).write_volatile(value) }
    }
}

/// A second domain.
pub(crate) struct Guest {
    pub(crate) id: DomId,
    pub(crate) frames: [u64; FRAMES],
    pub(crate) window: Window,
}

impl Guest {
    /// A domain with memory, all of it mapped here, and `vcpus` vCPUs; it is paused, and nothing is in it.
    pub(crate) fn empty(vcpus: u32) -> Self {
        Self::empty_in(Window::new(), vcpus)
    }

    /// The same, mapped in a window that shows nothing.
    pub(crate) fn empty_in(window: Window, vcpus: u32) -> Self {
        Self::empty_as(&ordinary(vcpus), window)
    }

    /// The same, of another kind.
    pub(crate) fn empty_as(wish: &CreateDomain, window: Window) -> Self {
        let vcpus = wish.max_vcpus;
        let id = create(wish).expect("no domain");
        assert_eq!(
            control(DomctlOp::MaxVcpus, id, &MaxVcpus { max: vcpus }),
            Ok(0)
        );
        let most = MaxMem {
            max_memkb: 4 * FRAMES as u64,
        };
        assert_eq!(control(DomctlOp::MaxMem, id, &most), Ok(0));
        let mut frames: [u64; FRAMES] = core::array::from_fn(|pfn| pfn as u64);
        assert_eq!(populate(id, &mut frames), Ok(FRAMES as u64));
        let guest = Self { id, frames, window };
        guest.map();
        guest
    }

    /// Maps all its frames for writing.
    pub(crate) fn map(&self) {
        let entries = self.frames.map(|mfn| entry(Mfn(mfn), KERNEL_RW));
        let (outcome, done) = self.window.map(self.id, 0, &entries);
        assert_eq!(
            (outcome, done),
            (Ok(0), FRAMES as u32),
            "frames can't be mapped"
        );
    }

    /// A domain of which `code` is the first vCPU's: ready to be let go.
    pub(crate) fn with_code(code: *const u8) -> Self {
        Self::with_code_as(&ordinary(1), code)
    }

    /// The same, of another kind.
    pub(crate) fn with_code_as(wish: &CreateDomain, code: *const u8) -> Self {
        let guest = Self::empty_as(wish, Window::new());
        guest.build(code);
        assert_eq!(guest.set_context(0, &guest.context(0)), Ok(0));
        guest
    }

    /// Page tables and code, and no vCPU hears of events yet.
    pub(crate) fn build(&self, code: *const u8) {
        self.fill(code);
        self.seal();
    }

    /// Makes page tables of what was written there.
    pub(crate) fn seal(&self) {
        self.mask_events();
        self.hide_tables();
        let (outcome, _) = self.pin(MmuextOp::PinL4Table, L4);
        assert_eq!(outcome, Ok(0), "the root can't be pinned");
    }

    /// Writes page tables and code.
    pub(crate) fn fill(&self, code: *const u8) {
        let window = &self.window;
        let at = |frame: usize, flags| entry(Mfn(self.frames[frame]), flags);
        let index = |level| memory::index(Vaddr(BASE), level);
        window.write(L4, index(4), at(L3, TABLE));
        window.write(L3, index(3), at(L2, TABLE));
        window.write(L2, index(2), at(L1, TABLE));
        for frame in 0..FRAMES {
            let flags = if frame <= L1 { KERNEL_RO } else { KERNEL_RW };
            window.write(L1, frame, at(frame, flags));
        }
        for word in 0..CODE_BYTES as usize / 8 {
            // SAFETY: the section `.user` is longer than what is read of it, or something of the image follows.
            let value = unsafe { code.cast::<u64>().add(word).read_unaligned() };
            window.write(CODE, word, value);
        }
    }

    /// Masks the upcalls of the first vCPUs, as builders do.
    fn mask_events(&self) {
        let shared = Mfn(self.info().shared_info_frame);
        let (outcome, _) = self
            .window
            .map(self.id, SHARED, &[entry(shared, KERNEL_RW)]);
        assert_eq!(outcome, Ok(0), "the shared page can't be mapped");
        for vcpu in 0..32 {
            // The second byte of each of the structures of 64.
            let word = vcpu * 8;
            let value = self.window.read(SHARED, word);
            self.window.write(SHARED, word, value | 0x100);
        }
        let (outcome, _) = self.window.map(self.id, SHARED, &[0]);
        assert_eq!(outcome, Ok(0));
    }

    /// Takes write access to its tables from this domain.
    pub(crate) fn hide_tables(&self) {
        let entries: [u64; L1 + 1] =
            core::array::from_fn(|frame| entry(Mfn(self.frames[frame]), KERNEL_RO));
        let (outcome, _) = self.window.map(self.id, 0, &entries);
        assert_eq!(outcome, Ok(0));
    }

    /// An operation with one of its frames.
    pub(crate) fn pin(&self, op: MmuextOp, frame: usize) -> (Outcome, u32) {
        let mut operation = MmuextOperation::new_zeroed();
        operation.cmd = op.number();
        operation.arg1 = self.frames[frame];
        let mut done = u32::MAX;
        let list = [operation];
        let outcome = hypercall!(MmuextOp, &list[..], 1u64, &mut done, self.id);
        (outcome, done)
    }

    /// A context for a vCPU, which begins with the code.
    pub(crate) fn context(&self, vcpu: u32) -> VcpuGuestContext {
        let page = |frame: usize| BASE + (frame * PAGE_SIZE) as u64;
        let mut context = VcpuGuestContext::new_zeroed();
        context.flags = ContextFlags::IN_KERNEL | ContextFlags::ONLINE;
        let registers = &mut context.user_regs;
        registers.rip = page(CODE);
        registers.rsp = page(STACK) + PAGE_SIZE as u64 - 512 * u64::from(vcpu);
        registers.rsi = page(DATA);
        registers.rdi = u64::from(vcpu);
        registers.rflags = 0x200;
        (registers.cs, registers.ss) = (FLAT_RING3_CS64, FLAT_RING3_SS);
        context.kernel_ss = u64::from(FLAT_RING3_SS);
        context.kernel_sp = Vaddr(registers.rsp);
        context.ctrlreg[3] = Mfn(self.frames[L4]).address();
        (context.debugreg[6], context.debugreg[7]) = (0xffff_0ff0, 0x400);
        context
    }

    /// Sets a vCPU's context.
    pub(crate) fn set_context(&self, vcpu: u32, context: &VcpuGuestContext) -> Outcome {
        self.context_operation(
            DomctlOp::SetVcpuContext,
            vcpu,
            core::ptr::from_ref(context) as u64,
        )
    }

    /// Reads a vCPU's context.
    pub(crate) fn get_context(&self, vcpu: u32, context: &mut VcpuGuestContext) -> Outcome {
        self.context_operation(
            DomctlOp::GetVcpuContext,
            vcpu,
            core::ptr::from_mut(context) as u64,
        )
    }

    /// An operation with a context at this address.
    pub(crate) fn context_operation(&self, op: DomctlOp, vcpu: u32, at: u64) -> Outcome {
        let mut wish = VcpuContext::new_zeroed();
        (wish.vcpu, wish.ctxt) = (vcpu, Vaddr(at));
        control(op, self.id, &wish)
    }

    /// What is said of it.
    pub(crate) fn info(&self) -> DomainInfo {
        let info = info(self.id).expect("the domain is gone");
        assert_eq!(info.domain, self.id);
        info
    }

    /// Lets it go.
    pub(crate) fn start(&self) {
        assert_eq!(simple(DomctlOp::UnpauseDomain, self.id), Ok(0));
    }

    /// Waits until it has ended, and says why.
    pub(crate) fn wait_for_end(&self) -> u8 {
        smp::wait_until("the guest's end", || {
            self.info().flags.contains(DomainInfoFlags::SHUTDOWN)
        });
        (self.info().flags.bits() >> 16) as u8
    }

    /// Waits until a word of its data page is this.
    pub(crate) fn wait_for(&self, word: usize, value: u64) {
        smp::wait_until("the guest", || self.window.read(DATA, word) == value);
    }

    /// Destroys it, while this domain maps its frames.
    pub(crate) fn destroy(&self) {
        assert_eq!(simple(DomctlOp::DestroyDomain, self.id), Ok(0));
    }

    /// Destroys it and lets go of all of it: it is gone.
    pub(crate) fn end(&self) {
        self.destroy();
        self.window.clear(FRAMES);
        assert!(!exists(self.id), "the domain is still there");
    }
}

/// Gives a domain frames for the numbers in `list`, where the machine's are written.
pub(crate) fn populate(id: DomId, list: &mut [u64]) -> Outcome {
    let mut reservation = Reservation::new_zeroed();
    reservation.extent_start = Vaddr(list.as_mut_ptr() as u64);
    reservation.nr_extents = list.len() as u64;
    reservation.domid = id;
    hypercall!(
        MemoryOp,
        MemoryOp::PopulatePhysmap.number(),
        &mut reservation
    )
}

/// Free frames of the machine.
pub(crate) fn free_frames() -> u64 {
    let mut content = Payload::ZERO;
    assert_eq!(sysctl(SysctlOp::PhysInfo, &mut content), Ok(0));
    content.read::<guest_abi::sysctl::PhysInfo>().free_pages
}

/// Whether this is the hypervisor that the others are compared with.
pub(crate) fn is_reference() -> bool {
    let mut text = [0u8; guest_abi::version::EXTRA_VERSION_SIZE];
    let op = guest_abi::version::VersionOp::ExtraVersion.number();
    assert_eq!(hypercall!(Version, op, &mut text[..]), Ok(0));
    !text.windows(8).any(|part| part == b"paravane")
}

/// How many processors the machine has.
pub(crate) fn physical_processors() -> u32 {
    let mut content = Payload::ZERO;
    assert_eq!(sysctl(SysctlOp::PhysInfo, &mut content), Ok(0));
    content.read::<guest_abi::sysctl::PhysInfo>().nr_cpus
}
