//! Building the first domain: its kernel is the loader's first module, its initial RAM disk the second.

use crate::arch::boot::LOW_END;
use crate::arch::memory::{self, mm};
use crate::arch::{fpu, frames, paging, scheduler, smp};
use crate::console;
use crate::control::create::Plan;
use crate::cpu_policy::Policy;
use crate::domain::context::Context;
use crate::domain::{Domain, Domains, NUMBERS, NoMemory};
use crate::image::command_line::CommandLine;
use crate::image::elf::Kernel;
use crate::image::layout::{Layout, Request};
use crate::image::pfns::Pfns;
use crate::image::screen::SCREEN_INFO_BYTES;
use crate::image::start::{self, Devices};
use crate::image::tables::{self, Entry, Level, Table, TableWriter};
use crate::image::{DomainKind, ImageError, bzimage};
use crate::machine::phys::PhysRange;
use crate::mm::buddy::Order;
use crate::mm::error::Stop;
use crate::mm::platform::MachineToPhys;
use crate::mm::typ;
use crate::options::{Dom0Pages, Options};
use crate::sched::credit::Parameters;
use crate::sched::{CpuId, CpuSet, SchedError};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::convert::Infallible;
use core::fmt;
use guest_abi::event_channel::NR_PORTS_2L;
use guest_abi::features::Features;
use guest_abi::grant_table::{DEFAULT_MAX_FRAMES, DEFAULT_MAX_MAPTRACK_FRAMES};
use guest_abi::ids::{DomId, Mfn, PAGE_SIZE, Pfn, VcpuId};

/// Entry bit by which the hypervisor tells guest-kernel pages from user ones.
const GUEST_KERNEL: u64 = 1 << 52;

/// Why there is no first domain. A sentence for the person at the console.
#[derive(Debug)]
pub(in crate::arch) enum BuildError {
    /// The kernel file.
    Image(ImageError),
    /// No room to unpack it.
    NoRoomToUnpack(usize),
    /// Memory ran out.
    NoMemory {
        /// Pages that the domain should have.
        wanted: u64,
        /// Pages that it got.
        got: u64,
    },
    /// The scheduler does not take the virtual processors.
    Vcpus(SchedError),
    /// The tables that we built were refused, which is our own mistake.
    Tables(Stop),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image(error) => write!(f, "{error}"),
            Self::NoRoomToUnpack(bytes) => {
                write!(
                    f,
                    "no {} KiB of memory in one piece to unpack the kernel: give the machine more memory",
                    bytes >> 10
                )
            }
            Self::NoMemory { wanted, got } => {
                write!(
                    f,
                    "dom0_mem asks for {wanted} pages, {got} are free: ask for less"
                )
            }
            Self::Vcpus(SchedError::OutOfMemory) => {
                f.write_str("no memory for its virtual processors: ask for fewer by dom0_max_vcpus")
            }
            Self::Vcpus(SchedError::NoCpu) => {
                f.write_str("its virtual processors are pinned to processors that do not run")
            }
            Self::Tables(stop) => write!(f, "the initial page tables are refused: {stop:?}"),
        }
    }
}

impl From<ImageError> for BuildError {
    fn from(error: ImageError) -> Self {
        Self::Image(error)
    }
}

/// A module, as bytes.
fn module_bytes(range: PhysRange) -> &'static [u8] {
    // SAFETY: the loader put the module there; its frames are reserved while the domain is built, so nobody gets
    // them or writes to them while the slice is used, and the direct map shows them.
    unsafe {
        core::slice::from_raw_parts(
            paging::direct::<u8>(range.start).cast_const(),
            range.len() as usize,
        )
    }
}

/// The domain's frames, in pieces: (first pfn, first mfn, frames).
struct Frames(Vec<(u64, Mfn, u64)>);

impl Frames {
    fn mfn(&self, pfn: Pfn) -> Mfn {
        let after = self.0.partition_point(|&(first, _, _)| first <= pfn.0);
        match after.checked_sub(1).and_then(|index| self.0.get(index)) {
            Some(&(first, mfn, count)) if pfn.0 - first < count => Mfn(mfn.0 + (pfn.0 - first)),
            _ => unreachable!("{pfn} is not one of the first domain's"),
        }
    }

