//! The instructions that are decoded, as two tables indexed by opcode byte.

use super::insn::{Modify, Op};

/// The shape of an encoding: what follows the opcode, and where the operands are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum Shape {
    /// Not in the set.
    None,
    /// A legacy prefix.
    Prefix,
    /// A REX prefix in 64-bit code, not in the set in 32-bit code.
    Rex,
    /// `0F`: the second table.
    Escape,
    /// `op m, r`.
    Register,
    /// `op m`, the operation by ModRM `reg`.
    OneOperand,
    /// `op m, imm8` sign-extended, the operation by ModRM `reg`.
    Immediate8,
    /// `op m, imm` of the operand's width (4 bytes for 8), the operation by ModRM `reg`.
    Immediate,
    /// `op m, imm8`, a bit number; the operation by ModRM `reg`.
    BitNumber,
    /// String operation.
    String,
    /// `IN` and `OUT` with the port in the instruction.
    PortImmediate,
    /// `IN` and `OUT` with the port in DX.
    PortRegister,
    /// `MOV` from and to control and debug registers.
    SpecialRegister,
    /// `0F 01`.
    System,
    /// No operands.
    Bare,
}

/// What an opcode byte means.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) shape: Shape,
    /// The operation, where the opcode alone names it.
    pub(super) op: Op,
    pub(super) traits: u8,
}

impl Row {
    /// LOCK is legal.
    pub(super) const LOCK: u8 = 1;
    /// The operand is one byte wide.
    pub(super) const BYTE: u8 = 2;
    /// An operand-size or repeat prefix would make it another instruction (or be pointless).
    pub(super) const PLAIN: u8 = 4;
    /// Operands of port I/O have no 8-byte form.
    pub(super) const PORT: u8 = 8;
    /// A repeat prefix would make it another instruction; one for the operand's size is ignored.
    pub(super) const UNREPEATED: u8 = 16;

    const NONE: Self = Self::new(Shape::None, Op::Hlt, 0);

    const fn new(shape: Shape, op: Op, traits: u8) -> Self {
        Self { shape, op, traits }
    }

    #[inline(always)]
    pub(super) const fn has(self, traits: u8) -> bool {
        self.traits & traits != 0
    }
}

/// Enters an operation with a byte form at `opcode` and the other form after it.
const fn pair(
    mut table: [Row; 256],
    opcode: usize,
    shape: Shape,
    op: Op,
    traits: u8,
) -> [Row; 256] {
    table[opcode] = Row::new(shape, op, traits | Row::BYTE);
    table[opcode + 1] = Row::new(shape, op, traits);
    table
}

pub(super) static ONE_BYTE: [Row; 256] = {
    let mut table = [Row::NONE; 256];
    let mut rex = 0x40;
    while rex <= 0x4F {
        table[rex] = Row::new(Shape::Rex, Op::Hlt, 0);
        rex += 1;
    }
    let prefixes = [
        0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0x66, 0x67, 0xF0, 0xF2, 0xF3,
    ];
    let mut at = 0;
    while at < prefixes.len() {
        table[prefixes[at]] = Row::new(Shape::Prefix, Op::Hlt, 0);
        at += 1;
    }
    table[0x0F] = Row::new(Shape::Escape, Op::Hlt, 0);

    let mut number = 0;
    while number < BINARY.len() {
        if let Some(modify) = BINARY[number] {
            table = pair(
                table,
                number * 8,
                Shape::Register,
                Op::Modify(modify),
                Row::LOCK,
            );
        }
        number += 1;
    }
    table = pair(
        table,
        0x80,
        Shape::Immediate,
        Op::Modify(Modify::Add),
        Row::LOCK,
    );
    table[0x83] = Row::new(Shape::Immediate8, Op::Modify(Modify::Add), Row::LOCK);
    table = pair(
        table,
        0x86,
        Shape::Register,
        Op::Modify(Modify::Xchg),
        Row::LOCK,
    );
    table = pair(table, 0x88, Shape::Register, Op::Mov, 0);
    table = pair(table, 0xC6, Shape::Immediate, Op::Mov, 0);
    table = pair(
        table,
        0xF6,
        Shape::OneOperand,
        Op::Modify(Modify::Not),
        Row::LOCK,
    );
    table = pair(
        table,
        0xFE,
        Shape::OneOperand,
        Op::Modify(Modify::Inc),
        Row::LOCK,
    );

    table = pair(table, 0x6C, Shape::String, Op::Ins, Row::PORT);
    table = pair(table, 0x6E, Shape::String, Op::Outs, Row::PORT);
    table = pair(table, 0xA4, Shape::String, Op::Movs, 0);
    table = pair(table, 0xAA, Shape::String, Op::Stos, 0);
    table = pair(table, 0xE4, Shape::PortImmediate, Op::In, Row::PORT);
    table = pair(table, 0xE6, Shape::PortImmediate, Op::Out, Row::PORT);
    table = pair(table, 0xEC, Shape::PortRegister, Op::In, Row::PORT);
    table = pair(table, 0xEE, Shape::PortRegister, Op::Out, Row::PORT);
    table[0xF4] = Row::new(Shape::Bare, Op::Hlt, 0);
    table[0xFA] = Row::new(Shape::Bare, Op::Cli, 0);
    table[0xFB] = Row::new(Shape::Bare, Op::Sti, 0);
    table
};

