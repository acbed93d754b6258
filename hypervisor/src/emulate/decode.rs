//! From bytes to an [`Insn`]: prefixes and opcodes.
//!
//! An allow-list. Every encoding that is not named here is [`DecodeError::NotHandled`], and the
//! exception that brought us here goes to the guest as it came. The set is what a deprivileged
//! kernel traps on: privileged and I/O instructions, and the instructions with a memory destination
//! that such kernels use on page-table entries. A memory-destination opcode with a register
//! destination can't have trapped, so it is not handled either.
//!
//! The bytes come as one 128-bit little-endian window. Taking a byte is a shift, which cannot go out
//! of bounds; whether the bytes taken were really there is one comparison at the end.

use super::insn::{
    Alu, Base, BitChange, CodeSize, Gpr, Insn, MemoryOperand, Op, Place, Segment, Source, Width,
};
use super::modrm::{self, ModRm};

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

/// The instruction bytes that have not been consumed.
pub(super) struct Cursor {
    rest: u128,
    consumed: u8,
}

impl Cursor {
    #[inline(always)]
    pub(super) fn byte(&mut self) -> u8 {
        let byte = self.rest as u8;
        self.rest >>= 8;
        // Bounded: 15 prefixes at most, then a handful of bytes.
        self.consumed = self.consumed.wrapping_add(1);
        byte
    }

    #[inline(always)]
    pub(super) fn signed_byte(&mut self) -> i32 {
        i32::from(self.byte() as i8)
    }

    #[inline(always)]
    pub(super) fn word(&mut self) -> i32 {
        let word = self.rest as u16;
        self.rest >>= 16;
        self.consumed = self.consumed.wrapping_add(2);
        i32::from(word as i16)
    }

    #[inline(always)]
    pub(super) fn dword(&mut self) -> i32 {
        let dword = self.rest as u32;
        self.rest >>= 32;
        self.consumed = self.consumed.wrapping_add(4);
        dword as i32
    }
}

/// The prefixes in force when the opcode is reached.
#[derive(Clone, Copy)]
pub(super) struct Prefixes {
    /// The REX byte, or 0.
    pub(super) rex: u8,
    pub(super) has_operand_size: bool,
    pub(super) has_address_size: bool,
    pub(super) is_locked: bool,
    pub(super) is_repeated: bool,
    pub(super) segment: Option<Segment>,
    pub(super) is_64: bool,
}

const REX_W: u8 = 8;
const REX_R: u8 = 4;

impl Prefixes {
    /// Width of an operand that is not a byte.
    #[inline(always)]
    fn wide(&self) -> Width {
        if self.rex & REX_W != 0 {
            Width::Qword
        } else if self.has_operand_size {
            Width::Word
        } else {
            Width::Dword
        }
    }

    /// Width by the low opcode bit that separates byte forms from the others.
    #[inline(always)]
    fn width(&self, opcode: u8) -> Width {
        if opcode & 1 == 0 {
            Width::Byte
        } else {
            self.wide()
        }
    }

    /// As [`Self::width`] for port I/O, which has no 8-byte form.
    #[inline(always)]
    fn port_width(&self, opcode: u8) -> Width {
        match self.width(opcode) {
            Width::Qword => Width::Dword,
            width => width,
        }
    }

    /// The register that ModRM `reg` names as an operand of `width`.
    #[inline(always)]
    fn register(&self, modrm: ModRm, width: Width) -> Source {
        let number = modrm.reg() | ((self.rex & REX_R) << 1);
        if matches!(width, Width::Byte) && self.rex == 0 && number >= 4 {
            Source::HighByte(Gpr::from_low_bits(number & 3))
        } else {
            Source::Gpr(Gpr::from_low_bits(number))
        }
    }

    /// Whether addresses have 32 bits and not 64. 16-bit addressing is not supported.
    #[inline(always)]
    pub(super) fn is_address_32(&self) -> Result<bool, DecodeError> {
        match (self.is_64, self.has_address_size) {
            (true, is_address_32) => Ok(is_address_32),
            (false, false) => Ok(true),
            (false, true) => Err(DecodeError::NotHandled),
        }
    }

    /// Whether a prefix that selects another instruction in some opcode rows is present.
    #[inline(always)]
    fn has_mandatory(&self) -> bool {
        self.has_operand_size || self.is_repeated
    }
}

/// Decodes the instruction at the start of `window`, of which `available` bytes are real.
///
/// # Errors
///
/// [`DecodeError::Truncated`] exactly if the decision depends on a byte that is not available and
/// that a processor would have fetched; [`DecodeError::NotHandled`] for everything outside the set.
#[inline]
pub fn decode(window: u128, available: u8, size: CodeSize) -> Result<Insn, DecodeError> {
    let mut cursor = Cursor {
        rest: window,
        consumed: 0,
    };
    let decoded = decode_at(&mut cursor, size);
    let consumed = cursor.consumed;
    if consumed > available && available < MAX_LENGTH {
        return Err(DecodeError::Truncated);
    }
    if consumed > MAX_LENGTH {
        return Err(DecodeError::NotHandled);
    }
    decoded.map(|mut insn| {
        insn.length = consumed;
        insn
    })
}

