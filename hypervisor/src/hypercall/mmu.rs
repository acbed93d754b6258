//! Page tables: updates, pins, roots, flushes.

#![forbid(unsafe_code)]

use super::{Answer, Outcome, admit, read, write};
use crate::arch::guest::running::Guest;
use crate::arch::guest::state;
use crate::arch::memory::{Machine, mm};
use crate::arch::{scheduler, tlb};
use crate::control::privilege::{self, Whom};
use crate::control::vcpu_mask::{self, VcpuMask};
use crate::domain::context::Context;
use crate::domain::{Domain, Domains};
use crate::mm::error::{MmError, Stop};
use crate::mm::mmu_update::{Parties, Request};
use crate::mm::pin::Root;
use crate::mm::typ::Level;
use crate::mm::update::{AccessedDirty, Owed};
use crate::sched::CpuId;
use alloc::sync::Arc;
use arrayvec::ArrayVec;
use core::mem::size_of;
use core::sync::atomic::{Ordering, fence};
use guest_abi::errno::Errno;
use guest_abi::ids::{DomId, Mfn, Vaddr};
use guest_abi::mmu::{
    MmuUpdate, MmuextOp, MmuextOperation, UPDATE_PREEMPTED, UVMF_ALL, UVMF_FLUSHTYPE_MASK,
    UVMF_INVLPG, UVMF_TLB_FLUSH,
};

/// Requests that are copied in at a time.
const PIECE: usize = 16;

/// Where a list of requests stands.
struct List {
    at: u64,
    left: u32,
    /// Requests done in earlier calls.
    before: u32,
    done: u32,
    done_at: u64,
    who: u64,
}

impl List {
    fn new([at, count, done_at, who, ..]: [u64; 6]) -> Self {
        let count = count as u32;
        let before = match count & UPDATE_PREEMPTED {
            0 => 0,
            // A place that can't be read or written is the guest's loss, here and when reporting.
            _ => read(done_at).unwrap_or(0),
        };
        Self {
            at,
            left: count & !UPDATE_PREEMPTED,
            before,
            done: 0,
            done_at,
            who,
        }
    }

    fn advance(&mut self, entries: u32, size: usize) {
        self.at = self.at.wrapping_add(u64::from(entries) * size as u64);
        self.left -= entries;
        self.done += entries;
    }

    /// Says how many requests are done.
    fn report(&self) {
        if self.done_at != 0 {
            let _ = write(self.done_at, &self.before.saturating_add(self.done));
        }
    }

    fn end(&self, answer: Answer) -> Outcome {
        self.report();
        answer.into()
    }

    fn again(&self) -> Outcome {
        self.report();
        Outcome::again([
            self.at,
            u64::from(self.left | UPDATE_PREEMPTED),
            self.done_at,
            self.who,
        ])
    }
}

/// Whose frames an operation is about.
enum Owner<'g> {
    /// The caller, which is there as long as its call: nothing is counted for it.
    Caller(&'g Arc<Domain>),
    Other(Arc<Domain>),
    /// Of device memory, or of what the hypervisor shares: there is no such domain, and no frame of
    /// theirs can become a table or be written to.
    Nobody(DomId),
}

impl<'g> Owner<'g> {
    #[inline]
    fn find(guest: &Guest<'g>, id: u16) -> Result<Self, Errno> {
        match resolve(guest, id) {
            id if id == guest.domain.id() => Ok(Self::Caller(guest.domain)),
            id @ (DomId::IO | DomId::XEN) => Ok(Self::Nobody(id)),
            id => Domains.find(id).map(Self::Other).ok_or(Errno::ESRCH),
        }
    }

    const fn whom(&self) -> Whom {
        match self {
            Self::Caller(_) => Whom::Caller,
            Self::Other(_) | Self::Nobody(_) => Whom::Other,
        }
    }

    fn domain(&self) -> Option<&Arc<Domain>> {
        match self {
            Self::Caller(domain) => Some(domain),
            Self::Other(domain) => Some(domain),
            Self::Nobody(_) => None,
        }
    }

    fn id(&self) -> DomId {
        match self {
            Self::Caller(domain) => domain.id(),
            Self::Other(domain) => domain.id(),
            Self::Nobody(id) => *id,
        }
    }
}

fn resolve(guest: &Guest<'_>, id: u16) -> DomId {
    if DomId(id) == DomId::SELF {
        guest.domain.id()
    } else {
        DomId(id)
    }
}

