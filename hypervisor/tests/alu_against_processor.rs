//! Arithmetic against the processor that runs the test.

#[path = "../src/test_cases.rs"]
mod test_cases;
#[path = "../src/emulate/test_random.rs"]
#[allow(dead_code)]
mod test_random;

use hypervisor::emulate::alu::{ARITHMETIC_FLAGS, modify};
use hypervisor::emulate::insn::{Modify, Width};
use std::arch::asm;
use test_cases::cases;
use test_random::Random;

const CF: u64 = 1;
const AF: u64 = 1 << 4;
/// SF, AF, PF and OF, which bit operations leave undefined.
const BIT_UNDEFINED: u64 = 0x894;

/// `op a, b` in registers of one width: the result and RFLAGS after it, with `flags` as the arithmetic flags before.
macro_rules! native {
    ($op:literal, $a:expr, $b:expr, $flags:expr, $register:ident, $class:ident, $modifier:literal) => {{
        let mut a = $a as $register;
        let b = $b as $register;
        let mut flags: u64 = $flags;
        // SAFETY: only registers and arithmetic flags change; what is pushed is popped, and `flags` has no bits but
        // those that a process may set freely.
        unsafe {
            asm!(
                "push {flags}",
                "popfq",
                concat!($op, " {a:", $modifier, "}, {b:", $modifier, "}"),
                "pushfq",
                "pop {flags}",
                a = inout($class) a,
                b = inout($class) b => _,
                flags = inout(reg) flags,
            );
        }
        (a as u64, flags)
    }};
    ($op:literal, $a:expr, $flags:expr, $register:ident, $class:ident, $modifier:literal) => {{
        let mut a = $a as $register;
        let mut flags: u64 = $flags;
        // SAFETY: as above.
        unsafe {
            asm!(
                "push {flags}",
                "popfq",
                concat!($op, " {a:", $modifier, "}"),
                "pushfq",
                "pop {flags}",
                a = inout($class) a,
                flags = inout(reg) flags,
            );
        }
        (a as u64, flags)
    }};
}

macro_rules! native_widths {
    ($op:literal, $width:expr, $a:expr, $b:expr, $flags:expr) => {
        match $width {
            // Without the modifier: a byte register has one name.
            Width::Byte => native_byte!($op, $a, $b, $flags),
            Width::Word => native!($op, $a, $b, $flags, u16, reg, "x"),
            Width::Dword => native!($op, $a, $b, $flags, u32, reg, "e"),
            Width::Qword => native!($op, $a, $b, $flags, u64, reg, "r"),
        }
    };
    ($op:literal, $width:expr, $a:expr, $flags:expr) => {
        match $width {
            Width::Byte => native_byte!($op, $a, $flags),
            Width::Word => native!($op, $a, $flags, u16, reg, "x"),
            Width::Dword => native!($op, $a, $flags, u32, reg, "e"),
            Width::Qword => native!($op, $a, $flags, u64, reg, "r"),
        }
    };
}

macro_rules! native_byte {
    ($op:literal, $a:expr, $b:expr, $flags:expr) => {{
        let mut a = $a as u8;
        let b = $b as u8;
        let mut flags: u64 = $flags;
        // SAFETY: as in `native`.
        unsafe {
            asm!(
                "push {flags}",
                "popfq",
                concat!($op, " {a}, {b}"),
                "pushfq",
                "pop {flags}",
                a = inout(reg_byte) a,
                b = inout(reg_byte) b => _,
                flags = inout(reg) flags,
            );
        }
        (u64::from(a), flags)
    }};
    ($op:literal, $a:expr, $flags:expr) => {{
        let mut a = $a as u8;
        let mut flags: u64 = $flags;
        // SAFETY: as in `native`.
        unsafe {
            asm!(
                "push {flags}",
                "popfq",
                concat!($op, " {a}"),
                "pushfq",
                "pop {flags}",
                a = inout(reg_byte) a,
                flags = inout(reg) flags,
            );
        }
        (u64::from(a), flags)
    }};
}

