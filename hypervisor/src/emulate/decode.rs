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

use super::insn::{CodeSize, Gpr, Insn, MemoryOperand, Modify, Op, Place, Segment, Source, Width};
use super::modrm::{self, ModRm};
use super::opcodes::{BINARY, ONE_BYTE, Row, Shape, TWO_BYTE};

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

/// As many bytes as an instruction can have, and one more.
pub type Window = [u8; 16];

/// How far a window has been consumed.
pub(super) struct Cursor<'a> {
    window: &'a Window,
    consumed: usize,
}

impl Cursor<'_> {
    /// The byte `ahead` of the next one, 0 beyond the window.
    #[inline(always)]
    fn peek(&self, ahead: usize) -> u8 {
        self.window
            .get(self.consumed.wrapping_add(ahead))
            .copied()
            .unwrap_or(0)
    }

    #[inline(always)]
    fn skip(&mut self, bytes: usize) {
        // Bounded: 15 prefixes at most, then a handful of bytes.
        self.consumed = self.consumed.wrapping_add(bytes);
    }

    #[inline(always)]
    pub(super) fn byte(&mut self) -> u8 {
        let byte = self.peek(0);
        self.skip(1);
        byte
    }

    #[inline(always)]
    pub(super) fn signed_byte(&mut self) -> i32 {
        i32::from(self.byte() as i8)
    }

    #[inline(always)]
    fn word(&mut self) -> i32 {
        let word = u16::from_le_bytes([self.peek(0), self.peek(1)]);
        self.skip(2);
        i32::from(word as i16)
    }

    #[inline(always)]
    pub(super) fn dword(&mut self) -> i32 {
        let dword = match self.window.get(self.consumed..) {
            Some([a, b, c, d, ..]) => i32::from_le_bytes([*a, *b, *c, *d]),
            // The instruction is too long, which its length will tell.
            _ => 0,
        };
        self.skip(4);
        dword
    }

    #[inline(always)]
    fn immediate(&mut self, width: Width) -> i32 {
        match width {
            Width::Byte => self.signed_byte(),
            Width::Word => self.word(),
            Width::Dword | Width::Qword => self.dword(),
        }
    }
}

/// The prefixes in force when the opcode is reached, and the code size, as bits of one word: it stays in a
/// register while an instruction is decoded.
#[derive(Clone, Copy)]
pub(super) struct Prefixes(u32);

impl Prefixes {
    const REX_B: u32 = 1;
    const REX_X: u32 = 2;
    const REX_R: u32 = 4;
    const REX_W: u32 = 8;
    /// The REX byte, which is 0x40 to 0x4F.
    const REX: u32 = 0x4F;
    const OPERAND_SIZE: u32 = 1 << 8;
    const ADDRESS_SIZE: u32 = 1 << 9;
    const LOCK: u32 = 1 << 10;
    const REPEAT: u32 = 1 << 11;
    /// Prefixes that aren't legal, or have another meaning, with some instructions.
    const OTHER_MEANING: u32 = Self::LOCK | Self::OPERAND_SIZE | Self::REPEAT;
    const CODE_64: u32 = 1 << 12;
    const HAS_SEGMENT: u32 = 1 << 13;
    const SEGMENT_SHIFT: u32 = 16;

    #[inline(always)]
    const fn has(self, bits: u32) -> bool {
        self.0 & bits != 0
    }

    #[inline(always)]
    fn set_segment(&mut self, segment: Segment) {
        self.0 &= !(0b111 << Self::SEGMENT_SHIFT);
        self.0 |= Self::HAS_SEGMENT | ((segment as u32) << Self::SEGMENT_SHIFT);
    }

    /// Takes a legacy prefix into account.
    fn apply(&mut self, prefix: u8) {
        match prefix {
            // In 64-bit code these four have no effect, not even on an FS or GS override before them.
            0x26 | 0x2E | 0x36 | 0x3E if self.is_64() => {}
            0x26 => self.set_segment(Segment::Es),
            0x2E => self.set_segment(Segment::Cs),
            0x36 => self.set_segment(Segment::Ss),
            0x3E => self.set_segment(Segment::Ds),
            0x64 => self.set_segment(Segment::Fs),
            0x65 => self.set_segment(Segment::Gs),
            0x66 => self.0 |= Self::OPERAND_SIZE,
            0x67 => self.0 |= Self::ADDRESS_SIZE,
            0xF0 => self.0 |= Self::LOCK,
            _ => self.0 |= Self::REPEAT,
        }
        // A REX byte counts only directly before the opcode.
        self.0 &= !Self::REX;
    }

