//! What the boot loader tells: where it put things, and what memory there is.

use super::messages::start_console;
use crate::arch::layout::{self, EARLY_DIRECT_LIMIT};
use crate::arch::{boot_memory, death, paging};
use crate::console;
use crate::image::pfns::Pfns;
use crate::machine::Bounded;
use crate::machine::memory_map::{MAX_RANGES, MemoryKind};
use crate::machine::multiboot::{self, BootInfo};
use crate::machine::phys::PhysRange;
use crate::options::Options;
use alloc::vec::Vec;
use guest_abi::ids::{Mfn, Pfn};

/// First MiB: firmware's areas, mapped whole.
pub(in crate::arch) const LOW_END: u64 = 1 << 20;

/// Reads the loader's information where it lies.
pub(super) fn read_boot_info(address: u64) -> BootInfo<'static> {
    let refuse = |error: multiboot::BootInfoError| -> ! {
        start_console(&Options::DEFAULT, None);
        death::refuse(format_args!(
            "the loader's multiboot2 information at {address:#x} is damaged: {error}"
        ))
    };
    // SAFETY: the loader put at least its fixed part there, below 4 GiB, which the early direct map shows.
    let header = unsafe { (paging::direct::<[u8; 8]>(address)).read() };
    let length = multiboot::block_bytes(header).unwrap_or_else(|error| refuse(error));
    if address + u64::from(length) > EARLY_DIRECT_LIMIT {
        start_console(&Options::DEFAULT, None);
        death::refuse(format_args!(
            "the multiboot2 information at {address:#x} goes beyond 4 GiB"
        ));
    }
    // SAFETY: shown by the early and by the final direct map (it lies in RAM and is reserved before
    // anything is allocated); nobody writes to it any more.
    let block = unsafe {
        core::slice::from_raw_parts(paging::direct::<u8>(address).cast_const(), length as usize)
    };
    BootInfo::parse(block).unwrap_or_else(|error| refuse(error))
}

/// Learns what RAM there is and keeps what is in use from being given out.
pub(super) fn find_memory(info: &BootInfo<'_>, info_address: u64, load_base: u64) {
    let filled = boot_memory::with_map(|map| {
        let filled = map.fill(info.firmware_ranges());
        for range in map.ranges() {
            log::info!("  {range}");
        }
        filled
    });
    if let Err(error) = filled {
        death::refuse(format_args!("firmware's memory map: {error}"));
    }
    leave_out_memory();
    let (image_start, image_end) = paging::image_range(load_base);
    boot_memory::reserve(PhysRange {
        start: 0,
        end: 4096,
    });
    boot_memory::reserve(PhysRange {
        start: image_start,
        end: image_end,
    });
    // SAFETY: read before, in `read_boot_info`.
    let header = unsafe { paging::direct::<[u8; 8]>(info_address).read() };
    let length = multiboot::block_bytes(header).unwrap_or(0);
    boot_memory::reserve(PhysRange::from_len(info_address, u64::from(length)));
    report_ignored("modules of the boot loader", &info.modules);
    for module in info.modules.iter() {
        log::info!("  module at {}: {}", module.range, module.arguments);
        boot_memory::reserve(module.range);
    }
}

/// Takes memory that can't be used out of the map, and says so.
fn leave_out_memory() {
    let limit = direct_limit();
    let (left_out, truncated_at) =
        boot_memory::with_map(|map| (map.cap_ram(limit), map.truncated_at()));
    if left_out != 0 {
        console::warning(format_args!(
            "{} MiB of RAM from {limit:#x} up are not used: the hypervisor maps no more",
            left_out >> 20
        ));
    }
    if let Some(start) = truncated_at {
        console::warning(format_args!(
            "firmware's memory map has more than {MAX_RANGES} ranges: what is from {start:#x} up is not used"
        ));
    }
}

/// Machine addresses from here up are in no direct map.
fn direct_limit() -> u64 {
    #[cfg(feature = "planted-faults")]
    if let Some(limit) = crate::arch::planted::direct_limit() {
        return limit;
    }
    layout::DIRECT_LIMIT
}

/// Says that of a list of what firmware or the loader has told, a part did not fit.
pub(super) fn report_ignored<T, const N: usize>(what: &str, list: &Bounded<T, N>) {
    if list.ignored() != 0 {
        console::warning(format_args!(
            "there are more than {N} {what}: {} of them are ignored",
            list.ignored()
        ));
    }
}

/// Whether something of `range` is memory by firmware's map, or the hypervisor itself: no device can be there.
pub(in crate::arch) fn is_memory(range: &PhysRange) -> bool {
    boot_memory::with_map(|map| {
        map.ranges()
            .iter()
            .any(|known| known.kind != MemoryKind::Reserved && known.range.overlaps(range))
    })
}

/// The ranges that the direct map shows: the first MiB, RAM, and memory of ACPI.
pub(super) fn direct_ranges() -> [Option<(u64, u64)>; MAX_RANGES + 1] {
    let mut ranges = [None; MAX_RANGES + 1];
    ranges[0] = Some((0, LOW_END));
    let mut next = 1;
    boot_memory::with_map(|map| {
        for range in map.ranges() {
            let shown = matches!(
                range.kind,
                MemoryKind::Ram | MemoryKind::AcpiReclaimable | MemoryKind::AcpiNvs
            );
            let inner = range.range.whole_frames();
            let (start, end) = (
                inner.start.max(LOW_END),
                inner.end.min(layout::DIRECT_LIMIT),
            );
            if !shown || start >= end {
                continue;
            }
            // There is room for all that a map can hold.
            if let Some(slot) = ranges.get_mut(next) {
                *slot = Some((start, end));
            }
            next += 1;
        }
    });
    ranges
}

/// Frame numbers below the end of RAM that are not RAM.
pub(super) fn memory_holes() -> Vec<Pfns> {
    boot_memory::with_map(|map| {
        let mut holes = Vec::new();
        let mut end = 0;
        for ram in map.ram() {
            let ram = ram.whole_frames();
            if ram.start > end {
                holes.push(Pfns::new(Pfn(end >> 12), Pfn(ram.start >> 12)));
            }
            end = ram.end;
        }
        holes
    })
}

/// Whether a frame is RAM by firmware's word.
pub(in crate::arch) fn is_ram(mfn: Mfn) -> bool {
    boot_memory::with_map(|map| map.is_ram(PhysRange::from_len(mfn.address(), 4096)))
}
