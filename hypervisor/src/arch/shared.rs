//! Frames that guest and hypervisor both write: `shared_info`, the `vcpu_info` of each vCPU, grant entries.
//!
//! Everything in them is accessed atomically and field by field; there is never a reference to a structure
//! that a guest could change under it.

use super::paging;
use crate::time::guest_clock::{AreaFault, VersionedArea, WallClock};
use core::mem::{offset_of, size_of};
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering, fence};
use guest_abi::grant_table::{ENTRIES_PER_FRAME_V1, GrantEntryV1};
use guest_abi::ids::Mfn;
use guest_abi::shared_info::{ArchSharedInfo, ArchVcpuInfo, SharedInfo, VcpuInfo};
use guest_abi::time::VcpuTimeInfo;

/// A place in a frame that is mapped for good in the direct map and on which a reference is held.
#[derive(Clone, Copy)]
pub(crate) struct SharedPlace(u64);

impl SharedPlace {
    /// `offset` bytes into frame `mfn`.
    ///
    /// # Safety
    /// The frame is RAM and stays referenced, as writable memory or as the hypervisor's own, for as long as
    /// the place is used; what is used of it lies in the frame.
    pub(crate) unsafe fn new(mfn: Mfn, offset: u64) -> Self {
        Self(paging::direct::<u8>(mfn.address() + offset) as u64)
    }

    /// The frame that it is in.
    pub(crate) fn mfn(self) -> Mfn {
        Mfn::of_address(paging::machine_address(self.0))
    }

    /// The address of what lies `offset` bytes further in the same frame.
    const fn at(self, offset: usize) -> u64 {
        self.0.wrapping_add(offset as u64)
    }

    fn u8(self, offset: usize) -> &'static AtomicU8 {
        // SAFETY: inside the frame (`new`); atomics may be shared with whoever else writes.
        unsafe { AtomicU8::from_ptr(self.at(offset) as *mut u8) }
    }

    fn u32(self, offset: usize) -> &'static AtomicU32 {
        debug_assert!(self.at(offset).is_multiple_of(4));
        // SAFETY: as `u8`; aligned: frames and `vcpu_info` are, and so are the fields.
        unsafe { AtomicU32::from_ptr(self.at(offset) as *mut u32) }
    }

    fn u64(self, offset: usize) -> &'static AtomicU64 {
        debug_assert!(self.at(offset).is_multiple_of(8));
        // SAFETY: as `u32`.
        unsafe { AtomicU64::from_ptr(self.at(offset) as *mut u64) }
    }
}

/// A place that is exchanged for another while others use it. Each that is given keeps what [`SharedPlace::new`] asks
/// for as long as it is here, and for as long as somebody may use what was here.
pub(crate) struct AtomicPlace(AtomicU64);

impl AtomicPlace {
    pub(crate) const fn new(SharedPlace(at): SharedPlace) -> Self {
        Self(AtomicU64::new(at))
    }

    pub(crate) fn get(&self) -> SharedPlace {
        SharedPlace(self.0.load(Ordering::Acquire))
    }

    pub(crate) fn set(&self, SharedPlace(at): SharedPlace) {
        self.0.store(at, Ordering::Release);
    }

    /// Sets it; returns what was here.
    pub(crate) fn swap(&self, SharedPlace(at): SharedPlace) -> SharedPlace {
        SharedPlace(self.0.swap(at, Ordering::AcqRel))
    }
}

/// A frame with a bit for each physical interrupt of a domain.
#[derive(Clone, Copy)]
pub(crate) struct InterruptBits(pub(crate) SharedPlace);

impl InterruptBits {
    /// Sets the bit of interrupt `pirq` to `value`. There is none for numbers that don't fit into the frame.
    pub(crate) fn set(self, pirq: u32, value: bool) {
        let (offset, bit) = (pirq as usize / 64 * 8, 1u64 << (pirq % 64));
        if offset >= guest_abi::ids::PAGE_SIZE {
            return;
        }
        let word = self.0.u64(offset);
        if value {
            word.fetch_or(bit, Ordering::SeqCst);
        } else {
            word.fetch_and(!bit, Ordering::SeqCst);
        }
    }
}

