//! A domain, and the list of all of them.
//!
//! Order of locks: the list of domains before any domain's own locks; it is only held for a look.
#![forbid(unsafe_code)]

use super::charge::{Charge, OverLimit};
use super::control::ControlState;
use super::events::DomainBits;
use super::grants::DomainGrants;
use super::interrupts::DomainPirqs;
use super::shutdown::ShutdownState;
use super::vcpu::Vcpu;
use crate::arch::memory::{self, ArcMemory, Claim, mm};
use crate::arch::timers::{self, Watchdogs};
use crate::arch::{PerDomainArea, frame_table};
use crate::arch::{scheduler, wall_clock};
use crate::control::create::Plan;
use crate::control::numbers::{Number, Numbers};
use crate::control::privilege::Rights;
use crate::cpu_policy::Policy;
use crate::event::PortTable;
use crate::grant::GrantDomain;
use crate::lock::IrqLock;
use crate::mm::block::{CleanBlock, UncleanBlock};
use crate::mm::error::Stop;
use crate::mm::held::HeldFrame;
use crate::mm::lock::{PtDomain, PtLock};
use crate::mm::ownership::{DomainFrames, FramesLock};
use crate::mm::pte::EntryPolicy;
use crate::sched::credit::Share;
use crate::sched::ups::NrUp;
use crate::sched::{CpuSet, SchedError};
use crate::speculation;
use crate::sync::{Lock, rank};
use crate::time::guest_clock::{Version, WallClock};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use guest_abi::ids::{DomId, Mfn, VcpuId};
use guest_abi::memory_map::E820Entry;
use guest_abi::vm_assist::VmAssist;
use spin::Once;

/// A domain.
pub(crate) struct Domain {
    pub(super) id: DomId,
    pub(super) bits: DomainBits,
    pub(super) ports: PortTable,
    pub(super) shutdown: ShutdownState,
    vcpus: Once<Vec<Arc<Vcpu>>>,
    per_domain: PerDomainArea,
    policy: Policy,
    /// Version of the wall clock in `shared_info`.
    wall_clock: IrqLock<Version, { rank::GUEST_WALL_CLOCK }>,
    /// Held by who brings a vCPU up or takes it down, and by who stops all of them as the domain ends, or lets them go on.
    pub(super) nr_up: IrqLock<NrUp, { rank::UPS_AND_DOWNS }>,
    watchdogs: Watchdogs,
    /// Bit n: assist number n is on.
    vm_assist: AtomicU64,
    /// Its page-table lock.
    tables: Lock<PtDomain, { rank::PAGE_TABLES }>,
    frames: Lock<DomainFrames, { rank::DOMAIN_FRAMES }>,
    /// The most frames that it may have.
    max_pages: AtomicU64,
    /// What it has written to the address port of PCI configuration space.
    pub(crate) pci_address: AtomicU32,
    /// What it has written to the index port of the real-time clock.
    pub(crate) clock_index: AtomicU8,
    /// Memory of the hypervisor's that it is to blame for.
    pub(super) charge: Arc<Charge>,
    pub(super) grants: DomainGrants,
    pub(crate) pirqs: DomainPirqs,
    /// Set by whoever builds the domain. Empty: there is none.
    memory_map: Lock<Option<Arc<Vec<E820Entry>>>, { rank::MEMORY_MAP }>,
    claim: Claim,
    /// Its share of the processors.
    pub(crate) share: Arc<Share>,
    pub(super) control: ControlState,
    /// The last to go.
    _number: Number<'static>,
}

/// There is no memory for a domain, or a part of one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct NoMemory;

impl FramesLock for Domain {
    fn with_frames<R>(&self, action: impl FnOnce(&mut DomainFrames) -> R) -> R {
        action(&mut self.frames.lock())
    }
}

/// What the hypervisor allocates at most for what a domain asks of it. The usual limits of ports, grant
/// frames and handles add up to less; it is the sum that this bounds, whatever else comes to be charged.
const CHARGE_LIMIT: usize = 16 << 20;