/// Tells the processors that run the domain what an update owes them.
fn settle(domain: &Domain, owed: Owed) {
    if owed.is_flush {
        tlb::flush_domain(domain.id());
    }
}

/// Flushes the processors of those vCPUs that its guest names: which vCPU is where is its own business, and one that moves
/// meanwhile flushes by that.
fn flush_vcpus(domain: &Domain, mask: &VcpuMask) {
    // What was written before must be seen by who moves to another processor after its place is read here: it says where it is
    // before it loads its tables.
    fence(Ordering::SeqCst);
    let vcpus = domain.vcpus().iter();
    let places = vcpus.map(|vcpu| (vcpu.id(), CpuId(vcpu.processor())));
    let wanted = vcpu_mask::processors(mask, places);
    tlb::flush(domain.id(), |cpu| wanted.contains(CpuId(cpu)));
}

pub(super) fn mmu_update(guest: &Guest<'_>, arguments: [u64; 6]) -> Outcome {
    let mut list = List::new(arguments);
    let caller = guest.domain.id();
    let (frames_of, tables_of) = (list.who as u16, (list.who >> 16) as u16);
    // Held until the end: so long nobody else gets its number.
    let owner = match Owner::find(guest, frames_of) {
        Ok(owner) => owner,
        Err(errno) => return Err(errno).into(),
    };
    let frame_owner = owner.id();
    let other;
    let subject = match tables_of {
        0 => guest.domain,
        number => match Domains.find(resolve(guest, number - 1)) {
            Some(domain) => {
                other = domain;
                &other
            }
            None => return Err(Errno::ESRCH).into(),
        },
    };
    let parties = match Parties::new(&Machine, caller, subject.id(), frame_owner) {
        Ok(parties) => parties,
        Err(error) => return Err(error.errno()).into(),
    };
    while list.left != 0 {
        let mut requests = ArrayVec::<Request, PIECE>::new();
        let mut at = list.at;
        for _ in 0..(list.left as usize).min(PIECE) {
            match read::<MmuUpdate>(at) {
                Ok(MmuUpdate { ptr, val }) => requests.push(Request { ptr, val }),
                Err(errno) if requests.is_empty() => return list.end(Err(errno)),
                Err(_) => break,
            }
            at = at.wrapping_add(size_of::<MmuUpdate>() as u64);
        }
        let (mut done, mut owed) = (0, Owed::NOTHING);
        let result = subject
            .with_tables(|lock| mm().mmu_update(lock, parties, &requests, &mut done, &mut owed));
        settle(subject, owed);
        list.advance(done as u32, size_of::<MmuUpdate>());
        match result {
            Ok(()) => {}
            Err(Stop::Failed(error)) => return list.end(Err(error.errno())),
            Err(Stop::Preempted) => return list.again(),
        }
        if list.left != 0 && scheduler::should_yield() {
            return list.again();
        }
    }
    list.end(Ok(0))
}

/// Which processors a guest wants flushed.
enum Scope {
    Here,
    Everywhere,
    Some(VcpuMask),
}

/// vCPUs that a mask names. It has as many bits as the domain has vCPUs.
fn read_mask(guest: &Guest<'_>, at: u64) -> Result<VcpuMask, Errno> {
    let mut mask = VcpuMask::default();
    for index in 0..VcpuMask::bytes_for(guest.domain.vcpus().len()) {
        let byte: u8 = read(at.checked_add(index as u64).ok_or(Errno::EFAULT)?)?;
        mask.add(index, byte);
    }
    Ok(mask)
}

fn flush(guest: &Guest<'_>, scope: &Scope, page: Option<u64>) {
    match (scope, page) {
        (Scope::Here, Some(address)) => tlb::flush_page_local(address),
        (Scope::Here, None) => tlb::flush_local(),
        (Scope::Everywhere, _) => tlb::flush_domain(guest.domain.id()),
        (Scope::Some(mask), _) => flush_vcpus(guest.domain, mask),
    }
}

