//! What bounds an index on a path that the processor only guesses, and what ends the guessing.
//!
//! The masks are made by instructions that neither the compiler nor the processor's predictors see through: to the
//! compiler their result is any value, so it can't drop them behind a check that says the same, and the processor
//! waits for them as for any other operand. All of these are there in user mode too, so the tests on the host run
//! this very code.

use core::arch::asm;

/// All ones if `value` is below `bound`, else 0.
#[inline(always)]
fn below(value: u64, bound: u64) -> u64 {
    let mask: u64;
    // SAFETY: two registers are compared, and the carry is spread over a third.
    unsafe {
        asm!(
            "cmp {value}, {bound}",
            "sbb {mask}, {mask}",
            value = in(reg) value,
            bound = in(reg) bound,
            mask = lateout(reg) mask,
            options(pure, nomem, nostack),
        );
    }
    mask
}

/// `index` if it is below `bound`, else 0, on guessed paths as well.
#[inline(always)]
pub(crate) fn bounded(index: usize, bound: usize) -> usize {
    index & below(index as u64, bound as u64) as usize
}

/// `index` if it is below `len`. On a guessed path past a check that fails it is 0.
#[inline(always)]
pub(crate) fn index(index: usize, len: usize) -> Option<usize> {
    if index < len {
        let index = bounded(index, len);
        // SAFETY: the bits of a number that is in range, or some of them, are a number in range.
        unsafe { core::hint::assert_unchecked(index < len) };
        Some(index)
    } else {
        None
    }
}

/// Whether `offset` is below `bound`, all ones or 0, and `address` with these bits set: nobody's address if it is.
#[inline(always)]
pub(crate) fn unless_below(offset: u64, bound: u64, address: u64) -> (u64, u64) {
    let (below, masked): (u64, u64);
    // SAFETY: two registers are compared, and the carry is spread over a third and set in a fourth. All in one, so that
    // the compiler does not move the last step behind a check that makes it needless.
    unsafe {
        asm!(
            "cmp {offset}, {bound}",
            "sbb {below}, {below}",
            "or {address}, {below}",
            offset = in(reg) offset,
            bound = in(reg) bound,
            below = out(reg) below,
            address = inout(reg) address => masked,
            options(pure, nomem, nostack),
        );
    }
    (below, masked)
}

/// The element with this number. On a guessed path past a check that fails it is the first.
#[inline(always)]
pub(crate) fn element<T>(slice: &[T], index: usize) -> Option<&T> {
    if index < slice.len() {
        // SAFETY: the bits of a number that is in range, or some of them, are a number in range.
        Some(unsafe { slice.get_unchecked(bounded(index, slice.len())) })
    } else {
        None
    }
}

/// `value` if `condition` holds, else 0, on guessed paths past a check of it as well.
#[inline(always)]
pub(crate) fn value_if(condition: bool, value: u64) -> u64 {
    value & below(0, u64::from(condition))
}

/// Returns when all checks before it are known to have been right: nothing that follows is done on a guess.
#[inline(always)]
pub(crate) fn barrier() {
    // SAFETY: it changes nothing. Memory is not excluded, so that the compiler moves no access across.
    unsafe { asm!("lfence", options(nostack, preserves_flags)) }
}
