//! Arithmetic flags, exactly as the processor computes them.
//!
//! Operands are zero-extended and results are cut to the operand's width. Each function takes all of RFLAGS
//! and returns all of RFLAGS, so what an operation leaves alone stays as it is.

use super::insn::{Alu, BitChange, Width};

const CF: u64 = 1;
const PF: u64 = 1 << 2;
const AF: u64 = 1 << 4;
const ZF: u64 = 1 << 6;
const SF: u64 = 1 << 7;
const OF: u64 = 1 << 11;

/// The flags that arithmetic changes.
pub const ARITHMETIC_FLAGS: u64 = CF | PF | AF | ZF | SF | OF;

/// `op a, b`: the result and the new RFLAGS.
#[must_use]
#[inline(always)]
pub fn binary(op: Alu, width: Width, a: u64, b: u64, rflags: u64) -> (u64, u64) {
    match op {
        Alu::Add => add(width, a, b, 0, rflags),
        Alu::Adc => add(width, a, b, rflags & CF, rflags),
        Alu::Sub => subtract(width, a, b, 0, rflags),
        Alu::Sbb => subtract(width, a, b, rflags & CF, rflags),
        Alu::And => logic(width, a & b, rflags),
        Alu::Or => logic(width, a | b, rflags),
        Alu::Xor => logic(width, a ^ b, rflags),
    }
}

/// `INC`: as `ADD 1`, but CF stays.
#[must_use]
#[inline(always)]
pub fn increment(width: Width, a: u64, rflags: u64) -> (u64, u64) {
    let (result, flags) = add(width, a, 1, 0, rflags);
    (result, (flags & !CF) | (rflags & CF))
}

/// `DEC`: as `SUB 1`, but CF stays.
#[must_use]
#[inline(always)]
pub fn decrement(width: Width, a: u64, rflags: u64) -> (u64, u64) {
    let (result, flags) = subtract(width, a, 1, 0, rflags);
    (result, (flags & !CF) | (rflags & CF))
}

/// `NEG`.
#[must_use]
#[inline(always)]
pub fn negate(width: Width, a: u64, rflags: u64) -> (u64, u64) {
    subtract(width, 0, a, 0, rflags)
}

/// `BT` and its kin on bit `bit` (below the width) of `a`: CF is the old bit, the other flags stay.
#[must_use]
#[inline(always)]
pub fn bit(change: BitChange, a: u64, bit: u32, rflags: u64) -> (u64, u64) {
    let mask = 1u64.wrapping_shl(bit);
    let result = match change {
        BitChange::Test => a,
        BitChange::Set => a | mask,
        BitChange::Reset => a & !mask,
        BitChange::Complement => a ^ mask,
    };
    (result, (rflags & !CF) | u64::from(a & mask != 0))
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