pub(super) fn update_va_mapping(
    guest: &Guest<'_>,
    arguments: [u64; 6],
    frame_owner: Option<u16>,
) -> Outcome {
    let [address, value, flags, ..] = arguments;
    // Held until the end, as for a list.
    let owner = match Owner::find(guest, frame_owner.unwrap_or(DomId::SELF.0)) {
        Ok(owner) => owner,
        Err(errno) => return Err(errno).into(),
    };
    let frame_owner = owner.id();
    if let Err(error) = Parties::new(&Machine, guest.domain.id(), guest.domain.id(), frame_owner) {
        return Err(error.errno()).into();
    }
    let root = guest.context.kernel_root;
    let place = (root, Vaddr(address));
    let result = guest.domain.with_tables(|lock| {
        mm().update_mapping(lock, place, value, AccessedDirty::Replace, frame_owner)
    });
    match result {
        Ok(()) => {}
        Err(Stop::Failed(error)) => return Err(error.errno()).into(),
        Err(Stop::Preempted) => return Outcome::again([]),
    }
    let page = match flags & UVMF_FLUSHTYPE_MASK {
        UVMF_TLB_FLUSH => None,
        UVMF_INVLPG => Some(address),
        _ => return Ok(0).into(),
    };
    let scope = match flags & !UVMF_FLUSHTYPE_MASK {
        0 => Scope::Here,
        UVMF_ALL => Scope::Everywhere,
        pointer => match read_mask(guest, pointer) {
            Ok(mask) => Scope::Some(mask),
            Err(errno) => return Err(errno).into(),
        },
    };
    flush(guest, &scope, page);
    Ok(0).into()
}

pub(super) fn mmuext_op(guest: &mut Guest<'_>, arguments: [u64; 6]) -> Outcome {
    let mut list = List::new(arguments);
    let target = match Owner::find(guest, list.who as u16) {
        Ok(owner) => owner,
        Err(errno) => return Err(errno).into(),
    };
    if let Err(errno) = privilege::TABLES.admit(guest.domain.rights(), target.whom()) {
        return Err(errno).into();
    }
    while list.left != 0 {
        let result = read::<MmuextOperation>(list.at)
            .map_err(Refusal::Errno)
            .and_then(|op| one(guest, &target, &op));
        match result {
            Ok(()) => list.advance(1, size_of::<MmuextOperation>()),
            Err(Refusal::Errno(errno)) => return list.end(Err(errno)),
            Err(Refusal::Preempted) => return list.again(),
        }
        if list.left != 0 && scheduler::should_yield() {
            return list.again();
        }
    }
    list.end(Ok(0))
}

/// Why an operation is not done.
pub(super) enum Refusal {
    /// It can't be.
    Errno(Errno),
    /// The processor is wanted for something else: again.
    Preempted,
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl From<Stop> for Refusal {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Failed(error) => Self::Errno(error.errno()),
            Stop::Preempted => Self::Preempted,
        }
    }
}

impl From<MmError> for Refusal {
    fn from(error: MmError) -> Self {
        Self::Errno(error.errno())
    }
}

/// One extended operation.
fn one(guest: &mut Guest<'_>, target: &Owner<'_>, op: &MmuextOperation) -> Result<(), Refusal> {
    let kind = MmuextOp::try_from(op.cmd).map_err(|_| Errno::ENOSYS)?;
    if target.whom() == Whom::Other {
        privilege::mmuext_of_others(kind).admit(guest.domain.rights(), Whom::Other)?;
    }
    let target = target.domain().ok_or(Errno::EINVAL)?;
    let pin = |level| target.with_tables(|lock| mm().pin(lock, op.mfn(), level));
    match kind {
        MmuextOp::PinL1Table => pin(Level::L1)?,
        MmuextOp::PinL2Table => pin(Level::L2)?,
        MmuextOp::PinL3Table => pin(Level::L3)?,
        MmuextOp::PinL4Table => pin(Level::L4)?,
        MmuextOp::UnpinTable => target.with_tables(|lock| mm().unpin(lock, op.mfn()))?,
        MmuextOp::NewBaseptr => new_root(guest, op.mfn())?,
        MmuextOp::NewUserBaseptr => new_user_root(guest, op.mfn())?,
        MmuextOp::TlbFlushLocal => tlb::flush_local(),
        MmuextOp::InvlpgLocal => tlb::flush_page_local(op.linear_addr().0),
        MmuextOp::TlbFlushMulti | MmuextOp::InvlpgMulti => {
            let mask = read_mask(guest, op.vcpu_mask().0).map_err(|_| Errno::EINVAL)?;
            flush(guest, &Scope::Some(mask), None);
        }
        MmuextOp::TlbFlushAll | MmuextOp::InvlpgAll => flush(guest, &Scope::Everywhere, None),
        MmuextOp::FlushCache | MmuextOp::FlushCacheGlobal => {
            match (kind, admit(guest, privilege::CACHES)) {
                (MmuextOp::FlushCacheGlobal, Ok(())) => tlb::write_back_all_caches(),
                (MmuextOp::FlushCacheGlobal, Err(_)) => return Err(Errno::EINVAL.into()),
                (_, Ok(())) => tlb::write_back_caches(),
                (_, Err(_)) => return Err(Errno::EACCES.into()),
            }
        }
        MmuextOp::SetLdt => super::descriptors::set_ldt(guest, op.linear_addr(), op.nr_ents())?,
        MmuextOp::ClearPage => mm().clear_page(op.mfn(), target.id(), guest.domain.id())?,
        MmuextOp::CopyPage => {
            mm().copy_page(op.mfn(), op.src_mfn(), target.id(), guest.domain.id())?
        }
        MmuextOp::MarkSuper | MmuextOp::UnmarkSuper => return Err(Errno::EOPNOTSUPP.into()),
    }
    Ok(())
}