#[inline(always)]
fn decode_at(cursor: &mut Cursor, size: CodeSize) -> Result<Insn, DecodeError> {
    let is_64 = matches!(size, CodeSize::Bits64);
    let mut prefixes = Prefixes {
        rex: 0,
        has_operand_size: false,
        has_address_size: false,
        is_locked: false,
        is_repeated: false,
        segment: None,
        is_64,
    };
    let opcode = loop {
        let byte = cursor.byte();
        match byte {
            0x40..=0x4F if is_64 => {
                prefixes.rex = byte;
                if cursor.consumed >= MAX_LENGTH {
                    return Err(DecodeError::NotHandled);
                }
                continue;
            }
            // In 64-bit code these four have no effect, not even on an FS or GS override before them.
            0x26 | 0x2E | 0x36 | 0x3E if is_64 => {}
            0x26 => prefixes.segment = Some(Segment::Es),
            0x2E => prefixes.segment = Some(Segment::Cs),
            0x36 => prefixes.segment = Some(Segment::Ss),
            0x3E => prefixes.segment = Some(Segment::Ds),
            0x64 => prefixes.segment = Some(Segment::Fs),
            0x65 => prefixes.segment = Some(Segment::Gs),
            0x66 => prefixes.has_operand_size = true,
            0x67 => prefixes.has_address_size = true,
            0xF0 => prefixes.is_locked = true,
            0xF2 | 0xF3 => prefixes.is_repeated = true,
            _ => break byte,
        }
        // A REX byte counts only directly before the opcode.
        prefixes.rex = 0;
        if cursor.consumed >= MAX_LENGTH {
            return Err(DecodeError::NotHandled);
        }
    };
    match opcode {
        0x0F => two_byte(cursor, &prefixes),
        _ => one_byte(cursor, &prefixes, opcode),
    }
}

#[inline(always)]
fn one_byte(cursor: &mut Cursor, prefixes: &Prefixes, opcode: u8) -> Result<Insn, DecodeError> {
    match opcode {
        0x88 | 0x89 => unlocked_destination(cursor, prefixes, Op::Mov, prefixes.width(opcode)),
        0x86 | 0x87 => register_source(cursor, prefixes, Op::Xchg, prefixes.width(opcode)),
        0x00 | 0x01 | 0x08 | 0x09 | 0x10 | 0x11 | 0x18 | 0x19 | 0x20 | 0x21 | 0x28 | 0x29
        | 0x30 | 0x31 => {
            let alu = alu_of(opcode >> 3)?;
            register_source(cursor, prefixes, Op::Alu(alu), prefixes.width(opcode))
        }
        0x80 | 0x81 | 0x83 => {
            let modrm = ModRm(cursor.byte());
            let op = Op::Alu(alu_of(modrm.reg())?);
            let width = prefixes.width(opcode);
            let place = memory_destination(cursor, prefixes, modrm)?;
            let immediate = if opcode == 0x81 {
                immediate(cursor, width)
            } else {
                cursor.signed_byte()
            };
            Ok(insn(
                prefixes,
                op,
                width,
                Source::Immediate(immediate),
                place,
            ))
        }
        0xC6 | 0xC7 => {
            let modrm = ModRm(cursor.byte());
            if modrm.reg() != 0 || prefixes.is_locked {
                return Err(DecodeError::NotHandled);
            }
            let width = prefixes.width(opcode);
            let place = memory_destination(cursor, prefixes, modrm)?;
            let immediate = immediate(cursor, width);
            Ok(insn(
                prefixes,
                Op::Mov,
                width,
                Source::Immediate(immediate),
                place,
            ))
        }
        0xF6 | 0xF7 => one_operand(
            cursor,
            prefixes,
            opcode,
            [None, None, Some(Op::Not), Some(Op::Neg)],
        ),
        0xFE | 0xFF => one_operand(
            cursor,
            prefixes,
            opcode,
            [Some(Op::Inc), Some(Op::Dec), None, None],
        ),
        _ if prefixes.is_locked => Err(DecodeError::NotHandled),
        0xA4 | 0xA5 => string(prefixes, Op::Movs, prefixes.width(opcode)),
        0xAA | 0xAB => string(prefixes, Op::Stos, prefixes.width(opcode)),
        0x6C | 0x6D => string(prefixes, Op::Ins, prefixes.port_width(opcode)),
        0x6E | 0x6F => string(prefixes, Op::Outs, prefixes.port_width(opcode)),
        0xE4..=0xE7 => {
            let port = Source::Immediate(i32::from(cursor.byte()));
            Ok(insn(
                prefixes,
                port_op(opcode),
                prefixes.port_width(opcode),
                port,
                Place::None,
            ))
        }
        0xEC..=0xEF => {
            let port = Source::Gpr(Gpr::Rdx);
            Ok(insn(
                prefixes,
                port_op(opcode),
                prefixes.port_width(opcode),
                port,
                Place::None,
            ))
        }
        0xF4 => Ok(bare(prefixes, Op::Hlt)),
        0xFA => Ok(bare(prefixes, Op::Cli)),
        0xFB => Ok(bare(prefixes, Op::Sti)),
        _ => Err(DecodeError::NotHandled),
    }
}