    fn page(&self, pfn: Pfn) -> &'static mut [u8; PAGE_SIZE] {
        // SAFETY: a frame of the domain that is being built; nothing runs in it, and the builder uses one
        // page at a time.
        unsafe { &mut *paging::direct::<[u8; PAGE_SIZE]>(self.mfn(pfn).address()) }
    }
}

/// Writes page tables into the domain's frames.
struct Writer<'f>(&'f Frames);

impl TableWriter for Writer<'_> {
    type Error = Infallible;

    fn clear(&mut self, table: Table) -> Result<(), Infallible> {
        self.0.page(table.pfn).fill(0);
        Ok(())
    }

    fn set(&mut self, table: Table, entry: Entry) -> Result<(), Infallible> {
        let kernel = if table.level == Level::L1 {
            GUEST_KERNEL
        } else {
            0
        };
        let value = self.0.mfn(entry.target).address() | entry.flags.bits() | kernel;
        let page = self.0.page(table.pfn);
        if let Some(slot) = page.get_mut(entry.index * 8..entry.index * 8 + 8) {
            slot.copy_from_slice(&value.to_le_bytes());
        }
        Ok(())
    }
}

/// Pages for the first domain: what `dom0_mem` says, else all but a share for the hypervisor and guests.
fn pages_wanted(options: &Options) -> Dom0Pages {
    let free = frames::free_frames() * PAGE_SIZE as u64;
    // Some for guests' control structures, and memory that the domain can exchange for what its devices reach.
    let spare = (free / 16)
        .min(128 << 20)
        .max(frames::DMA_BYTES.min(free / 4));
    let available = free - spare;
    for shortfall in options.dom0_mem.shortfalls(available) {
        // Whatever the log level, as for all that is wrong with options.
        console::line(format_args!("warning: {shortfall}"));
    }
    options.dom0_mem.pages(available)
}

/// Whole frames of the RAM disk as the loader has left it, which become the domain's as they are.
struct Loaded {
    pfn: u64,
    mfn: Mfn,
    count: u64,
}

impl Loaded {
    /// What of the RAM disk need not be copied. A page that it fills in part may hold something else behind it.
    fn of(layout: &Layout, initrd: Option<PhysRange>) -> Option<Self> {
        let (place, range) = (layout.initrd.as_ref()?, initrd?);
        let count = range.len() / PAGE_SIZE as u64;
        (range.start.is_multiple_of(PAGE_SIZE as u64) && range.start >= LOW_END && count != 0)
            .then_some(Self {
                pfn: place.pfns.start().0,
                mfn: Mfn::of_address(range.start),
                count,
            })
    }
}

/// Gives the domain `pages` frames, those that the loader has filled for it among them.
fn take_frames(domain: &Domain, pages: u64, loaded: Option<&Loaded>) -> Result<Frames, BuildError> {
    let mut pieces = Vec::new();
    let mut from = 0;
    if let Some(&Loaded { pfn, mfn, count }) = loaded {
        allocate_frames(domain, &mut pieces, (0, pfn), pages)?;
        domain.adopt_boot_frames(mfn, count);
        for index in 0..count {
            crate::arch::memory::Machine.set(Mfn(mfn.0 + index), pfn + index);
        }
        pieces.push((pfn, mfn, count));
        from = pfn + count;
    }
    allocate_frames(domain, &mut pieces, (from, pages), pages)?;
    Ok(Frames(pieces))
}

/// Allocates frames for those of the domain's `pages` from the first to below the second, the largest pieces first.
fn allocate_frames(
    domain: &Domain,
    pieces: &mut Vec<(u64, Mfn, u64)>,
    (from, to): (u64, u64),
    pages: u64,
) -> Result<(), BuildError> {
    let mut pfn = from;
    let mut order = Order::MAX.get();
    while pfn < to {
        let left = to - pfn;
        while order > 0 && 1u64 << order > left {
            order -= 1;
        }
        let Some(size) = Order::new(order) else { break };
        // What is in them from before is no secret from a domain that may map every frame, and to clear all of a large
        // domain's memory takes seconds.
        match frames::allocate_unclean(size) {
            Some(block) => {
                let mfn = domain.adopt_first(block);
                for index in 0..1u64 << order {
                    crate::arch::memory::Machine.set(Mfn(mfn.0 + index), pfn + index);
                }
                pieces.push((pfn, mfn, 1u64 << order));
                pfn += 1u64 << order;
            }
            None if order == 0 => {
                return Err(BuildError::NoMemory {
                    wanted: pages,
                    got: pfn,
                });
            }
            None => order -= 1,
        }
    }
    Ok(())
}

