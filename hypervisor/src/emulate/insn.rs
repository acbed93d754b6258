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

/// What an effective address starts from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Base {
    /// Nothing: the displacement alone, plus an index if there is one.
    Zero,
    /// The address of the next instruction.
    NextInstruction,
    /// A register.
    Gpr(Gpr),
}

/// A memory operand's address, not yet computed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemoryOperand {
    /// The segment that applies: the override, or the default of the base register.
    pub segment: Segment,
    /// What the sum starts from.
    pub base: Base,
    /// Register added after it is shifted left by `scale_shift`.
    pub index: Option<Gpr>,
    /// 0 to 3.
    pub scale_shift: u8,
    /// Whether the sum is cut to 32 bits before the segment base is added.
    pub is_address_32: bool,
    /// Sign-extended displacement.
    pub displacement: i32,
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

/// Two-operand arithmetic and logic with the result in the first operand. The discriminant is the
/// number that the encodings use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
#[allow(missing_docs)] // The names are the architecture's own.
pub enum Alu {
    Add = 0,
    Or = 1,
    Adc = 2,
    Sbb = 3,
    And = 4,
    Sub = 5,
    Xor = 6,
}

/// What a bit operation does to the bit after it has been copied to CF. The discriminant is the
/// number that the encodings use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
#[allow(missing_docs)] // The names are the architecture's own.
pub enum BitChange {
    Test = 4,
    Set = 5,
    Reset = 6,
    Complement = 7,
}

/// The operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // The names are the architecture's own.
pub enum Op {
    // With a destination in memory.
    /// Also `MOVNTI`, which differs only in caching.
    Mov,
    Xchg,
    Alu(Alu),
    Inc,
    Dec,
    Not,
    Neg,
    Bit(BitChange),
    Cmpxchg,
    Xadd,
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

/// Default operand and address size of a code segment. 16-bit code is not supported.
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
    /// Whether addresses and the repeat count of a string operation are 32 bits wide.
    pub is_address_32: bool,
    /// The other operand.
    pub source: Source,
    /// The ModRM `r/m` operand.
    pub place: Place,
}