#[inline(always)]
fn two_byte(cursor: &mut Cursor, prefixes: &Prefixes) -> Result<Insn, DecodeError> {
    let opcode = cursor.byte();
    match opcode {
        0xA3 => unlocked_destination(cursor, prefixes, Op::Bit(BitChange::Test), prefixes.wide()),
        0xAB => register_source(cursor, prefixes, Op::Bit(BitChange::Set), prefixes.wide()),
        0xB3 => register_source(cursor, prefixes, Op::Bit(BitChange::Reset), prefixes.wide()),
        0xBB => register_source(
            cursor,
            prefixes,
            Op::Bit(BitChange::Complement),
            prefixes.wide(),
        ),
        0xB0 | 0xB1 => register_source(cursor, prefixes, Op::Cmpxchg, prefixes.width(opcode)),
        0xC0 | 0xC1 => register_source(cursor, prefixes, Op::Xadd, prefixes.width(opcode)),
        0xBA => {
            let modrm = ModRm(cursor.byte());
            let change = match modrm.reg() {
                4 if !prefixes.is_locked => BitChange::Test,
                5 => BitChange::Set,
                6 => BitChange::Reset,
                7 => BitChange::Complement,
                _ => return Err(DecodeError::NotHandled),
            };
            let place = memory_destination(cursor, prefixes, modrm)?;
            let bit = Source::Immediate(i32::from(cursor.byte()));
            Ok(insn(prefixes, Op::Bit(change), prefixes.wide(), bit, place))
        }
        // In the other rows a mandatory prefix may name an instruction that is not ours.
        _ if prefixes.is_locked || prefixes.has_mandatory() => Err(DecodeError::NotHandled),
        0xC3 => register_source(cursor, prefixes, Op::Mov, prefixes.wide()),
        0x01 => system_group(cursor, prefixes),
        0x06 => Ok(bare(prefixes, Op::Clts)),
        0x08 => Ok(bare(prefixes, Op::Invd)),
        0x09 => Ok(bare(prefixes, Op::Wbinvd)),
        0x20 => special_register(cursor, prefixes, Op::MovFromCr),
        0x21 => special_register(cursor, prefixes, Op::MovFromDr),
        0x22 => special_register(cursor, prefixes, Op::MovToCr),
        0x23 => special_register(cursor, prefixes, Op::MovToDr),
        0x30 => Ok(bare(prefixes, Op::Wrmsr)),
        0x31 => Ok(bare(prefixes, Op::Rdtsc)),
        0x32 => Ok(bare(prefixes, Op::Rdmsr)),
        0xA2 => Ok(bare(prefixes, Op::Cpuid)),
        _ => Err(DecodeError::NotHandled),
    }
}

/// `0F 01`: instructions named by the whole ModRM byte, or by its `reg` field.
fn system_group(cursor: &mut Cursor, prefixes: &Prefixes) -> Result<Insn, DecodeError> {
    let modrm = ModRm(cursor.byte());
    match modrm.0 {
        0xD0 => return Ok(bare(prefixes, Op::Xgetbv)),
        0xD1 => return Ok(bare(prefixes, Op::Xsetbv)),
        0xF9 => return Ok(bare(prefixes, Op::Rdtscp)),
        _ => {}
    }
    let place = if modrm.is_register() {
        Place::Gpr(modrm.rm_gpr(prefixes))
    } else {
        Place::Memory(modrm::memory(cursor, prefixes, modrm)?)
    };
    let (op, width) = match (modrm.reg(), modrm.is_register()) {
        (4, true) => (Op::Smsw, prefixes.wide()),
        (4, false) => (Op::Smsw, Width::Word),
        (6, _) => (Op::Lmsw, Width::Word),
        (7, false) => (Op::Invlpg, Width::Byte),
        _ => return Err(DecodeError::NotHandled),
    };
    Ok(insn(prefixes, op, width, Source::None, place))
}

