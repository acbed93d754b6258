//! A decoded instruction: which operation, how wide, and where its operands are.
//!
//! Small plain data. Nothing here has looked at a register or at memory yet.

/// A general-purpose register in its encoding order; 4 to 7 as byte operands mean SPL to DIL.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
#[allow(missing_docs)] // The names are the architecture's own.
pub enum Gpr {
    Rax,
    Rcx,
    Rdx,
    Rbx,
    Rsp,
    Rbp,
    Rsi,
    Rdi,
    R8,
    R9,
    R10,
    R11,
    R12,
    R13,
    R14,
    R15,
}

impl Gpr {
    /// All registers; the index is the encoding.
    pub const ALL: [Self; 16] = [
        Self::Rax,
        Self::Rcx,
        Self::Rdx,
        Self::Rbx,
        Self::Rsp,
        Self::Rbp,
        Self::Rsi,
        Self::Rdi,
        Self::R8,
        Self::R9,
        Self::R10,
        Self::R11,
        Self::R12,
        Self::R13,
        Self::R14,
        Self::R15,
    ];

    /// The register whose encoding is the low four bits of `number`.
    #[must_use]
    #[inline(always)]
    pub const fn from_low_bits(number: u8) -> Self {
        // A match and not an index into `ALL`: the compiler sees the identity and emits one AND.
        match number & 0xF {
            0 => Self::Rax,
            1 => Self::Rcx,
            2 => Self::Rdx,
            3 => Self::Rbx,
            4 => Self::Rsp,
            5 => Self::Rbp,
            6 => Self::Rsi,
            7 => Self::Rdi,
            8 => Self::R8,
            9 => Self::R9,
            10 => Self::R10,
            11 => Self::R11,
            12 => Self::R12,
            13 => Self::R13,
            14 => Self::R14,
            _ => Self::R15,
        }
    }

    /// The encoding, 0 to 15: fit to index an array of sixteen.
    #[must_use]
    #[inline(always)]
    pub const fn number(self) -> usize {
        self as usize
    }
}

/// How wide an operand is; the discriminant is its number of bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Width {
    /// One byte.
    Byte = 1,
    /// Two bytes.
    Word = 2,
    /// Four bytes.
    Dword = 4,
    /// Eight bytes.
    Qword = 8,
}

impl Width {
    /// All widths, narrow to wide.
    pub const ALL: [Self; 4] = [Self::Byte, Self::Word, Self::Dword, Self::Qword];

    /// Number of bytes.
    #[must_use]
    #[inline(always)]
    pub const fn bytes(self) -> u64 {
        self as u64
    }

    /// Number of bits.
    #[must_use]
    #[inline(always)]
    pub const fn bits(self) -> u32 {
        self as u32 * 8
    }

    /// log2 of the number of bytes.
    #[must_use]
    #[inline(always)]
    pub const fn log2_bytes(self) -> u32 {
        (self as u32).trailing_zeros()
    }

    /// The bits that an operand of this width has.
    #[must_use]
    #[inline(always)]
    pub const fn mask(self) -> u64 {
        u64::MAX >> (64 - self.bits())
    }
}

/// A segment register, in encoding order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
#[allow(missing_docs)] // The names are the architecture's own.
pub enum Segment {
    Es,
    Cs,
    Ss,
    Ds,
    Fs,
    Gs,
}

/// A memory operand's address, not yet computed.
///
/// The sum of its parts is cut to 32 bits where [`Insn::is_address_32`] says so.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemoryOperand {
    /// The segment that a prefix names, if it has an effect.
    pub segment_override: Option<Segment>,
    /// Base register.
    pub base: Option<Gpr>,
    /// Whether the sum starts from the address of the next instruction. There is no base register then.
    pub is_rip_relative: bool,
    /// Register added after it is shifted left by `scale_shift`.
    pub index: Option<Gpr>,
    /// 0 to 3.
    pub scale_shift: u8,
    /// Sign-extended displacement.
    pub displacement: i32,
}

impl MemoryOperand {
    /// The segment that applies: SS by default for addresses based on the stack.
    #[must_use]
    pub const fn segment(&self) -> Segment {
        match (self.segment_override, self.base) {
            (Some(segment), _) => segment,
            (None, Some(Gpr::Rsp | Gpr::Rbp)) => Segment::Ss,
            (None, _) => Segment::Ds,
        }
    }
}

/// Where the ModRM `r/m` operand is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// The operation has none, or its places are implied (string operations).
    None,
    /// In a register.
    Gpr(Gpr),
    /// In memory.
    Memory(MemoryOperand),
}

/// The other operand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// The operation has none.
    None,
    /// Low part of a register, as wide as the operation.
    Gpr(Gpr),
    /// Bits 8 to 15 of a register: AH, CH, DH or BH.
    HighByte(Gpr),
    /// Sign-extended immediate. A port number in `IN` and `OUT`.
    Immediate(i32),
    /// Control-register or debug-register number.
    Special(u8),
}

/// An operation that reads a memory operand and writes it back, changed or not. [`Modify::BitTest`]
/// alone only reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
#[allow(missing_docs)] // The names are the architecture's own.
pub enum Modify {
    Add,
    Or,
    Adc,
    Sbb,
    And,
    Sub,
    Xor,
    Inc,
    Dec,
    Not,
    Neg,
    BitTest,
    BitSet,
    BitReset,
    BitComplement,
    Xchg,
    Xadd,
    Cmpxchg,
}

impl Modify {
    /// Whether it is one of `BT`, `BTS`, `BTR`, `BTC`.
    #[must_use]
    #[inline(always)]
    pub const fn is_bit(self) -> bool {
        matches!(
            self,
            Self::BitTest | Self::BitSet | Self::BitReset | Self::BitComplement
        )
    }
}

/// The operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // The names are the architecture's own.
pub enum Op {
    // With a destination in memory.
    /// Also `MOVNTI`, which differs only in caching.
    Mov,
    Modify(Modify),
    Movs,
    Stos,
    // Privileged, or sensitive to I/O privilege.
    Cli,
    Sti,
    In,
    Out,
    Ins,
    Outs,
    Hlt,
    Clts,
    MovFromCr,
    MovToCr,
    MovFromDr,
    MovToDr,
    Rdmsr,
    Wrmsr,
    Cpuid,
    Rdtsc,
    Rdtscp,
    Wbinvd,
    Invd,
    Xgetbv,
    Xsetbv,
    Invlpg,
    Lmsw,
    Smsw,
}

/// Default operand and address size of a code segment. 16-bit code is decoded as 32-bit code is: see `fetch`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CodeSize {
    /// Long mode, 64-bit code.
    Bits64,
    /// Compatibility mode with a 32-bit code segment.
    Bits32,
}

/// A decoded instruction.
///
/// String operations: the source of `MOVS` and `OUTS` is `place` (its base is RSI, its segment may
/// be overridden); the destination of `MOVS`, `STOS` and `INS` is ES:RDI and is not spelled out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Insn {
    /// The operation.
    pub op: Op,
    /// Operand width.
    pub width: Width,
    /// Number of bytes, 1 to 15.
    pub length: u8,
    /// Whether a string operation repeats RCX times.
    pub is_repeated: bool,
    /// The code segment's default size.
    pub code_size: CodeSize,
    /// Whether a LOCK prefix is present (only where it is legal).
    pub is_locked: bool,
    /// Whether addresses, and the repeat count of a string operation, are 32 bits wide.
    pub is_address_32: bool,
    /// The other operand.
    pub source: Source,
    /// The ModRM `r/m` operand.
    pub place: Place,
}
