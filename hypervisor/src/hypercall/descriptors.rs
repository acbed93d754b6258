//! Descriptor tables: GDT, LDT, single descriptors.

#![forbid(unsafe_code)]

use super::mmu::Refusal;
use super::{CallersMemory, Outcome};
use crate::arch::guest::running::Guest;
use crate::arch::guest::state;
use crate::arch::memory::mm;
use crate::domain::context::{Context, is_canonical};
use crate::domain::entry_points::GdtFrames;
use crate::domain::{Domain, Vcpu};
use crate::mm::descriptor::DescriptorPage;
use crate::mm::error::Stop;
use crate::mm::platform::Slot;
use crate::speculation;
use guest_abi::errno::Errno;
use guest_abi::ids::{Mfn, PAGE_SIZE, Vaddr};
use guest_abi::segment::MAX_LDT_ENTRIES;

/// Entries in a page.
const ENTRIES_PER_PAGE: u32 = PAGE_SIZE as u32 / 8;

/// Replaces the vCPU's GDT.
pub(super) fn set_gdt(guest: &mut Guest<'_>, arguments: [u64; 6]) -> Outcome {
    let [list, entries, ..] = arguments;
    let table = match GdtFrames::read(&CallersMemory, list, entries) {
        Ok(table) => table,
        Err(errno) => return Err(errno).into(),
    };
    match take(guest.domain, table.used()) {
        Ok(()) => {}
        Err(Stop::Preempted) => return Outcome::again([]),
        Err(Stop::Failed(_)) => return Err(Errno::EINVAL).into(),
    }
    drop_gdt(guest);
    let area = guest.domain.per_domain();
    for (page, &frame) in table.used().iter().enumerate() {
        area.set_gdt_page(guest.vcpu.id(), page, Some(frame));
    }
    guest.context.tables.gdt = table.frames;
    guest.context.tables.gdt_entries = table.entries;
    state::reload_root(guest.context);
    Ok(0).into()
}

/// Takes a descriptor-page reference on each frame, or on none.
fn take(domain: &Domain, frames: &[Mfn]) -> Result<(), Stop> {
    domain.with_tables(|lock| mm().get_descriptor_list(lock, frames))
}

/// Takes the GDT that a new context names, for a vCPU that has not run yet. The vCPU is [shown](show_gdt) it when
/// it is certain that the context will be its own.
pub(super) fn take_gdt(domain: &Domain, context: &Context) -> Result<(), Refusal> {
    let frames = context
        .tables
        .gdt
        .get(..gdt_pages(context))
        .ok_or(Errno::EINVAL)?;
    take(domain, frames).map_err(|stop| match stop {
        Stop::Preempted => Refusal::Preempted,
        Stop::Failed(_) => Errno::EINVAL.into(),
    })
}

/// Shows a vCPU that does not run the GDT that was taken for its context. It flushes when it begins to run.
pub(super) fn show_gdt(domain: &Domain, vcpu: &Vcpu, context: &Context) {
    for (page, &frame) in context.tables.gdt_frames().iter().enumerate() {
        domain
            .per_domain()
            .set_gdt_page(vcpu.id(), page, Some(frame));
    }
}

/// Gives the GDT of a context up that was never used.
pub(super) fn drop_gdt_frames(domain: &Domain, context: &Context) {
    domain.with_tables(|lock| {
        for &frame in context.tables.gdt.iter().take(gdt_pages(context)) {
            mm().put_descriptors(lock, DescriptorPage::recall(frame));
        }
    });
}

fn gdt_pages(context: &Context) -> usize {
    context.tables.gdt_entries.div_ceil(ENTRIES_PER_PAGE) as usize
}

/// Gives up the frames of the vCPU's GDT.
fn drop_gdt(guest: &mut Guest<'_>) {
    let tables = &mut guest.context.tables;
    let count = tables.gdt_entries.div_ceil(ENTRIES_PER_PAGE) as usize;
    let area = guest.domain.per_domain();
    for page in 0..count {
        area.set_gdt_page(guest.vcpu.id(), page, None);
    }
    // Nobody may find the old pages any more before they can become something else.
    state::reload_root(guest.context);
    let tables = &mut guest.context.tables;
    guest.domain.with_tables(|lock| {
        for &frame in tables.gdt.iter().take(count) {
            mm().put_descriptors(lock, DescriptorPage::recall(frame));
        }
    });
    tables.gdt_entries = 0;
}