/// Loads a new kernel root.
fn new_root(guest: &mut Guest<'_>, mfn: Mfn) -> Result<(), Refusal> {
    let old = guest.context.kernel_root;
    if old != mfn {
        let new = guest.domain.with_tables(|lock| mm().get_root(lock, mfn))?;
        super::descriptors::drop_ldt_pages(guest);
        guest.context.kernel_root = new.remember();
    }
    state::reload_root(guest.context);
    if old != mfn {
        guest
            .domain
            .with_tables(|lock| mm().put_root(lock, Root::recall(old)));
    }
    Ok(())
}

/// Why a root is not loaded.
pub(crate) enum RootRefusal {
    /// The processor is wanted for something else: again.
    Preempted,
    /// It can't be a root.
    Refused,
}

/// Loads a new kernel root, for a guest that writes to CR3.
pub(crate) fn load_root(guest: &mut Guest<'_>, mfn: Mfn) -> Result<(), RootRefusal> {
    new_root(guest, mfn).map_err(|refusal| match refusal {
        Refusal::Preempted => RootRefusal::Preempted,
        Refusal::Errno(_) => RootRefusal::Refused,
    })
}

/// Sets a new user root; frame 0 is none.
fn new_user_root(guest: &mut Guest<'_>, mfn: Mfn) -> Result<(), Refusal> {
    let user_root = &mut guest.context.user_root;
    guest.domain.with_tables(|lock| {
        let new = match mfn.0 {
            0 => None,
            _ => Some(mm().get_root(lock, mfn)?.remember()),
        };
        let old = core::mem::replace(user_root, new);
        // Translations of the old one may be global: they must not be found under the new one.
        tlb::flush_local();
        if let Some(old) = old {
            mm().put_root(lock, Root::recall(old));
        }
        Ok(())
    })
}

/// Takes the roots that a new context names, or none.
///
/// A call that is preempted makes progress all the same: what is validated stays so.
pub(super) fn take_roots(domain: &Domain, context: &Context) -> Result<(), Refusal> {
    let take = |mfn| {
        domain
            .with_tables(|lock| mm().get_root(lock, mfn))
            .map_err(|stop| match stop {
                Stop::Preempted => Refusal::Preempted,
                Stop::Failed(_) => Errno::EINVAL.into(),
            })
    };
    let kernel = take(context.kernel_root)?;
    let Some(user) = context.user_root else {
        let _ = kernel.remember();
        return Ok(());
    };
    match take(user) {
        Ok(user) => {
            let _ = (kernel.remember(), user.remember());
            Ok(())
        }
        Err(refusal) => {
            domain.with_tables(|lock| match refusal {
                Refusal::Preempted => mm().suspend_root(lock, kernel),
                Refusal::Errno(_) => mm().put_root(lock, kernel),
            });
            Err(refusal)
        }
    }
}

/// The roots of a context, as their holder remembers them.
fn roots(context: &Context) -> impl Iterator<Item = Root> {
    [Some(context.kernel_root), context.user_root]
        .into_iter()
        .flatten()
        .map(Root::recall)
}

/// Gives the roots of a context up.
pub(super) fn drop_roots(domain: &Domain, context: &Context) {
    for root in roots(context) {
        domain.with_tables(|lock| mm().put_root(lock, root));
    }
}

/// Lets go of the roots of a context which the same call is going to take again.
pub(super) fn suspend_roots(domain: &Domain, context: &Context) {
    for root in roots(context) {
        domain.with_tables(|lock| mm().suspend_root(lock, root));
    }
}
