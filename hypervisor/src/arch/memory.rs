//! The machine's half of the memory room: page-table entries, translation buffers, the
//! machine-to-physical table, and where freed frames go.

use super::frames::{self, Zero};
pub(crate) use super::heap::ArcMemory;
use super::layout::M2P_OWN_START;
use super::shared::{GrantFramePlace, InterruptBits, SharedInfoPlace, SharedPlace, VcpuInfoPlace};
use super::{boot_memory, features, heap, paging, scheduler, tlb};
use crate::control::privilege::{self, Whom};
use crate::domain::{Domain, Domains};
use crate::image::start;
use crate::mm::block::{CleanBlock, Scrub, SharedAccess};
use crate::mm::buddy::{Order, Request};
use crate::mm::held::HeldFrame;
use crate::mm::platform::{
    Device, FrameSink, IoRights, MachineToPhys, PageContents, PageTables, Preempt, Privilege, Slot,
};
use crate::mm::reference::{Mm, WritableRef};
use crate::mm::tlb::{FlushStamp, Suspects, Tlb};
use core::sync::atomic::{AtomicU64, Ordering};
use guest_abi::ids::{DomId, Mfn, PAGE_SIZE, Vaddr};
use guest_abi::memory_map::{E820Entry, E820Type};
use guest_abi::shared_info::VcpuInfo;
use spin::Once;
use zerocopy::FromZeros;

/// The machine, as the memory room needs it.
pub(crate) struct Machine;

/// The memory room over this machine.
pub(crate) fn mm() -> Mm<'static, Machine> {
    Mm::new(frames::table(), &Machine)
}

fn entry(table: Mfn, slot: Slot) -> &'static AtomicU64 {
    let address = paging::direct::<u64>(table.address() + 8 * u64::from(slot.number()));
    // SAFETY: callers name frames with an entry in the frame table that are referenced: RAM, shown by the
    // direct map. Everybody accesses them atomically: we, and the processors' walkers.
    unsafe { AtomicU64::from_ptr(address) }
}

impl PageTables for Machine {
    #[inline]
    fn read(&self, table: Mfn, slot: Slot) -> u64 {
        entry(table, slot).load(Ordering::Relaxed)
    }

    #[inline]
    fn write(&self, table: Mfn, slot: Slot, value: u64) {
        entry(table, slot).store(value, Ordering::Release);
    }

    #[inline]
    fn compare_exchange(&self, table: Mfn, slot: Slot, old: u64, new: u64) -> Result<(), u64> {
        entry(table, slot)
            .compare_exchange(old, new, Ordering::AcqRel, Ordering::Relaxed)
            .map(|_| ())
    }

    fn install_hypervisor_slots(&self, root: Mfn) {
        let owner = frames::table()
            .get(root)
            .and_then(|frame| frame.owner().domain());
        let per_domain = owner
            .and_then(|id| Domains.find(id))
            .map_or(0, |domain| domain.per_domain().root_entry());
        paging::copy_hypervisor_slots(root, per_domain);
    }
}

impl Scrub for Machine {
    fn scrub(&self, mfn: Mfn) {
        Zero.scrub(mfn);
    }
}

impl PageContents for Machine {
    fn copy(&self, to: Mfn, from: Mfn) {
        // SAFETY: both are referenced frames of RAM; guests may write to them at the same time, so bytes are
        // copied as bytes and mean nothing to us. They may be the same.
        unsafe {
            core::ptr::copy(
                paging::direct::<u8>(from.address()).cast_const(),
                paging::direct::<u8>(to.address()),
                PAGE_SIZE,
            );
        }
    }
}

impl IoRights for Machine {
    fn device(&self, domain: DomId, mfn: Mfn) -> Device {
        if mfn.0 >= 1 << (features::address_bits() - 12) {
            return Device::None;
        }
        if domain != DomId::DOM0 {
            return Device::Forbidden;
        }
        // The first MiB is nobody's memory, whatever of it is RAM: kernels look for firmware's tables there.
        if mfn.address() >= super::boot::LOW_END && super::boot::is_ram(mfn) {
            Device::None
        } else {
            super::boot::device_of_first_domain(mfn)
        }
    }
}

impl Preempt for Machine {
    #[inline]
    fn should_yield(&self) -> bool {
        // While the first domain is built there is nobody to yield to.
        scheduler::is_started() && scheduler::should_yield()
    }
}