/// The processor's result and flags, and which flags are defined.
fn processor(
    op: Modify,
    width: Width,
    a: u64,
    b: u64,
    accumulator: u64,
    flags: u64,
) -> (u64, u64, u64) {
    let with = |(result, flags): (u64, u64), undefined: u64| {
        (result, flags, ARITHMETIC_FLAGS & !undefined)
    };
    match op {
        Modify::Add => with(native_widths!("add", width, a, b, flags), 0),
        Modify::Or => with(native_widths!("or", width, a, b, flags), AF),
        Modify::Adc => with(native_widths!("adc", width, a, b, flags), 0),
        Modify::Sbb => with(native_widths!("sbb", width, a, b, flags), 0),
        Modify::And => with(native_widths!("and", width, a, b, flags), AF),
        Modify::Sub => with(native_widths!("sub", width, a, b, flags), 0),
        Modify::Xor => with(native_widths!("xor", width, a, b, flags), AF),
        Modify::Inc => with(native_widths!("inc", width, a, flags), 0),
        Modify::Dec => with(native_widths!("dec", width, a, flags), 0),
        Modify::Not => with(native_widths!("not", width, a, flags), 0),
        Modify::Neg => with(native_widths!("neg", width, a, flags), 0),
        Modify::Xchg => with((b, flags), 0),
        Modify::Xadd => with(native_widths!("xadd", width, a, b, flags), 0),
        Modify::Cmpxchg => {
            // The comparison is that of the accumulator with the destination.
            let (_, flags) = native_widths!("cmp", width, accumulator, a, flags);
            with((if accumulator == a { b } else { a }, flags), 0)
        }
        Modify::BitTest => with(native_bits("bt", width, a, b, flags), BIT_UNDEFINED),
        Modify::BitSet => with(native_bits("bts", width, a, b, flags), BIT_UNDEFINED),
        Modify::BitReset => with(native_bits("btr", width, a, b, flags), BIT_UNDEFINED),
        Modify::BitComplement => with(native_bits("btc", width, a, b, flags), BIT_UNDEFINED),
    }
}

fn native_bits(op: &str, width: Width, a: u64, b: u64, flags: u64) -> (u64, u64) {
    macro_rules! wide {
        ($op:literal) => {
            match width {
                Width::Word => native!($op, a, b, flags, u16, reg, "x"),
                Width::Dword => native!($op, a, b, flags, u32, reg, "e"),
                _ => native!($op, a, b, flags, u64, reg, "r"),
            }
        };
    }
    match op {
        "bt" => wide!("bt"),
        "bts" => wide!("bts"),
        "btr" => wide!("btr"),
        _ => wide!("btc"),
    }
}

const ALL: [Modify; 18] = [
    Modify::Add,
    Modify::Or,
    Modify::Adc,
    Modify::Sbb,
    Modify::And,
    Modify::Sub,
    Modify::Xor,
    Modify::Inc,
    Modify::Dec,
    Modify::Not,
    Modify::Neg,
    Modify::BitTest,
    Modify::BitSet,
    Modify::BitReset,
    Modify::BitComplement,
    Modify::Xchg,
    Modify::Xadd,
    Modify::Cmpxchg,
];

fn compare(op: Modify, width: Width, a: u64, b: u64, accumulator: u64, flags: u64) {
    let (expected, expected_flags, defined) = processor(op, width, a, b, accumulator, flags);
    // IF, which a process can't clear, and a system flag, which must come through.
    let rflags = flags | 0x20_0202;
    let (result, ours) = modify(op, width, a, b, accumulator, rflags);
    let what = format!("{op:?} {width:?} {a:#x}, {b:#x} ({accumulator:#x}), flags {flags:#x}");
    assert_eq!(result, expected, "{what}");
    assert_eq!(ours & defined, expected_flags & defined, "{what}");
    assert_eq!(
        ours & !ARITHMETIC_FLAGS,
        rflags & !ARITHMETIC_FLAGS,
        "{what}"
    );
}

#[test]
fn bytes_are_computed_as_the_processor_does_for_all_operands() {
    for op in ALL.into_iter().filter(|op| !op.is_bit()) {
        for a in 0..=255 {
            for b in 0..=255 {
                for flags in [0, CF] {
                    compare(op, Width::Byte, a, b, b ^ 1, flags);
                }
            }
            compare(op, Width::Byte, a, 3, a, ARITHMETIC_FLAGS);
        }
    }
}

#[test]
fn wide_operands_are_computed_as_the_processor_does() {
    let mut random = Random::new(2);
    for _ in 0..cases(20_000_u64) {
        for op in ALL {
            let width = Width::ALL[1 + (random.next() % 3) as usize];
            let (a, mut b) = (random.edgy() & width.mask(), random.edgy() & width.mask());
            if op.is_bit() {
                b &= u64::from(width.bits() - 1);
            }
            let accumulator = if random.one_in(2) {
                a
            } else {
                random.edgy() & width.mask()
            };
            compare(
                op,
                width,
                a,
                b,
                accumulator,
                random.next() & ARITHMETIC_FLAGS,
            );
        }
    }
}

#[test]
fn bit_operations_leave_the_other_flags_alone() {
    for (op, expected) in [
        (Modify::BitTest, 4),
        (Modify::BitSet, 4),
        (Modify::BitReset, 0),
        (Modify::BitComplement, 0),
    ] {
        let (result, rflags) = modify(op, Width::Qword, 4, 2, 0, BIT_UNDEFINED | 0x40);
        assert_eq!(
            (result, rflags),
            (expected, BIT_UNDEFINED | 0x40 | CF),
            "{op:?}"
        );
    }
}
