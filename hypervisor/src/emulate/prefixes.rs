//! Prefixes, and what they make of registers and widths.

use super::insn::{CodeSize, Gpr, Segment, Source, Width};
use super::modrm::ModRm;
use super::opcodes::Row;

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
    pub(super) const REX: u32 = 0x4F;
    pub(super) const OPERAND_SIZE: u32 = 1 << 8;
    pub(super) const ADDRESS_SIZE: u32 = 1 << 9;
    pub(super) const LOCK: u32 = 1 << 10;
    pub(super) const REPEAT: u32 = 1 << 11;
    /// Prefixes that aren't legal, or have another meaning, with some instructions.
    pub(super) const OTHER_MEANING: u32 = Self::LOCK | Self::OPERAND_SIZE | Self::REPEAT;
    const CODE_64: u32 = 1 << 12;
    const HAS_SEGMENT: u32 = 1 << 13;
    const SEGMENT_SHIFT: u32 = 16;

    /// No prefixes yet.
    #[inline(always)]
    pub(super) const fn none(size: CodeSize) -> Self {
        Self(match size {
            CodeSize::Bits64 => Self::CODE_64,
            CodeSize::Bits32 => 0,
        })
    }

    /// Takes a REX byte into account.
    #[inline(always)]
    pub(super) fn set_rex(&mut self, rex: u8) {
        self.0 = (self.0 & !Self::REX) | rex as u32;
    }

    #[inline(always)]
    pub(super) const fn has(self, bits: u32) -> bool {
        self.0 & bits != 0
    }

    #[inline(always)]
    fn set_segment(&mut self, segment: Segment) {
        self.0 &= !(0b111 << Self::SEGMENT_SHIFT);
        self.0 |= Self::HAS_SEGMENT | ((segment as u32) << Self::SEGMENT_SHIFT);
    }

    /// Takes a legacy prefix into account.
    pub(super) fn apply(&mut self, prefix: u8) {
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
    pub(super) fn reg_extension(self) -> u8 {
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
    pub(super) fn width(self, row: Row) -> Width {
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
    pub(super) fn register(self, modrm: ModRm, width: Width) -> Source {
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
    pub(super) fn has_32_bit_addresses(self) -> bool {
        self.0 & (Self::CODE_64 | Self::ADDRESS_SIZE) != Self::CODE_64
    }
}