impl Domain {
    /// A domain without vCPUs and memory, but for what it shares with the hypervisor.
    pub(crate) fn new(
        number: Number<'static>,
        policy: Policy,
        plan: &Plan,
    ) -> Result<Arc<Self>, NoMemory> {
        let id = number.id();
        let entries = if id.0 == 0 {
            EntryPolicy::WITH_DEVICES
        } else {
            EntryPolicy::ORDINARY
        };
        if !memory::make_room_for_small_things(Domains.count()) {
            return Err(NoMemory);
        }
        let own_memory = ArcMemory::new().ok_or(NoMemory)?;
        let ports = PortTable::new(plan.max_port, plan.max_vcpus).map_err(|_| NoMemory)?;
        let charge = Arc::new(Charge::new(CHARGE_LIMIT));
        let grants = DomainGrants::new(id, charge.clone(), plan).map_err(|_| NoMemory)?;
        let per_domain = PerDomainArea::new(plan.max_vcpus).ok_or(NoMemory)?;
        let shared = memory::share_info_frame(id).ok_or(NoMemory)?;
        let domain = own_memory.fill(Self {
            id,
            bits: DomainBits::new(shared),
            ports,
            shutdown: ShutdownState::new(),
            vcpus: Once::new(),
            per_domain,
            policy,
            wall_clock: IrqLock::new(Version::default()),
            nr_up: IrqLock::new(NrUp::none()),
            watchdogs: Watchdogs::new(),
            vm_assist: AtomicU64::new(0),
            tables: Lock::new(PtDomain::new(id, entries)),
            frames: Lock::new(DomainFrames::new()),
            max_pages: AtomicU64::new(0),
            pci_address: AtomicU32::new(0),
            clock_index: AtomicU8::new(0),
            charge,
            grants,
            pirqs: DomainPirqs::new(crate::arch::irq::nr_gsis()),
            memory_map: Lock::new(None),
            claim: Claim::new(),
            share: Arc::new(if id == DomId(0) {
                Share::of_first_domain()
            } else {
                Share::new()
            }),
            control: ControlState::new(plan),
            _number: number,
        });
        if timers::make_room(Watchdogs::COUNT).is_err() {
            domain.give_up_shared_frames();
            return Err(NoMemory);
        }
        if GrantDomain::grants(&*domain).grow(&*domain, 1).is_err() {
            timers::return_room(Watchdogs::COUNT);
            domain.give_up_shared_frames();
            return Err(NoMemory);
        }
        Ok(domain)
    }

    /// Makes its vCPUs, each down; `affinity` says where each may run. If there is no memory for one, none is made.
    pub(crate) fn make_vcpus(
        self: &Arc<Self>,
        count: u32,
        affinity: impl Fn(VcpuId) -> CpuSet,
    ) -> Result<(), SchedError> {
        if self.vcpus.is_completed() {
            return Ok(());
        }
        let mut vcpus = Vec::new();
        vcpus
            .try_reserve_exact(count as usize)
            .map_err(|_| SchedError::OutOfMemory)?;
        self.tables
            .lock()
            .make_room(count as usize)
            .map_err(|_| SchedError::OutOfMemory)?;
        let mut result = Ok(());
        for id in (0..count).map(VcpuId) {
            result = self
                .make_vcpu(id, affinity(id))
                .map(|vcpu| vcpus.push(vcpu));
            if result.is_err() {
                break;
            }
        }
        if result.is_err() {
            for vcpu in &vcpus {
                scheduler::remove(vcpu);
            }
            return result;
        }
        self.vcpus.call_once(|| vcpus);
        Ok(())
    }

    fn make_vcpu(self: &Arc<Self>, id: VcpuId, affinity: CpuSet) -> Result<Arc<Vcpu>, SchedError> {
        if !memory::make_room_for_small_things(Domains.count()) {
            return Err(SchedError::OutOfMemory);
        }
        let own_memory = ArcMemory::new().ok_or(SchedError::OutOfMemory)?;
        // Without a place of its own a vCPU uses that of the first until it registers one.
        let info = self.bits.vcpu_info(id);
        info.set_upcall_mask(1);
        let vcpu = own_memory.fill(Vcpu::new(id, self, info));
        if self.control.pauses.any() {
            // A count of one on a new vCPU.
            let _ = vcpu.run.pause();
        }
        // A kernel reads the rate of its TSC before anything else.
        vcpu.publish_clock();
        scheduler::add(&vcpu, affinity)?;
        Ok(vcpu)
    }

    /// Gives the first domain, while it is built, the frames of a block with what is in them. Returns the first.
    pub(crate) fn adopt_first(&self, block: UncleanBlock) -> Mfn {
        assert!(
            self.is_hardware_domain(),
            "frames for {} are not cleared",
            self.id
        );
        let mut frames = self.frames.lock();
        frames.adopt_first(frame_table(), &memory::Machine, block, self.id)
    }

    /// Gives the domain frames that the boot loader has filled for it.
    pub(crate) fn adopt_boot_frames(&self, first: Mfn, count: u64) {
        let mut frames = self.frames.lock();
        frames.adopt_boot_frames(frame_table(), first, count, self.id);
    }

