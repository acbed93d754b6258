//! The RAM disk: its bytes, where the start-of-day page says that it is, in frames that are this domain's as all others are.

use super::super::prelude::*;
use crate::catalogue::{RAM_DISK_BYTES, ram_disk_word};
use crate::memory::{KERNEL_RW, PRESENT, SPARE, Tables, WRITABLE, entry, update_va_mapping};
use crate::notes::VIRT_BASE;
use crate::reservation::{extents, pfn_of, reserve};
use crate::start::start_info;
use guest_abi::address_space::M2P_INVALID;
use guest_abi::memory_op::{MemoryDomain, MemoryOp};
use guest_abi::mmu::UVMF_INVLPG;
use guest_abi::start_of_day::StartFlags;

pub(super) const BYTES: u64 = RAM_DISK_BYTES as u64;
pub(super) const PAGES: u64 = BYTES.div_ceil(4096);

pub(crate) fn run() {
    let info = start_info();
    assert_eq!(info.mod_len, BYTES);
    let first = match info.flags.contains(StartFlags::MOD_START_PFN) {
        true => outside(info.mod_start),
        false => inside(info.mod_start),
    };
    let total = info.nr_pages;
    assert_eq!(total, 64 << 20 >> 12, "what the options ask for, not more");
    assert_eq!(frames_of_domain(), total);
    assert!(first.0 + PAGES <= total);
    let loaded = Frame::of_pfn(first).mfn();
    println!("RAM disk at machine address {:#x}", loaded.address());
    // Where the loader has put it, one behind the other: no whole frame was copied.
    for page in 0..BYTES / 4096 {
        let mfn = Frame::of_pfn(Pfn(first.0 + page)).mfn();
        assert_eq!(mfn.0, loaded.0 + page, "page {page}");
    }
    // Each frame has one number, and each number one frame.
    for pfn in (0..total).map(Pfn) {
        let mfn = Frame::of_pfn(pfn).mfn();
        assert_eq!(pfn_of(mfn.0), pfn, "{mfn:?}");
    }
    give_back(first);
    assert_eq!(frames_of_domain(), total - PAGES);
}

fn frames_of_domain() -> u64 {
    let mut own = MemoryDomain { domid: DomId::SELF };
    let outcome = hypercall!(MemoryOp, MemoryOp::CurrentReservation.number(), &mut own);
    outcome.expect("the domain knows its own size")
}

/// It is in the initial mapping, between the kernel and the list of frames. The number of its first frame.
fn inside(start: u64) -> Pfn {
    let info = start_info();
    assert!(start > VIRT_BASE && start.is_multiple_of(4096));
    assert!(start + BYTES <= info.mfn_list.0);
    check(start);
    for va in (start..start + BYTES).step_by(4096).map(Vaddr) {
        let (table, index) = memory::leaf_of(va).expect("it is mapped");
        let leaf = table.read(index);
        assert_eq!(leaf & (PRESENT | WRITABLE), PRESENT | WRITABLE, "{va:?}");
        assert_eq!(update_va_mapping(va, 0, UVMF_INVLPG), Ok(0));
    }
    Frame::at(Vaddr(start)).pfn()
}

/// It is mapped nowhere, behind all that is.
fn outside(start: u64) -> Pfn {
    let tables = Tables::hook(SPARE);
    let address = |page| tables.l1.word_address(page as usize);
    for page in 0..PAGES {
        let frame = Frame::of_pfn(Pfn(start + page));
        let is_mapped = |(table, index): (Frame, usize)| table.read(index) & PRESENT != 0;
        assert!(
            !memory::leaf_of(frame.va()).is_some_and(is_mapped),
            "{frame:?}"
        );
        let leaf = entry(frame.mfn(), KERNEL_RW);
        assert_eq!(memory::set_entry(address(page), leaf), Ok(0), "{frame:?}");
    }
    check(SPARE.0);
    for page in 0..PAGES {
        assert_eq!(memory::set_entry(address(page), 0), Ok(0));
    }
    Pfn(start)
}

/// Its bytes, which can be written.
fn check(start: u64) {
    let word = |index: u64| (start + 8 * index) as *mut u64;
    for index in 0..BYTES.div_ceil(8) {
        let mask = mask(index);
        // SAFETY: mapped, and no reference points to it; a fault is reported.
        let found = unsafe { word(index).read_volatile() };
        assert_eq!(found & mask, ram_disk_word(index) & mask, "word {index}");
    }
    // SAFETY: as above.
    unsafe { word(0).write_volatile(!ram_disk_word(0)) };
}

/// Which bytes of a word are the RAM disk's.
pub(super) fn mask(index: u64) -> u64 {
    let (from, to) = (index * 8, BYTES.min(index * 8 + 8));
    match to.saturating_sub(from) {
        8 => u64::MAX,
        bytes => (1 << (8 * bytes)) - 1,
    }
}

/// All of its frames can be given up, and are gone.
fn give_back(first: Pfn) {
    let mut list: [u64; PAGES as usize] =
        core::array::from_fn(|page| Frame::of_pfn(Pfn(first.0 + page as u64)).mfn().0);
    let given = list;
    let outcome = reserve(MemoryOp::DecreaseReservation, extents(&mut list, 0));
    assert_eq!(outcome, Ok(PAGES));
    assert!(given.iter().all(|&mfn| pfn_of(mfn) == Pfn(M2P_INVALID)));
}
