//! The frames to play with. Nothing else of this kernel's is in them, so whatever becomes of them, it goes on.
//!
//! Each has a place in the initial mapping where it was at first; later anything may be mapped there, and the
//! frame may be gone.

use super::dice::Dice;
use crate::memory::Frame;
use crate::start::start_info;
use crate::trap::probe;
use core::sync::atomic::{AtomicU64, Ordering};
use guest_abi::ids::{Mfn, Pfn, Vaddr};

pub(super) const FRAMES: usize = 192;

/// Machine frames that are covered by [`KERNELS`].
const COVERED: u64 = 1 << 19;

static FIRST_VA: AtomicU64 = AtomicU64::new(0);
static MFNS: [AtomicU64; FRAMES] = [const { AtomicU64::new(0) }; FRAMES];
/// Bit n: machine frame n holds something that this kernel needs.
static KERNELS: [AtomicU64; (COVERED / 64) as usize] =
    [const { AtomicU64::new(0) }; (COVERED / 64) as usize];

/// Sets frames aside, and remembers which are not among them.
pub(super) fn init() {
    for pfn in 0..start_info().nr_pages {
        set_kernels(Frame::of_pfn(Pfn(pfn)).mfn(), true);
    }
    let frames: [Frame; FRAMES] = Frame::alloc_many();
    // What is written across the end of the last one is written here.
    let _: [Frame; 4] = Frame::alloc_many();
    FIRST_VA.store(frames[0].va().0, Ordering::Relaxed);
    for (frame, mfn) in frames.iter().zip(&MFNS) {
        mfn.store(frame.mfn().0, Ordering::Relaxed);
        set_kernels(frame.mfn(), false);
    }
}

fn set_kernels(Mfn(mfn): Mfn, is_kernels: bool) {
    assert!(mfn < COVERED, "the machine is too large for this case");
    let word = &KERNELS[(mfn / 64) as usize];
    if is_kernels {
        word.fetch_or(1 << (mfn % 64), Ordering::Relaxed);
    } else {
        word.fetch_and(!(1 << (mfn % 64)), Ordering::Relaxed);
    }
}

/// Whether a frame holds something that this kernel needs.
pub(super) fn is_kernels(Mfn(mfn): Mfn) -> bool {
    KERNELS
        .get((mfn / 64) as usize)
        .is_some_and(|word| word.load(Ordering::Relaxed) >> (mfn % 64) & 1 != 0)
}

/// One of the places.
pub(super) fn place(dice: &mut Dice) -> usize {
    // A few are met much more often than the others, by several vCPUs at once.
    match dice.below(3) {
        0 => dice.below(8) as usize,
        _ => dice.below(FRAMES as u64) as usize,
    }
}

/// The frame that was at a place in the beginning, or has taken its part.
pub(super) fn mfn_of(place: usize) -> u64 {
    MFNS[place].load(Ordering::Relaxed)
}

/// Another frame takes a place's part.
pub(super) fn set_mfn(place: usize, mfn: u64) {
    MFNS[place].store(mfn, Ordering::Relaxed);
}

/// The address of a place.
pub(super) fn va_of(place: usize) -> Vaddr {
    Vaddr(FIRST_VA.load(Ordering::Relaxed) + ((place as u64) << 12))
}

/// Some frame to play with.
pub(super) fn mfn(dice: &mut Dice) -> u64 {
    mfn_of(place(dice))
}

/// Some place's address.
pub(super) fn va(dice: &mut Dice) -> Vaddr {
    va_of(place(dice))
}

/// Stores a word, if that is possible. `false` after a fault.
pub(super) fn poke(address: u64, value: u64) -> bool {
    probe!("mov [{address}], {value}"; address = in(reg) address, value = in(reg) value).is_none()
}

/// Copies a structure to an address, as far as that is possible; the address, to be given to a hypercall.
pub(super) fn lay<T>(address: u64, value: &T) -> u64 {
    let words = core::ptr::from_ref(value).cast::<u64>();
    for index in 0..size_of::<T>() / 8 {
        // SAFETY: inside `value`, whose size and alignment are those of words.
        let word = unsafe { words.add(index).read_unaligned() };
        if !poke(address.wrapping_add(8 * index as u64), word) {
            break;
        }
    }
    address
}