    /// Gives the domain the frames of a block, if it has no more than it may with them.
    pub(crate) fn adopt_within_limit(&self, block: CleanBlock) -> Result<Mfn, CleanBlock> {
        let mut frames = self.frames.lock();
        let total = u64::from(frames.total()) + u64::from(block.order().frames());
        // Looked at under the lock: what comes later than a domain's end finds it there.
        if total > self.max_pages() || self.is_ending() {
            return Err(block);
        }
        Ok(frames.adopt(frame_table(), block, self.id))
    }

    /// Gives up a frame of the domain's.
    pub(crate) fn give_up(&self, mfn: Mfn) -> Result<(), Stop> {
        self.with_tables(|lock| mm().give_up(lock, mfn, self))
    }

    /// The frame of its `shared_info`.
    pub(crate) fn shared_info_frame(&self) -> Mfn {
        self.bits.shared().0.mfn()
    }

    /// Frames in the domain's own list of them, as it says.
    pub(crate) fn max_pfn(&self) -> u64 {
        self.bits.shared().max_pfn()
    }

    /// The memory map that it is told.
    pub(crate) fn memory_map(&self) -> Option<Arc<Vec<E820Entry>>> {
        self.memory_map.lock().clone()
    }

    /// Sets the memory map that it is told, and charges it.
    pub(crate) fn set_memory_map(&self, map: Option<Arc<Vec<E820Entry>>>) -> Result<(), OverLimit> {
        let bytes = |map: &Option<Arc<Vec<E820Entry>>>| {
            map.as_ref().map_or(0, |map| size_of_val(map.as_slice()))
        };
        self.charge.add(bytes(&map))?;
        let old = core::mem::replace(&mut *self.memory_map.lock(), map);
        self.charge.remove(bytes(&old));
        Ok(())
    }

    /// Frames that are set aside for it.
    pub(crate) const fn claim(&self) -> &Claim {
        &self.claim
    }

    /// A frame of the domain is about to be freed. Says whether that was the last.
    pub(crate) fn forget_frame(&self, frame: &HeldFrame) -> bool {
        if frame.is_shared() {
            self.control.shared_frame_is_free();
        } else {
            self.frames.lock().forget(frame_table(), frame);
        }
        self.is_ending() && self.is_gone()
    }

    /// Whether neither the domain holds anything, nor anybody anything of the domain.
    pub(super) fn is_gone(&self) -> bool {
        // The first of all: frames that are retired are counted by then, until they are free.
        self.entries().are_retired()
            && self.control.has_nothing_left()
            && self.frames.lock().total() == 0
            && !GrantDomain::grants(self).is_in_use()
    }

    /// Returns when nobody is telling it the date any more who began before.
    pub(super) fn after_date(&self) {
        drop(self.wall_clock.lock());
    }

    /// The frames of its grant table, once: for whoever gives them up.
    pub(super) fn grant_frames(&self) -> impl Iterator<Item = Mfn> {
        GrantDomain::entries(self).retire()
    }

    /// Tells the domain the date as it is.
    pub(crate) fn tell_date(&self) {
        self.set_wall_clock(wall_clock::now());
    }

    /// A frame of the domain is about to be freed, to be [replaced](Self::replace_frames).
    pub(crate) fn vacate_frame(&self, frame: &mut HeldFrame) {
        self.frames.lock().vacate(frame_table(), frame);
    }

    /// Gives the domain the frames of a block in place of others. Returns the first.
    pub(crate) fn replace_frames(&self, block: CleanBlock) -> Mfn {
        let mut frames = self.frames.lock();
        frames.replace(frame_table(), block, self.id)
    }

    /// Frames that it has.
    pub(crate) fn total_pages(&self) -> u32 {
        self.frames.lock().total()
    }

    /// The most frames that it may have.
    pub(crate) fn max_pages(&self) -> u64 {
        self.max_pages.load(Ordering::Relaxed)
    }

    pub(crate) fn set_max_pages(&self, pages: u64) {
        self.max_pages.store(pages, Ordering::Relaxed);
    }

