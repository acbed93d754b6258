//! From bytes to an [`Insn`]: prefixes and opcodes.
//!
//! An allow-list. Every encoding that is not named here is [`DecodeError::NotHandled`], and the
//! exception that brought us here goes to the guest as it came. The set is what a deprivileged
//! kernel traps on: privileged and I/O instructions, and the instructions with a memory destination
//! that such kernels use on page-table entries. A memory-destination opcode with a register
//! destination can't have trapped, so it is not handled either.
//!
//! The bytes come in a window of fixed size, zero where there are none. Whether those that were used
//! were really there is one comparison at the end.

use super::cursor::Cursor;
pub use super::cursor::Window;
use super::insn::{CodeSize, Gpr, Insn, MemoryOperand, Modify, Op, Place, Source, Width};
use super::modrm::{self, ModRm};
use super::opcodes::{BINARY, ONE_BYTE, Row, Shape, TWO_BYTE};
use super::prefixes::Prefixes;

/// The longest instruction that a processor executes, in bytes.
pub const MAX_LENGTH: u8 = 15;

/// Why there is no [`Insn`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DecodeError {
    /// The instruction, if it is one, is not in the set.
    NotHandled,
    /// More bytes than were available are needed to tell.
    Truncated,
}

/// Decodes the instruction at the start of `window`, of which `available` bytes are real and the others are zero.
///
/// # Errors
///
/// [`DecodeError::Truncated`] exactly if the decision depends on a byte that is not available and
/// that a processor would have fetched; [`DecodeError::NotHandled`] for everything outside the set.
// Not inlined: together with the executor there are more values than registers.
#[inline(never)]
pub fn decode(window: &Window, available: u8, size: CodeSize) -> Result<Insn, DecodeError> {
    let mut cursor = Cursor::new(window);
    match decode_at(&mut cursor, size) {
        Ok(insn) if u16::from(insn.length) <= u16::from(available.min(MAX_LENGTH)) => Ok(insn),
        _ if cursor.consumed() > usize::from(available) && available < MAX_LENGTH => {
            Err(DecodeError::Truncated)
        }
        _ => Err(DecodeError::NotHandled),
    }
}

#[inline(always)]
fn decode_at(cursor: &mut Cursor<'_>, size: CodeSize) -> Result<Insn, DecodeError> {
    let mut prefixes = Prefixes::none(size);
    let mut row;
    loop {
        let byte = cursor.byte();
        row = ONE_BYTE[usize::from(byte)];
        match row.shape {
            Shape::Rex if prefixes.is_64() => {
                prefixes.set_rex(byte);
            }
            Shape::Prefix => prefixes.apply(byte),
            _ => break,
        }
        if cursor.consumed() >= usize::from(MAX_LENGTH) {
            return Err(DecodeError::NotHandled);
        }
    }
    if matches!(row.shape, Shape::Escape) {
        row = TWO_BYTE[usize::from(cursor.byte())];
    }
    if prefixes.has(Prefixes::OTHER_MEANING) {
        check_prefixes(prefixes, row)?;
    }
    let width = prefixes.width(row);
    let mut op = row.op;
    let (source, place) = match row.shape {
        Shape::Register => {
            let modrm = ModRm(cursor.byte());
            let place = memory_destination(cursor, prefixes, modrm)?;
            (prefixes.register(modrm, width), place)
        }
        Shape::OneOperand | Shape::Immediate8 | Shape::Immediate | Shape::BitNumber => {
            let modrm = ModRm(cursor.byte());
            op = grouped(row, modrm, prefixes)?;
            let place = memory_destination(cursor, prefixes, modrm)?;
            let source = match row.shape {
                Shape::OneOperand => Source::None,
                Shape::Immediate => Source::Immediate(cursor.immediate(width)),
                Shape::Immediate8 => Source::Immediate(cursor.signed_byte()),
                _ => Source::Immediate(i32::from(cursor.byte())),
            };
            (source, place)
        }
        _ => return without_destination(cursor, prefixes, row),
    };
    Ok(insn(cursor, prefixes, op, width, source, place))
}

/// The instruction whose last byte has been consumed.
#[inline(always)]
fn insn(
    cursor: &Cursor<'_>,
    prefixes: Prefixes,
    op: Op,
    width: Width,
    source: Source,
    place: Place,
) -> Insn {
    Insn {
        op,
        width,
        length: cursor.consumed() as u8,
        is_repeated: false,
        code_size: if prefixes.is_64() {
            CodeSize::Bits64
        } else {
            CodeSize::Bits32
        },
        is_locked: prefixes.has(Prefixes::LOCK),
        is_address_32: prefixes.has_32_bit_addresses(),
        source,
        place,
    }
}

/// Everything that is not a memory destination with one more operand.
#[inline(never)]
fn without_destination(
    cursor: &mut Cursor<'_>,
    prefixes: Prefixes,
    row: Row,
) -> Result<Insn, DecodeError> {
    let mut width = prefixes.width(row);
    let mut op = row.op;
    let mut is_repeated = false;
    let (source, place) = match row.shape {
        Shape::String => {
            is_repeated = prefixes.has(Prefixes::REPEAT);
            (Source::None, string_source(prefixes, row)?)
        }
        Shape::PortImmediate => (Source::Immediate(i32::from(cursor.byte())), Place::None),
        Shape::PortRegister => (Source::Gpr(Gpr::Rdx), Place::None),
        Shape::SpecialRegister => {
            width = if prefixes.is_64() {
                Width::Qword
            } else {
                Width::Dword
            };
            special_register(cursor, prefixes, op)?
        }
        Shape::System => {
            let modrm = ModRm(cursor.byte());
            op = system(modrm, prefixes)?;
            // The one form whose width depends on prefixes is SMSW to a register.
            if op != Op::Smsw || !modrm.is_register() {
                width = Width::Word;
            }
            (Source::None, system_place(cursor, prefixes, modrm, op)?)
        }
        Shape::Bare => (Source::None, Place::None),
        _ => return Err(DecodeError::NotHandled),
    };
    Ok(Insn {
        is_repeated,
        ..insn(cursor, prefixes, op, width, source, place)
    })
}