impl FrameSink for Machine {
    fn release(&self, frame: HeldFrame) {
        let owner = frame.owner().and_then(|id| Domains.find(id));
        let was_last = owner.filter(|domain| domain.forget_frame(&frame));
        self.set(frame.mfn(), u64::MAX);
        frames::free(frame);
        if let Some(domain) = was_last {
            Domains.reap(domain.id());
        }
    }
}

impl MachineToPhys for Machine {
    fn set(&self, mfn: Mfn, pfn: u64) {
        if mfn.0 >= frames::table().end().0 {
            return;
        }
        // SAFETY: inside the table, which is mapped for every frame of RAM; only frames with an owner, which
        // are RAM, come here. Guests read it at any time, each entry as a whole.
        unsafe { AtomicU64::from_ptr((M2P_OWN_START + 8 * mfn.0) as *mut u64) }
            .store(pfn, Ordering::Relaxed);
    }
}

impl Privilege for Machine {
    fn may_map_foreign(&self, subject: DomId, _: DomId) -> bool {
        Domains.find(subject).is_some_and(|domain| {
            privilege::TABLES
                .admit(domain.rights(), Whom::Other)
                .is_ok()
        })
    }
}

impl Tlb for Machine {
    fn stamp(&self) -> FlushStamp {
        tlb::stamp()
    }

    fn flush_since(&self, suspects: Suspects, stamp: FlushStamp) {
        tlb::flush_since(suspects, stamp);
    }
}

/// Lends `count` values for the time of `work`, in memory of the hypervisor's own. `None`: there is no block
/// that large.
pub(crate) fn with_scratch<T: Copy, R>(
    count: usize,
    value: T,
    work: impl FnOnce(&mut [T]) -> R,
) -> Option<R> {
    let bytes = count.checked_mul(size_of::<T>())?;
    let block = frames::keep(bytes)?;
    let start = paging::direct::<T>(block.address());
    for index in 0..count {
        // SAFETY: the block is ours alone, shown by the direct map, aligned to a page, and long enough.
        unsafe { start.add(index).write(value) };
    }
    // SAFETY: as above; initialised.
    let result = work(unsafe { core::slice::from_raw_parts_mut(start, count) });
    frames::unkeep(block, bytes);
    Some(result)
}

/// One past the highest frame of RAM.
pub(crate) fn frames_end() -> Mfn {
    frames::table().end()
}

/// A clean block for a domain, below 2^`bits` bytes if a number is given.
pub(crate) fn allocate(request: Request) -> Option<CleanBlock> {
    frames::allocate_as(request)
}

pub(crate) use frames::{Claim, machine_to_phys_piece};

/// A clean block for the domain with this claim.
pub(crate) fn allocate_claimed(request: Request, claim: &Claim) -> Option<CleanBlock> {
    frames::allocate_claimed(request, claim)
}

/// Takes back a clean block that was not used.
pub(crate) fn put_back(block: CleanBlock) {
    frames::put_back(block);
}

/// Calls `take` with each range of the machine's memory map, as the first domain is to see it: with those that it may
/// not use.
pub(crate) fn for_each_range(mut take: impl FnMut(E820Entry)) {
    let denied = super::boot::denied_ranges();
    super::boot_memory::with_map(|map| {
        for range in map.ranges_and(&denied) {
            let mut entry = E820Entry::new_zeroed();
            entry.addr = range.range.start.into();
            entry.size = range.range.len().into();
            entry.range_type = range.kind.to_e820().into();
            take(entry);
        }
    });
}

/// The `vcpu_info` at `offset` of a frame on which a writable reference is held, which its holder keeps for as
/// long as the place is used.
pub(crate) fn vcpu_info_in(frame: &WritableRef, offset: u32) -> VcpuInfoPlace {
    assert!(
        offset.is_multiple_of(8) && offset as usize + core::mem::size_of::<VcpuInfo>() <= PAGE_SIZE
    );
    // SAFETY: writable memory of a guest, held (caller); the whole structure lies in the frame.
    VcpuInfoPlace(unsafe { SharedPlace::new(frame.mfn(), u64::from(offset)) })
}

/// A frame for the bits of a domain's interrupts, on which a writable reference is held, which its holder keeps for as
/// long as the place is used.
pub(crate) fn interrupt_bits_in(frame: &WritableRef) -> InterruptBits {
    // SAFETY: writable memory of a guest, held (caller).
    InterruptBits(unsafe { SharedPlace::new(frame.mfn(), 0) })
}