    /// Does `work` with the domain's page-table lock held.
    pub(crate) fn with_tables<R>(&self, work: impl FnOnce(&mut PtLock<'_>) -> R) -> R {
        work(&mut self.tables.lock().locked())
    }

    pub(crate) const fn id(&self) -> DomId {
        self.id
    }

    pub(crate) const fn is_hardware_domain(&self) -> bool {
        self.id.0 == 0
    }

    /// What it may do.
    pub(crate) const fn rights(&self) -> Rights {
        Rights::of(self.id)
    }

    pub(crate) const fn policy(&self) -> &Policy {
        &self.policy
    }

    pub(crate) const fn watchdogs(&self) -> &Watchdogs {
        &self.watchdogs
    }

    pub(crate) const fn per_domain(&self) -> &PerDomainArea {
        &self.per_domain
    }

    /// vCPUs that it was made for, whether they are there yet or not.
    pub(crate) const fn max_vcpus(&self) -> u32 {
        self.control.max_vcpus
    }

    /// The assists that are on, a bit each.
    pub(crate) fn assists(&self) -> u64 {
        self.vm_assist.load(Ordering::Relaxed)
    }

    /// Sets all assists. Those that do not exist stay off.
    pub(crate) fn set_assists(&self, wanted: u64) {
        let known = (0..u64::BITS)
            .filter(|&number| VmAssist::try_from(number).is_ok())
            .fold(0, |bits, number| bits | 1 << number);
        self.vm_assist.store(wanted & known, Ordering::Relaxed);
    }

    /// All its vCPUs, by number.
    pub(crate) fn vcpus(&self) -> &[Arc<Vcpu>] {
        self.vcpus.get().map_or(&[], Vec::as_slice)
    }

    /// The vCPU with a number from outside.
    pub(crate) fn vcpu(&self, id: VcpuId) -> Option<&Arc<Vcpu>> {
        speculation::element(self.vcpus(), id.0 as usize)
    }

    /// The vCPU with a number that was found to be one before, as that which a port notifies.
    pub(super) fn known_vcpu(&self, id: VcpuId) -> Option<&Arc<Vcpu>> {
        self.vcpus().get(id.0 as usize)
    }

    pub(crate) fn set_assist(&self, assist: VmAssist, is_on: bool) {
        let bit = 1 << assist as u32;
        if is_on {
            self.vm_assist.fetch_or(bit, Ordering::Relaxed);
        } else {
            self.vm_assist.fetch_and(!bit, Ordering::Relaxed);
        }
    }

    /// Tells the domain the date.
    pub(crate) fn set_wall_clock(&self, clock: WallClock) {
        let mut version = self.wall_clock.lock();
        let clock = clock.offset_by(self.control.settings.lock().time_offset_s);
        // The hypervisor's own mapping of the frame does not fault.
        let _ = version.publish(&self.bits.shared(), &clock);
    }

    pub(crate) fn has_assist(&self, assist: VmAssist) -> bool {
        self.vm_assist.load(Ordering::Relaxed) & 1 << assist as u32 != 0
    }

    pub(crate) fn has_architectural_iopl(&self) -> bool {
        self.has_assist(VmAssist::ArchitecturalIopl)
    }
}

/// All domains.
pub(crate) struct Domains;

/// Whose a number is.
pub(crate) static NUMBERS: Numbers = Numbers::new();

static ALL: IrqLock<BTreeMap<u16, Arc<Domain>>, { rank::DOMAINS }> = IrqLock::new(BTreeMap::new());

impl Domains {
    /// The domain with this number.
    pub(crate) fn find(&self, id: DomId) -> Option<Arc<Domain>> {
        ALL.lock().get(&id.0).cloned()
    }

    /// All of them, those that have ended included, by number.
    pub(crate) fn all(&self) -> impl Iterator<Item = Arc<Domain>> {
        core::iter::successors(Self.from(DomId(0)), |domain| {
            Self.from(DomId(domain.id.0.checked_add(1)?))
        })
    }

    /// How many there are, those that have ended included.
    pub(crate) fn count(&self) -> usize {
        ALL.lock().len()
    }

    /// Adds a domain.
    pub(crate) fn add(&self, domain: Arc<Domain>) {
        ALL.lock().insert(domain.id.0, domain);
    }

    /// The first domain whose number is not below `id`.
    pub(crate) fn from(&self, id: DomId) -> Option<Arc<Domain>> {
        let all = ALL.lock();
        all.range(id.0..).next().map(|(_, domain)| domain.clone())
    }

    /// Takes a domain off the list that is gone. From anywhere, with a page-table lock held too.
    pub(crate) fn reap(&self, id: DomId) {
        // What is gone stays so; of several who find it out one takes it off. While it is held here its number is nobody else's.
        if let Some(_gone) = self.find(id).filter(|domain| domain.is_gone()) {
            let taken_off = ALL.lock().remove(&id.0);
            if taken_off.is_some() {
                self.tell_of_end();
            }
        }
    }

    /// Tells all domains the date.
    pub(crate) fn set_wall_clock(&self, clock: WallClock) {
        for domain in ALL.lock().values() {
            domain.set_wall_clock(clock);
        }
    }
}
