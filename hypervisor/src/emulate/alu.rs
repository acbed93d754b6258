//! Arithmetic flags, exactly as the processor computes them.
//!
//! Operands are zero-extended and results are cut to the operand's width. Each function takes all of RFLAGS
//! and returns all of RFLAGS, so what an operation leaves alone stays as it is.

use super::insn::{Modify, Width};

const CF: u64 = 1;
const PF: u64 = 1 << 2;
const AF: u64 = 1 << 4;
const ZF: u64 = 1 << 6;
const SF: u64 = 1 << 7;
const OF: u64 = 1 << 11;

/// The flags that arithmetic changes.
pub const ARITHMETIC_FLAGS: u64 = CF | PF | AF | ZF | SF | OF;

/// [`modify_inline`], not inlined: where the operation isn't a constant the compiler would compute them all and
/// select one.
#[must_use]
#[inline(never)]
pub fn modify(
    modify: Modify,
    width: Width,
    a: u64,
    b: u64,
    accumulator: u64,
    rflags: u64,
) -> (u64, u64) {
    modify_inline(modify, width, a, b, accumulator, rflags)
}

/// `modify a, b` of a memory operand that holds `a`: what it holds then, and the new RFLAGS. `accumulator` is what
/// `CMPXCHG` compares with; of bit operations `b` is a bit number below the width.
#[must_use]
#[inline(always)]
pub fn modify_inline(
    modify: Modify,
    width: Width,
    a: u64,
    b: u64,
    accumulator: u64,
    rflags: u64,
) -> (u64, u64) {
    let bit = 1u64.wrapping_shl(b as u32);
    let keeping_cf = |(result, flags): (u64, u64)| (result, (flags & !CF) | (rflags & CF));
    let testing_bit = |result| (result, (rflags & !CF) | u64::from(a & bit != 0));
    match modify {
        Modify::Xchg => (b, rflags),
        Modify::Not => (!a & width.mask(), rflags),
        Modify::And => logic(width, a & b, rflags),
        Modify::Or => logic(width, a | b, rflags),
        Modify::Xor => logic(width, a ^ b, rflags),
        Modify::BitTest => testing_bit(a),
        Modify::BitSet => testing_bit(a | bit),
        Modify::BitReset => testing_bit(a & !bit),
        Modify::BitComplement => testing_bit(a ^ bit),
        Modify::Cmpxchg => {
            let (_, flags) = subtract(width, accumulator, a, 0, rflags);
            // A failed comparison writes the old value back, so that a read-only operand faults.
            (if accumulator == a { b } else { a }, flags)
        }
        Modify::Add | Modify::Xadd => add(width, a, b, 0, rflags),
        Modify::Adc => add(width, a, b, rflags & CF, rflags),
        Modify::Sub => subtract(width, a, b, 0, rflags),
        Modify::Sbb => subtract(width, a, b, rflags & CF, rflags),
        Modify::Neg => subtract(width, 0, a, 0, rflags),
        Modify::Inc => keeping_cf(add(width, a, 1, 0, rflags)),
        Modify::Dec => keeping_cf(subtract(width, a, 1, 0, rflags)),
    }
}

#[inline(always)]
fn add(width: Width, a: u64, b: u64, carry: u64, rflags: u64) -> (u64, u64) {
    let result = a.wrapping_add(b).wrapping_add(carry) & width.mask();
    let carries = (a & b) | ((a | b) & !result);
    let overflows = (a ^ result) & (b ^ result);
    (
        result,
        arithmetic(width, a ^ b, result, carries, overflows, rflags),
    )
}

#[inline(always)]
fn subtract(width: Width, a: u64, b: u64, borrow: u64, rflags: u64) -> (u64, u64) {
    let result = a.wrapping_sub(b).wrapping_sub(borrow) & width.mask();
    let borrows = (!a & b) | ((!a | b) & result);
    let overflows = (a ^ b) & (a ^ result);
    (
        result,
        arithmetic(width, a ^ b, result, borrows, overflows, rflags),
    )
}

/// `carries` and `overflows` have the carry and the overflow of each bit position.
#[inline(always)]
fn arithmetic(
    width: Width,
    a_xor_b: u64,
    result: u64,
    carries: u64,
    overflows: u64,
    rflags: u64,
) -> u64 {
    let (_, flags) = logic(width, result, rflags);
    let top = width.bits().wrapping_sub(1);
    flags
        | (carries.wrapping_shr(top) & 1)
        | ((a_xor_b ^ result) & AF)
        | ((overflows.wrapping_shr(top) & 1) << 11)
}

/// Flags of a logical operation: CF and OF are clear. AF is undefined by the manuals; processors clear it.
#[inline(always)]
fn logic(width: Width, result: u64, rflags: u64) -> (u64, u64) {
    let sign = (result.wrapping_shr(width.bits().wrapping_sub(8))) & SF;
    let zero = u64::from(result == 0) << 6;
    (
        result,
        (rflags & !ARITHMETIC_FLAGS) | sign | zero | parity(result),
    )
}

/// PF: whether the low byte has an even number of ones.
#[inline(always)]
fn parity(result: u64) -> u64 {
    // One bit for each value of a nibble, set where the number of ones is even.
    const EVEN: u64 = 0x9669;
    (EVEN.wrapping_shr(((result ^ (result >> 4)) & 0xF) as u32) & 1) << 2
}