/// Refuses prefixes that make an instruction illegal or another one.
#[cold]
fn check_prefixes(prefixes: Prefixes, row: Row) -> Result<(), DecodeError> {
    let is_illegal = prefixes.has(Prefixes::LOCK) && !row.has(Row::LOCK);
    let is_another = prefixes.has(Prefixes::OPERAND_SIZE) && row.has(Row::PLAIN)
        || prefixes.has(Prefixes::REPEAT) && row.has(Row::PLAIN | Row::UNREPEATED);
    if is_illegal || is_another {
        Err(DecodeError::NotHandled)
    } else {
        Ok(())
    }
}

/// The operation that ModRM `reg` selects.
#[inline(always)]
fn grouped(row: Row, modrm: ModRm, prefixes: Prefixes) -> Result<Op, DecodeError> {
    let number = modrm.reg();
    let modify = match (row.shape, row.op) {
        (Shape::Immediate, Op::Mov) => {
            return if number == 0 {
                Ok(Op::Mov)
            } else {
                Err(DecodeError::NotHandled)
            };
        }
        (Shape::Immediate | Shape::Immediate8, _) => BINARY[usize::from(number)],
        (Shape::BitNumber, _) => match number {
            4 if !prefixes.has(Prefixes::LOCK) => Some(Modify::BitTest),
            5 => Some(Modify::BitSet),
            6 => Some(Modify::BitReset),
            7 => Some(Modify::BitComplement),
            _ => None,
        },
        (_, Op::Modify(Modify::Not)) => match number {
            2 => Some(Modify::Not),
            3 => Some(Modify::Neg),
            _ => None,
        },
        _ => match number {
            0 => Some(Modify::Inc),
            1 => Some(Modify::Dec),
            _ => None,
        },
    };
    modify.map(Op::Modify).ok_or(DecodeError::NotHandled)
}

#[inline(always)]
fn memory_destination(
    cursor: &mut Cursor<'_>,
    prefixes: Prefixes,
    modrm: ModRm,
) -> Result<Place, DecodeError> {
    if modrm.is_register() {
        return Err(DecodeError::NotHandled);
    }
    Ok(Place::Memory(modrm::memory(cursor, prefixes, modrm)?))
}

fn string_source(prefixes: Prefixes, row: Row) -> Result<Place, DecodeError> {
    if prefixes.has_16_bit_addresses() {
        return Err(DecodeError::NotHandled);
    }
    Ok(match row.op {
        Op::Movs | Op::Outs => Place::Memory(MemoryOperand {
            segment_override: prefixes.segment(),
            base: Some(Gpr::Rsi),
            is_rip_relative: false,
            index: None,
            scale_shift: 0,
            displacement: 0,
        }),
        _ => Place::None,
    })
}

/// `MOV` from and to control and debug registers. The mode bits of ModRM are ignored.
fn special_register(
    cursor: &mut Cursor<'_>,
    prefixes: Prefixes,
    op: Op,
) -> Result<(Source, Place), DecodeError> {
    let modrm = ModRm(cursor.byte());
    let number = modrm.reg() | prefixes.reg_extension();
    let exists = match op {
        Op::MovFromCr | Op::MovToCr => matches!(number, 0 | 2 | 3 | 4 | 8),
        _ => number < 8,
    };
    if !exists {
        return Err(DecodeError::NotHandled);
    }
    Ok((Source::Special(number), Place::Gpr(modrm.rm_gpr(prefixes))))
}

/// `0F 01`: instructions named by the whole ModRM byte, or by its `reg` field.
fn system(modrm: ModRm, prefixes: Prefixes) -> Result<Op, DecodeError> {
    let op = match (modrm.0, modrm.reg()) {
        (0xD0, _) => Op::Xgetbv,
        (0xD1, _) => Op::Xsetbv,
        (0xF9, _) => Op::Rdtscp,
        (_, 4) => Op::Smsw,
        (_, 6) => Op::Lmsw,
        (_, 7) if !modrm.is_register() => Op::Invlpg,
        _ => return Err(DecodeError::NotHandled),
    };
    let has_operand_size = matches!(op, Op::Smsw | Op::Lmsw);
    if prefixes.has(Prefixes::REPEAT) || (prefixes.has(Prefixes::OPERAND_SIZE) && !has_operand_size)
    {
        return Err(DecodeError::NotHandled);
    }
    Ok(op)
}

fn system_place(
    cursor: &mut Cursor<'_>,
    prefixes: Prefixes,
    modrm: ModRm,
    op: Op,
) -> Result<Place, DecodeError> {
    Ok(match op {
        Op::Smsw | Op::Lmsw | Op::Invlpg if !modrm.is_register() => {
            Place::Memory(modrm::memory(cursor, prefixes, modrm)?)
        }
        Op::Smsw | Op::Lmsw => Place::Gpr(modrm.rm_gpr(prefixes)),
        _ => Place::None,
    })
}