/// What the first domain is made of.
pub(in crate::arch) struct Parts<'a> {
    /// The kernel's file.
    pub(in crate::arch) kernel: PhysRange,
    /// Parts of the kernel's command line.
    pub(in crate::arch) arguments: [&'a [u8]; 3],
    /// The initial RAM disk.
    pub(in crate::arch) initrd: Option<PhysRange>,
    /// The screen's description.
    pub(in crate::arch) screen: Option<[u8; SCREEN_INFO_BYTES]>,
}

/// Builds the first domain and makes its vCPUs ready to run. The kernel's file is gone afterwards, and so is the
/// RAM disk: as it is, or as a copy, it is the domain's.
pub(in crate::arch) fn build_first_domain(
    parts: &Parts<'_>,
    holes: &[Pfns],
    options: &Options,
) -> Result<(), BuildError> {
    let loaded = build(parts, holes, options)?;
    frames::free_boot_memory(parts.kernel);
    if let (None, Some(initrd)) = (loaded, parts.initrd) {
        frames::free_boot_memory(initrd);
    }
    Ok(())
}

/// Says what of the RAM disk it has taken over.
fn build(
    parts: &Parts<'_>,
    holes: &[Pfns],
    options: &Options,
) -> Result<Option<Loaded>, BuildError> {
    let opened = bzimage::open(module_bytes(parts.kernel)).map_err(ImageError::from)?;
    let mut unpacked = Vec::new();
    let elf = match &opened {
        bzimage::KernelFile::Elf(elf) => *elf,
        bzimage::KernelFile::Packed(payload) => {
            unpacked
                .try_reserve_exact(payload.unpacked_len)
                .map_err(|_| BuildError::NoRoomToUnpack(payload.unpacked_len))?;
            unpacked.resize(payload.unpacked_len, 0);
            payload
                .unpack(&mut unpacked, &mut |_| {})
                .map_err(ImageError::from)?;
            &unpacked
        }
    };
    let kernel = Kernel::parse(elf).map_err(ImageError::from)?;
    let offered = Features::PAE_PGDIR_ABOVE_4GB | Features::WRITABLE_PAGE_TABLES;
    kernel
        .check_features(DomainKind::Dom0, offered)
        .map_err(ImageError::from)?;
    let Dom0Pages {
        initial: pages,
        most,
    } = pages_wanted(options);
    let request = Request {
        kind: DomainKind::Dom0,
        nr_pages: pages,
        initrd_len: parts.initrd.map_or(0, |range| range.len()),
        screen_info_len: parts.screen.map_or(0, |screen| screen.len() as u64),
        holes,
    };
    let layout = Layout::new(&kernel, &request).map_err(ImageError::from)?;

    let policy = Policy::for_host(&crate::arch::processors::Host);
    fpu::set_permitted(policy.xcr0_permitted);
    let processors = smp::online().count() as u32;
    let vcpus = options
        .dom0_max_vcpus
        .map_or(processors, |count| processors.clamp(count.min, count.max));
    let plan = Plan {
        handle: [0; 16],
        ssidref: 0,
        is_store: true,
        max_vcpus: vcpus,
        max_port: NR_PORTS_2L - 1,
        max_grant_frames: DEFAULT_MAX_FRAMES,
        max_maptrack_frames: DEFAULT_MAX_MAPTRACK_FRAMES,
        has_relaxed_msrs: false,
    };
    scheduler::set_parameters(Parameters::of(options));
    let _ = memory::nobodys_shared_info();
    let number = NUMBERS.take(DomId::DOM0).expect("the first domain");
    let domain = Domain::new(number, policy, &plan)
        .map_err(|NoMemory| BuildError::NoMemory { wanted: 1, got: 0 })?;
    let shared_info = domain.shared_info_frame();
    Domains.add(domain.clone());
    let affinity = |vcpu: VcpuId| {
        if options.is_dom0_vcpus_pin {
            CpuSet::only(CpuId(vcpu.0 % processors))
        } else {
            CpuSet::ALL
        }
    };
    domain
        .make_vcpus(vcpus, affinity)
        .map_err(BuildError::Vcpus)?;
    domain.tell_date();

    domain.set_max_pages(most);
    let loaded = Loaded::of(&layout, parts.initrd);
    let frames = take_frames(&domain, pages, loaded.as_ref())?;
    let done = loaded.as_ref().map_or(0, |loaded| loaded.count);
    fill(&frames, &layout, &kernel, parts, done, shared_info);
    let root = frames.mfn(layout.page_tables.start());
    let root = domain
        .with_tables(|lock| {
            mm().pin(lock, root, typ::Level::L4)?;
            mm().get_root(lock, root)
        })
        .map_err(BuildError::Tables)?
        .remember();

    let mut context = Box::new(Context::new(root));
    let registers = start::registers(&layout);
    context.registers.rip = registers.rip;
    context.registers.rsp = registers.rsp;
    context.registers.rsi = registers.rsi;
    context.kernel_stack = (registers.ss, guest_abi::ids::Vaddr(registers.rsp));
    let Some(first) = domain.vcpu(VcpuId(0)) else {
        unreachable!("a domain without vCPUs")
    };
    if first.initialise(context, |_| {}).is_err() {
        unreachable!("a vCPU that was just made is initialised already");
    }
    console::line(format_args!(
        "First domain: {pages} pages ({} MiB), {vcpus} vCPUs, kernel at {}, entry {}",
        pages >> 8,
        layout.kernel,
        layout.entry
    ));
    if domain.bring_up(first).is_err() {
        unreachable!("a vCPU that was just initialised is not");
    }
    // As every domain it begins paused.
    let _ = domain.unpause();
    Ok(loaded)
}

