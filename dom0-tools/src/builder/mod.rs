//! Building a guest: from a kernel's file to a domain whose first vCPU is ready to run.
//!
//! How the kernel is unpacked, where everything lies, what page tables and the start-of-day page hold is the
//! hypervisor's own code ([`hypervisor::image`]), which builds the first domain by it; here it is carried out in
//! another domain's frames. [`image_cache`] keeps unpacked kernels, [`memory`] the guest's frames.
//!
//! The caller owns the domain: it has made it, and destroys it if building fails.

pub mod error;
pub mod image_cache;
pub mod memory;

use crate::control::error::ControlError;
use crate::device::foreign_frames::ForeignFrames;
use crate::device::privcmd::Privcmd;
use error::BuildError;
use guest_abi::features::Features;
use guest_abi::grant_table::{EntryType, GrantEntryV1, RESERVED_CONSOLE, RESERVED_STORE};
use guest_abi::ids::{DomId, Mfn, PAGE_SIZE};
use guest_abi::shared_info::{LEGACY_MAX_VCPUS, SharedInfo, VcpuInfo};
use guest_abi::start_of_day::{INITIAL_DR6, INITIAL_DR7};
use guest_abi::vcpu_context::{ContextFlags, VcpuGuestContext};
use hypervisor::image::command_line::CommandLine;
use hypervisor::image::elf::{Kernel, Notes};
use hypervisor::image::layout::{Layout, Request};
use hypervisor::image::start::{self, Devices, Ring};
use hypervisor::image::{DomainKind, ImageError, tables};
use memory::{GuestMemory, TablePages};
use std::mem::offset_of;
use zerocopy::{FromZeros, IntoBytes};

/// What to build.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    /// The unpacked kernel.
    pub kernel: &'a [u8],
    /// The initial RAM disk; empty for none.
    pub ramdisk: &'a [u8],
    /// The kernel's command line.
    pub command_line: &'a str,
    /// Memory at the start.
    pub memory_mib: u64,
    /// What the guest may grow to.
    pub maxmem_mib: u64,
    /// What its kernel must be able to do.
    pub features: Features,
}

/// A guest that is ready to run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Built {
    /// The ring to the store.
    pub store: Ring,
    /// The console's ring.
    pub console: Ring,
    /// What its kernel says of itself.
    pub notes: Notes,
}

/// Pages of a MiB.
const PAGES_PER_MIB: u64 = (1 << 20) / PAGE_SIZE as u64;

/// Whether a kernel says that it can do what is wanted of it.
///
/// # Errors
///
/// It does not say so of some of it.
pub fn check_wanted(notes: &Notes, wanted: Features) -> Result<(), BuildError> {
    let missing = wanted - (notes.supported_features | notes.required_features);
    if missing.is_empty() {
        Ok(())
    } else {
        Err(BuildError::Lacks(missing))
    }
}