/// `MOV` from and to control and debug registers. The mode bits of ModRM are ignored.
fn special_register(cursor: &mut Cursor, prefixes: &Prefixes, op: Op) -> Result<Insn, DecodeError> {
    let modrm = ModRm(cursor.byte());
    let number = modrm.reg() | ((prefixes.rex & REX_R) << 1);
    let exists = match op {
        Op::MovFromCr | Op::MovToCr => matches!(number, 0 | 2 | 3 | 4 | 8),
        _ => number < 8,
    };
    if !exists {
        return Err(DecodeError::NotHandled);
    }
    let width = if prefixes.is_64 {
        Width::Qword
    } else {
        Width::Dword
    };
    Ok(insn(
        prefixes,
        op,
        width,
        Source::Special(number),
        Place::Gpr(modrm.rm_gpr(prefixes)),
    ))
}

/// `op r/m, r` in its memory form.
#[inline(always)]
fn register_source(
    cursor: &mut Cursor,
    prefixes: &Prefixes,
    op: Op,
    width: Width,
) -> Result<Insn, DecodeError> {
    let modrm = ModRm(cursor.byte());
    let place = memory_destination(cursor, prefixes, modrm)?;
    Ok(insn(
        prefixes,
        op,
        width,
        prefixes.register(modrm, width),
        place,
    ))
}

/// As [`register_source`] for operations that LOCK makes illegal.
#[inline(always)]
fn unlocked_destination(
    cursor: &mut Cursor,
    prefixes: &Prefixes,
    op: Op,
    width: Width,
) -> Result<Insn, DecodeError> {
    if prefixes.is_locked {
        return Err(DecodeError::NotHandled);
    }
    register_source(cursor, prefixes, op, width)
}

/// A group whose operations have one operand; `ops` is indexed by ModRM `reg`.
#[inline(always)]
fn one_operand(
    cursor: &mut Cursor,
    prefixes: &Prefixes,
    opcode: u8,
    ops: [Option<Op>; 4],
) -> Result<Insn, DecodeError> {
    let modrm = ModRm(cursor.byte());
    let op = ops
        .get(usize::from(modrm.reg()))
        .copied()
        .flatten()
        .ok_or(DecodeError::NotHandled)?;
    let place = memory_destination(cursor, prefixes, modrm)?;
    Ok(insn(
        prefixes,
        op,
        prefixes.width(opcode),
        Source::None,
        place,
    ))
}

#[inline(always)]
fn memory_destination(
    cursor: &mut Cursor,
    prefixes: &Prefixes,
    modrm: ModRm,
) -> Result<Place, DecodeError> {
    if modrm.is_register() {
        return Err(DecodeError::NotHandled);
    }
    Ok(Place::Memory(modrm::memory(cursor, prefixes, modrm)?))
}

fn string(prefixes: &Prefixes, op: Op, width: Width) -> Result<Insn, DecodeError> {
    let is_address_32 = prefixes.is_address_32()?;
    let place = match op {
        Op::Movs | Op::Outs => Place::Memory(MemoryOperand {
            segment: prefixes.segment.unwrap_or(Segment::Ds),
            base: Base::Gpr(Gpr::Rsi),
            index: None,
            scale_shift: 0,
            is_address_32,
            displacement: 0,
        }),
        _ => Place::None,
    };
    Ok(Insn {
        is_repeated: prefixes.is_repeated,
        ..insn(prefixes, op, width, Source::None, place)
    })
}

fn port_op(opcode: u8) -> Op {
    if opcode & 2 == 0 { Op::In } else { Op::Out }
}

#[inline(always)]
fn alu_of(number: u8) -> Result<Alu, DecodeError> {
    Ok(match number {
        0 => Alu::Add,
        1 => Alu::Or,
        2 => Alu::Adc,
        3 => Alu::Sbb,
        4 => Alu::And,
        5 => Alu::Sub,
        6 => Alu::Xor,
        // CMP writes nothing, so it can't have faulted on a write.
        _ => return Err(DecodeError::NotHandled),
    })
}

#[inline(always)]
fn immediate(cursor: &mut Cursor, width: Width) -> i32 {
    match width {
        Width::Byte => cursor.signed_byte(),
        Width::Word => cursor.word(),
        Width::Dword | Width::Qword => cursor.dword(),
    }
}

/// An instruction without operands.
fn bare(prefixes: &Prefixes, op: Op) -> Insn {
    insn(prefixes, op, prefixes.wide(), Source::None, Place::None)
}

#[inline(always)]
fn insn(prefixes: &Prefixes, op: Op, width: Width, source: Source, place: Place) -> Insn {
    Insn {
        op,
        width,
        length: 0,
        is_repeated: false,
        code_size: if prefixes.is_64 {
            CodeSize::Bits64
        } else {
            CodeSize::Bits32
        },
        is_locked: prefixes.is_locked,
        is_address_32: prefixes.has_address_size || !prefixes.is_64,
        source,
        place,
    }
}