pub(super) static TWO_BYTE: [Row; 256] = {
    let mut table = [Row::NONE; 256];
    table[0x01] = Row::new(Shape::System, Op::Smsw, 0);
    table[0x06] = Row::new(Shape::Bare, Op::Clts, Row::UNREPEATED);
    table[0x08] = Row::new(Shape::Bare, Op::Invd, Row::UNREPEATED);
    table[0x09] = Row::new(Shape::Bare, Op::Wbinvd, Row::UNREPEATED);
    table[0x20] = Row::new(Shape::SpecialRegister, Op::MovFromCr, Row::UNREPEATED);
    table[0x21] = Row::new(Shape::SpecialRegister, Op::MovFromDr, Row::UNREPEATED);
    table[0x22] = Row::new(Shape::SpecialRegister, Op::MovToCr, Row::UNREPEATED);
    table[0x23] = Row::new(Shape::SpecialRegister, Op::MovToDr, Row::UNREPEATED);
    table[0x30] = Row::new(Shape::Bare, Op::Wrmsr, Row::UNREPEATED);
    table[0x31] = Row::new(Shape::Bare, Op::Rdtsc, Row::UNREPEATED);
    table[0x32] = Row::new(Shape::Bare, Op::Rdmsr, Row::UNREPEATED);
    table[0xA2] = Row::new(Shape::Bare, Op::Cpuid, Row::UNREPEATED);
    table[0xA3] = Row::new(Shape::Register, Op::Modify(Modify::BitTest), 0);
    table[0xAB] = Row::new(Shape::Register, Op::Modify(Modify::BitSet), Row::LOCK);
    table[0xB3] = Row::new(Shape::Register, Op::Modify(Modify::BitReset), Row::LOCK);
    table[0xBB] = Row::new(
        Shape::Register,
        Op::Modify(Modify::BitComplement),
        Row::LOCK,
    );
    table[0xBA] = Row::new(Shape::BitNumber, Op::Modify(Modify::BitTest), Row::LOCK);
    table = pair(
        table,
        0xB0,
        Shape::Register,
        Op::Modify(Modify::Cmpxchg),
        Row::LOCK,
    );
    table = pair(
        table,
        0xC0,
        Shape::Register,
        Op::Modify(Modify::Xadd),
        Row::LOCK,
    );
    // MOVNTI
    table[0xC3] = Row::new(Shape::Register, Op::Mov, Row::PLAIN);
    table
};

/// Two-operand arithmetic by the number that its encodings share. The last is `CMP`, which writes nothing and so
/// can't have faulted on a write.
pub(super) const BINARY: [Option<Modify>; 8] = [
    Some(Modify::Add),
    Some(Modify::Or),
    Some(Modify::Adc),
    Some(Modify::Sbb),
    Some(Modify::And),
    Some(Modify::Sub),
    Some(Modify::Xor),
    None,
];