    /// The segment that a prefix names.
    #[inline(always)]
    pub(super) fn segment(self) -> Option<Segment> {
        if !self.has(Self::HAS_SEGMENT) {
            return None;
        }
        Some(self.named_segment())
    }

    #[cold]
    #[inline(never)]
    fn named_segment(self) -> Segment {
        match (self.0 >> Self::SEGMENT_SHIFT) & 0b111 {
            0 => Segment::Es,
            1 => Segment::Cs,
            2 => Segment::Ss,
            3 => Segment::Ds,
            4 => Segment::Fs,
            _ => Segment::Gs,
        }
    }

    #[inline(always)]
    pub(super) fn is_64(self) -> bool {
        self.has(Self::CODE_64)
    }

    /// The fourth bit of the register number in ModRM `reg`.
    #[inline(always)]
    fn reg_extension(self) -> u8 {
        ((self.0 & Self::REX_R) << 1) as u8
    }

    /// The fourth bit of an index register's number.
    #[inline(always)]
    pub(super) fn index_extension(self) -> u8 {
        ((self.0 & Self::REX_X) << 2) as u8
    }

    /// The fourth bit of the register number in ModRM `r/m` and of a base register's.
    #[inline(always)]
    pub(super) fn rm_extension(self) -> u8 {
        ((self.0 & Self::REX_B) << 3) as u8
    }

    /// Width of the operand of `row`.
    #[inline(always)]
    fn width(self, row: Row) -> Width {
        if row.has(Row::BYTE) {
            Width::Byte
        } else if self.has(Self::REX_W) {
            if row.has(Row::PORT) {
                Width::Dword
            } else {
                Width::Qword
            }
        } else if self.has(Self::OPERAND_SIZE) {
            Width::Word
        } else {
            Width::Dword
        }
    }

    /// The register that ModRM `reg` names as an operand of `width`.
    #[inline(always)]
    fn register(self, modrm: ModRm, width: Width) -> Source {
        let number = modrm.reg() | self.reg_extension();
        if matches!(width, Width::Byte) {
            self.byte_register(number)
        } else {
            Source::Gpr(Gpr::from_low_bits(number))
        }
    }

    #[cold]
    fn byte_register(self, number: u8) -> Source {
        if !self.has(Self::REX) && number >= 4 {
            Source::HighByte(Gpr::from_low_bits(number & 3))
        } else {
            Source::Gpr(Gpr::from_low_bits(number))
        }
    }

    /// 16-bit addressing, which is not supported.
    #[inline(always)]
    pub(super) fn has_16_bit_addresses(self) -> bool {
        self.0 & (Self::CODE_64 | Self::ADDRESS_SIZE) == Self::ADDRESS_SIZE
    }

    /// Whether addresses have 32 bits, given that they don't have 16.
    #[inline(always)]
    fn has_32_bit_addresses(self) -> bool {
        self.0 & (Self::CODE_64 | Self::ADDRESS_SIZE) != Self::CODE_64
    }
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
    let mut cursor = Cursor {
        window,
        consumed: 0,
    };
    match decode_at(&mut cursor, size) {
        Ok(insn) if u16::from(insn.length) <= u16::from(available.min(MAX_LENGTH)) => Ok(insn),
        _ if cursor.consumed > usize::from(available) && available < MAX_LENGTH => {
            Err(DecodeError::Truncated)
        }
        _ => Err(DecodeError::NotHandled),
    }
}

#[inline(always)]
fn decode_at(cursor: &mut Cursor<'_>, size: CodeSize) -> Result<Insn, DecodeError> {
    let mut prefixes = Prefixes(match size {
        CodeSize::Bits64 => Prefixes::CODE_64,
        CodeSize::Bits32 => 0,
    });
    let mut row;
    loop {
        let byte = cursor.byte();
        row = ONE_BYTE[usize::from(byte)];
        match row.shape {
            Shape::Rex if prefixes.is_64() => {
                prefixes.0 = (prefixes.0 & !Prefixes::REX) | u32::from(byte);
            }
            Shape::Prefix => prefixes.apply(byte),
            _ => break,
        }
        if cursor.consumed >= usize::from(MAX_LENGTH) {
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
        length: cursor.consumed as u8,
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
    let is_another = prefixes.has(Prefixes::OPERAND_SIZE | Prefixes::REPEAT) && row.has(Row::PLAIN);
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