/// Stores one descriptor.
pub(super) fn update_descriptor(guest: &Guest<'_>, arguments: [u64; 6]) -> Outcome {
    let [address, descriptor, ..] = arguments;
    if address % 8 != 0 {
        return Err(Errno::EINVAL).into();
    }
    let (mfn, slot) = (Mfn::of_address(address), Slot::of_address(address));
    match guest
        .domain
        .with_tables(|lock| mm().update_descriptor(lock, mfn, slot, descriptor))
    {
        Ok(()) => Ok(0).into(),
        Err(Stop::Preempted) => Outcome::again([]),
        Err(Stop::Failed(_)) => Err(Errno::EINVAL).into(),
    }
}

/// Sets the LDT: its pages are looked at when they are first used.
pub(super) fn set_ldt(guest: &mut Guest<'_>, base: Vaddr, entries: u32) -> Result<(), Errno> {
    if !base.0.is_multiple_of(PAGE_SIZE as u64)
        || !is_canonical(base.0)
        || entries > MAX_LDT_ENTRIES
    {
        return Err(Errno::EINVAL);
    }
    drop_ldt_pages(guest);
    guest.context.tables.ldt_base = base;
    guest.context.tables.ldt_entries = entries;
    state::reload_ldt(guest.context, guest.vcpu.id());
    Ok(())
}

/// Forgets the LDT pages that are mapped; they are found again when they are used.
pub(super) fn drop_ldt_pages(guest: &mut Guest<'_>) {
    let mut dropped = [None; 16];
    for (page, slot) in guest.context.ldt_pages.iter_mut().enumerate() {
        if let (Some(frame), Some(keep)) = (slot.take(), dropped.get_mut(page)) {
            guest
                .domain
                .per_domain()
                .set_ldt_page(guest.vcpu.id(), page, None);
            *keep = Some(frame);
        }
    }
    if dropped.iter().all(Option::is_none) {
        return;
    }
    state::reload_root(guest.context);
    guest.domain.with_tables(|lock| {
        for frame in dropped.into_iter().flatten() {
            mm().put_descriptors(lock, DescriptorPage::recall(frame));
        }
    });
}

/// What has come of showing a page of an LDT to the processor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LdtPage {
    /// It is there.
    Mapped,
    /// It is not, because it is wanted for something else now: try again.
    NotNow,
    /// The guest has none there, or it is there already.
    Refused,
}

/// Maps a page of the LDT that the processor, or who looks at descriptors for it, has just missed.
pub(crate) fn map_ldt_page(guest: &mut Guest<'_>, page: usize) -> LdtPage {
    let tables = &guest.context.tables;
    let pages = tables.ldt_entries.div_ceil(ENTRIES_PER_PAGE) as usize;
    let Some(page) = speculation::index(page, pages) else {
        return LdtPage::Refused;
    };
    // A page that is there already keeps the one reference that is taken on it.
    if guest
        .context
        .ldt_pages
        .get(page)
        .copied()
        .flatten()
        .is_some()
    {
        return LdtPage::Refused;
    }
    let address = Vaddr(tables.ldt_base.0.wrapping_add((page * PAGE_SIZE) as u64));
    let root = guest.context.kernel_root;
    let taken = guest.domain.with_tables(|lock| {
        let frame = mm().mapped_frame(lock, root, address)?;
        mm().get_descriptors(lock, frame)
    });
    // The lock's holder before may have left work, which comes first.
    if matches!(taken, Err(Stop::Preempted)) {
        return LdtPage::NotNow;
    }
    let (Ok(frame), Some(slot)) = (taken, guest.context.ldt_pages.get_mut(page)) else {
        return LdtPage::Refused;
    };
    let frame = frame.remember();
    guest
        .domain
        .per_domain()
        .set_ldt_page(guest.vcpu.id(), page, Some(frame));
    *slot = Some(frame);
    LdtPage::Mapped
}