/// Fills the domain's memory: kernel, RAM disk (past the pages that are there already), list of frames, page tables,
/// start of day.
fn fill(
    frames: &Frames,
    layout: &Layout,
    kernel: &Kernel<'_>,
    parts: &Parts<'_>,
    done: u64,
    shared_info: Mfn,
) {
    for pfn in layout.kernel.iter() {
        kernel.fill_page(pfn, frames.page(pfn));
    }
    if let Some(page) = layout.hypercall_page {
        start::write_hypercall_page(frames.page(page));
    }
    if let (Some(place), Some(range)) = (&layout.initrd, parts.initrd) {
        let pages = place.pfns.iter().zip(module_bytes(range).chunks(PAGE_SIZE));
        for (pfn, piece) in pages.skip(done as usize) {
            let page = frames.page(pfn);
            if let Some((to, rest)) = page.split_at_mut_checked(piece.len()) {
                to.copy_from_slice(piece);
                rest.fill(0);
            }
        }
    }
    let mut next = 0;
    for pfn in layout.p2m.iter() {
        for slot in frames.page(pfn).chunks_exact_mut(8) {
            let value = if next < layout.nr_pages {
                frames.mfn(Pfn(next)).0
            } else {
                u64::MAX
            };
            slot.copy_from_slice(&value.to_le_bytes());
            next += 1;
        }
    }
    let Ok(()) = tables::write(layout, &mut Writer(frames));
    let (line, cut) = CommandLine::cut(parts.arguments);
    if let Some(error) = cut {
        console::line(format_args!("warning: first domain: {error}"));
    }
    let devices = Devices::Dom0 {
        screen_info_len: parts.screen.map_or(0, |screen| screen.len() as u32),
        power_management: 0,
    };
    for pfn in layout.start_info.iter().chain([layout.stack]) {
        frames.page(pfn).fill(0);
    }
    let info = start::start_info(layout, shared_info.address(), devices, &line);
    let bytes = zerocopy::IntoBytes::as_bytes(&info);
    let page = frames.page(layout.start_info.start());
    // The screen's description is directly behind.
    let screen = parts.screen.as_ref().map_or(&[][..], |screen| screen);
    for (to, from) in page.iter_mut().zip(bytes.iter().chain(screen)) {
        *to = *from;
    }
}