/// Builds a guest in a domain that has vCPUs and may have as much memory as the plan says.
///
/// # Errors
///
/// See [`BuildError`]. The domain may then be in any state.
pub fn build(privcmd: &Privcmd, domain: DomId, plan: &Plan<'_>) -> Result<Built, BuildError> {
    let kernel = Kernel::parse(plan.kernel).map_err(ImageError::from)?;
    let offered = Features::PAE_PGDIR_ABOVE_4GB | Features::WRITABLE_PAGE_TABLES;
    kernel
        .check_features(DomainKind::DomU, offered)
        .map_err(ImageError::from)?;
    check_wanted(kernel.notes(), plan.features)?;
    let command_line = CommandLine::join([plan.command_line.as_bytes()])?;
    let request = Request {
        kind: DomainKind::DomU,
        nr_pages: plan.memory_mib * PAGES_PER_MIB,
        initrd_len: plan.ramdisk.len() as u64,
        screen_info_len: 0,
        holes: &[],
    };
    let layout = Layout::new(&kernel, &request).map_err(ImageError::from)?;
    privcmd.set_address_size(domain)?;
    privcmd.set_memory_map(domain, plan.memory_mib.max(plan.maxmem_mib) << 20)?;
    let store_port = privcmd.allocate_port(domain)?;
    let console_port = privcmd.allocate_port(domain)?;
    let guest = GuestMemory::populate(privcmd, domain, layout.nr_pages)?;
    let ring = |pfn, port| Ring {
        mfn: guest.mfn(pfn),
        port,
    };
    let (Some(store_pfn), Some(console_pfn)) = (layout.store_ring, layout.console_ring) else {
        return Err(BuildError::NoRings);
    };
    let built = Built {
        store: ring(store_pfn, store_port),
        console: ring(console_pfn, console_port),
        notes: *kernel.notes(),
    };
    let info = privcmd.domain_info(domain)?;
    let shared_info = Mfn(info.ok_or(BuildError::Vanished)?.shared_info_frame);

    guest.fill_kernel(&kernel, &layout)?;
    if let Some(place) = layout.initrd {
        guest.fill(place.pfns, plan.ramdisk)?;
    }
    guest.fill_p2m(layout.p2m)?;
    guest.clear(store_pfn)?;
    guest.clear(console_pfn)?;
    guest.clear(layout.stack)?;
    let devices = Devices::DomU {
        store: built.store,
        console: built.console,
    };
    let start_info = start::start_info(
        &layout,
        shared_info.0 * PAGE_SIZE as u64,
        devices,
        &command_line,
    );
    guest.fill(layout.start_info, start_info.as_bytes())?;
    // Nobody else may have page tables writable: they are no longer mapped here when they are pinned.
    let mut pages = TablePages::new(&guest, layout.page_tables);
    tables::write(&layout, &mut pages).unwrap_or_else(|never| match never {});
    pages.store()?;
    privcmd.pin_root(domain, guest.mfn(layout.page_tables.start()))?;
    if let Some(page) = layout.hypercall_page {
        privcmd.init_hypercall_page(domain, guest.mfn(page))?;
    }
    mask_events(privcmd, domain, shared_info)?;
    grant_rings(privcmd, domain, &built)?;
    privcmd.set_vcpu_context(domain, 0, &first_context(&layout, &guest))?;
    Ok(built)
}

/// No vCPU takes events until its kernel says that it is ready.
fn mask_events(privcmd: &Privcmd, domain: DomId, shared_info: Mfn) -> Result<(), ControlError> {
    let page = ForeignFrames::of(privcmd, domain, &[shared_info])?;
    for vcpu in 0..LEGACY_MAX_VCPUS {
        let at = offset_of!(SharedInfo, vcpu_info)
            + vcpu * size_of::<VcpuInfo>()
            + offset_of!(VcpuInfo, evtchn_upcall_mask);
        page.write(0, at, &[1]);
    }
    Ok(())
}

/// Grants the rings to the daemons of the first domain by the reserved entries of the guest's grant table.
fn grant_rings(privcmd: &Privcmd, domain: DomId, built: &Built) -> Result<(), BuildError> {
    let table = ForeignFrames::grant_table(privcmd, domain)?;
    for (entry, ring) in [
        (RESERVED_CONSOLE, built.console),
        (RESERVED_STORE, built.store),
    ] {
        let grant = GrantEntryV1 {
            flags: EntryType::PermitAccess as u16,
            domid: DomId::DOM0,
            frame: u32::try_from(ring.mfn.0).map_err(|_| BuildError::FrameTooHigh(ring.mfn))?,
        };
        table.write(
            0,
            entry as usize * size_of::<GrantEntryV1>(),
            grant.as_bytes(),
        );
    }
    Ok(())
}

fn first_context(layout: &Layout, guest: &GuestMemory<'_>) -> VcpuGuestContext {
    let mut context = VcpuGuestContext::new_zeroed();
    context.flags = ContextFlags::IN_KERNEL | ContextFlags::ONLINE;
    context.user_regs = start::registers(layout);
    context.kernel_ss = u64::from(context.user_regs.ss);
    context.kernel_sp = guest_abi::ids::Vaddr(context.user_regs.rsp);
    let root = guest.mfn(layout.page_tables.start());
    let [.., debug_status, debug_control] = &mut context.debugreg;
    (*debug_status, *debug_control) = (INITIAL_DR6, INITIAL_DR7);
    let [_, _, _, kernel_root, ..] = &mut context.ctrlreg;
    *kernel_root = root.0 * PAGE_SIZE as u64;
    context
}