/// Reads the byte at `address` of a guest by the tables under `root`, if its own memory is there.
pub(crate) fn read_byte(domain: &Domain, root: Mfn, address: Vaddr) -> Option<u8> {
    let frame = domain
        .with_tables(|lock| {
            let mfn = mm().mapped_frame(lock, root, address)?;
            mm().get_frame(mfn, domain.id())
        })
        .ok()?;
    let offset = address.0 % PAGE_SIZE as u64;
    // SAFETY: a frame of RAM that is referenced; the guest may write to it, so the byte is read once.
    let byte = unsafe { paging::direct::<u8>(frame.mfn().address() + offset).read_volatile() };
    mm().put_frame(frame);
    Some(byte)
}

/// Writes the stubs of all hypercalls.
pub(crate) fn write_hypercall_page(page: &WritableRef) {
    let mut stubs = [0; PAGE_SIZE];
    start::write_hypercall_page(&mut stubs);
    // SAFETY: RAM on which the caller holds a writable reference; guests may write to it too, so bytes are copied
    // as bytes.
    unsafe {
        core::ptr::copy(
            stubs.as_ptr(),
            paging::direct::<u8>(page.mfn().address()),
            PAGE_SIZE,
        );
    }
}

/// Frames of RAM that the machine has.
pub(crate) fn frames_of_machine() -> u64 {
    let mut bytes = 0;
    for_each_range(|entry| {
        if { entry.range_type } == E820Type::Ram as u32 {
            bytes += u64::from(entry.size);
        }
    });
    bytes / PAGE_SIZE as u64
}

/// Frames that nobody has.
pub(crate) fn free_frames() -> u64 {
    frames::free_frames()
}

/// Frames that nobody has, whose addresses have from `least` to `most` bits.
pub(crate) fn free_frames_of_width(least: u32, most: u32) -> u64 {
    frames::free_frames_of_width(least, most)
}

/// Free frames that are set aside for some domain.
pub(crate) fn claimed_frames() -> u64 {
    frames::claimed_frames()
}

/// Makes room on the heap for the small things of so many domains and one more, which are taken from there without
/// asking. `false`: there is no memory for that. Not with interrupts off.
pub(crate) fn make_room_for_small_things(domains: usize) -> bool {
    /// Small things that a domain can come to have after it was made: 4,096 ports take 32 KiB, a memory map and what
    /// tools set of it a few more.
    const SMALL: usize = 64 << 10;
    heap::make_spare(domains.saturating_add(1).saturating_mul(SMALL))
}

/// A zeroed frame for a new domain's `shared_info`.
pub(crate) fn share_info_frame(owner: DomId) -> Option<SharedInfoPlace> {
    let block = frames::allocate(Order::FRAME)?;
    let mfn = block.share_with(frames::table(), owner, SharedAccess::ReadWrite);
    // SAFETY: RAM, and the hypervisor keeps its reference on the frame until nobody uses the place.
    Some(SharedInfoPlace(unsafe { SharedPlace::new(mfn, 0) }))
}

/// The `shared_info` of domains that have none any more. Called first while there is memory for it, at boot.
pub(crate) fn nobodys_shared_info() -> SharedInfoPlace {
    static FRAME: Once<Mfn> = Once::new();
    let mfn = *FRAME.call_once(|| boot_memory::zeroed_frames(1));
    // SAFETY: a frame of the hypervisor's own, for good.
    SharedInfoPlace(unsafe { SharedPlace::new(mfn, 0) })
}

/// A zeroed frame for grant entries of `owner`, who may map it as it likes. It is there for as long as the
/// domain is.
pub(crate) fn share_grant_frame(owner: DomId) -> Option<(Mfn, GrantFramePlace)> {
    let block = frames::allocate(Order::FRAME)?;
    let mfn = block.share_with(frames::table(), owner, SharedAccess::ReadWrite);
    // SAFETY: RAM, and the hypervisor keeps its reference on the frame until the domain is gone.
    Some((mfn, GrantFramePlace(unsafe { SharedPlace::new(mfn, 0) })))
}

/// Copies `len` bytes between two frames, from an offset in each on. What of them lies past the end of
/// a frame is left out.
pub(crate) fn copy_bytes(from: (Mfn, u16), to: (Mfn, u16), len: u16) {
    let start = from.1.max(to.1) as usize;
    let len = usize::from(len).min(PAGE_SIZE.saturating_sub(start));
    let at = |(mfn, offset): (Mfn, u16)| paging::direct::<u8>(mfn.address() + u64::from(offset));
    // SAFETY: both are frames of RAM on which the caller holds references, the second for writing; the bytes
    // lie in them. Guests may write to them at the same time, so bytes are copied as bytes and mean nothing to
    // us. The ranges may overlap.
    unsafe { core::ptr::copy(at(from).cast_const(), at(to), len) };
}