/// The `vcpu_info` of one vCPU.
#[derive(Clone, Copy)]
pub(crate) struct VcpuInfoPlace(pub(crate) SharedPlace);

impl VcpuInfoPlace {
    pub(crate) fn is_upcall_pending(self) -> bool {
        self.0
            .u8(offset_of!(VcpuInfo, evtchn_upcall_pending))
            .load(Ordering::SeqCst)
            != 0
    }

    /// Sets the pending byte; says whether it was set.
    pub(crate) fn set_upcall_pending(self) -> bool {
        self.0
            .u8(offset_of!(VcpuInfo, evtchn_upcall_pending))
            .swap(1, Ordering::SeqCst)
            != 0
    }

    pub(crate) fn upcall_mask(self) -> u8 {
        self.0
            .u8(offset_of!(VcpuInfo, evtchn_upcall_mask))
            .load(Ordering::SeqCst)
    }

    pub(crate) fn set_upcall_mask(self, mask: u8) {
        self.0
            .u8(offset_of!(VcpuInfo, evtchn_upcall_mask))
            .store(mask, Ordering::SeqCst);
    }

    /// Sets a bit of the selector; says whether it was set.
    pub(crate) fn select(self, word: u32) -> bool {
        let bit = 1u64 << (word & 63);
        self.0
            .u64(offset_of!(VcpuInfo, evtchn_pending_sel))
            .fetch_or(bit, Ordering::SeqCst)
            & bit
            != 0
    }

    pub(crate) fn set_selector(self, value: u64) {
        self.0
            .u64(offset_of!(VcpuInfo, evtchn_pending_sel))
            .store(value, Ordering::SeqCst);
    }

    /// Makes it that of a vCPU that has had none: nothing has happened, and upcalls are masked.
    pub(crate) fn clear(self) {
        for offset in (0..core::mem::size_of::<VcpuInfo>()).step_by(8) {
            self.0.u64(offset).store(0, Ordering::SeqCst);
        }
        self.set_upcall_mask(1);
    }

    /// Copies another one here, word by word. Either may change meanwhile.
    pub(crate) fn copy_from(self, other: Self) {
        for offset in (0..core::mem::size_of::<VcpuInfo>()).step_by(8) {
            self.0
                .u64(offset)
                .store(other.0.u64(offset).load(Ordering::SeqCst), Ordering::SeqCst);
        }
    }

    pub(crate) fn cr2(self) -> u64 {
        self.0
            .u64(offset_of!(VcpuInfo, arch) + offset_of!(ArchVcpuInfo, cr2))
            .load(Ordering::Relaxed)
    }

    pub(crate) fn set_cr2(self, value: u64) {
        self.0
            .u64(offset_of!(VcpuInfo, arch) + offset_of!(ArchVcpuInfo, cr2))
            .store(value, Ordering::Relaxed);
    }
}

impl VersionedArea<VcpuTimeInfo> for VcpuInfoPlace {
    fn store_version(&self, version: u32) -> Result<(), AreaFault> {
        fence(Ordering::Release);
        self.0
            .u32(offset_of!(VcpuInfo, time) + offset_of!(VcpuTimeInfo, version))
            .store(version, Ordering::Release);
        fence(Ordering::Release);
        Ok(())
    }

    fn store_body(&self, time: &VcpuTimeInfo) -> Result<(), AreaFault> {
        const AT: usize = offset_of!(VcpuInfo, time);
        let put =
            |offset: usize, value: u64| self.0.u64(AT + offset).store(value, Ordering::Relaxed);
        put(offset_of!(VcpuTimeInfo, tsc_timestamp), time.tsc_timestamp);
        put(offset_of!(VcpuTimeInfo, system_time), time.system_time);
        self.0
            .u32(AT + offset_of!(VcpuTimeInfo, tsc_to_system_mul))
            .store(time.tsc_to_system_mul, Ordering::Relaxed);
        self.0
            .u8(AT + offset_of!(VcpuTimeInfo, tsc_shift))
            .store(time.tsc_shift as u8, Ordering::Relaxed);
        self.0
            .u8(AT + offset_of!(VcpuTimeInfo, flags))
            .store(time.flags.bits(), Ordering::Relaxed);
        Ok(())
    }
}

/// A domain's `shared_info`.
#[derive(Clone, Copy)]
pub(crate) struct SharedInfoPlace(pub(crate) SharedPlace);

impl SharedInfoPlace {
    /// The word of the pending bitmap that holds `port`.
    pub(crate) fn pending(self, port: u32) -> (&'static AtomicU64, u64) {
        self.bit(offset_of!(SharedInfo, evtchn_pending), port)
    }

    /// The word of the mask bitmap that holds `port`.
    pub(crate) fn mask(self, port: u32) -> (&'static AtomicU64, u64) {
        self.bit(offset_of!(SharedInfo, evtchn_mask), port)
    }

    fn bit(self, bitmap: usize, port: u32) -> (&'static AtomicU64, u64) {
        let word = (port / 64 % 64) as usize;
        (self.0.u64(bitmap + 8 * word), 1 << (port % 64))
    }

    /// Frames in the guest's list of its frames, as it says.
    pub(crate) fn max_pfn(self) -> u64 {
        self.0
            .u64(offset_of!(SharedInfo, arch) + offset_of!(ArchSharedInfo, max_pfn))
            .load(Ordering::Relaxed)
    }

    /// Place of the `vcpu_info` of vCPU `vcpu`, if it is one of those that have one here.
    pub(crate) fn vcpu_info(self, vcpu: u32) -> Option<VcpuInfoPlace> {
        let count = guest_abi::shared_info::LEGACY_MAX_VCPUS as u32;
        let offset = u64::from(vcpu) * core::mem::size_of::<VcpuInfo>() as u64;
        (vcpu < count).then_some(VcpuInfoPlace(SharedPlace(self.0.0 + offset)))
    }
}

impl VersionedArea<WallClock> for SharedInfoPlace {
    fn store_version(&self, version: u32) -> Result<(), AreaFault> {
        fence(Ordering::Release);
        self.0
            .u32(offset_of!(SharedInfo, wc_version))
            .store(version, Ordering::Release);
        fence(Ordering::Release);
        Ok(())
    }

    fn store_body(&self, clock: &WallClock) -> Result<(), AreaFault> {
        let (low, high) = clock.halves();
        let put = |offset: usize, value: u32| self.0.u32(offset).store(value, Ordering::Relaxed);
        put(offset_of!(SharedInfo, wc_sec), low);
        put(offset_of!(SharedInfo, wc_sec_hi), high);
        put(offset_of!(SharedInfo, wc_nsec), clock.nanoseconds);
        Ok(())
    }
}

/// A frame of grant entries of version 1.
#[derive(Clone, Copy)]
pub(crate) struct GrantFramePlace(pub(crate) SharedPlace);

impl GrantFramePlace {
    /// Flags and grantee of an entry, the latter in the upper half.
    pub(crate) fn head(self, index: usize) -> &'static AtomicU32 {
        self.0.u32(Self::offset(index))
    }

    /// The frame number of an entry.
    pub(crate) fn frame(self, index: usize) -> &'static AtomicU32 {
        self.0
            .u32(Self::offset(index) + offset_of!(GrantEntryV1, frame))
    }

    const fn offset(index: usize) -> usize {
        // Never past the frame, whatever the index.
        index % ENTRIES_PER_FRAME_V1 as usize * size_of::<GrantEntryV1>()
    }
}
