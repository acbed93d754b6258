//! ModRM, SIB and displacement: the addressing forms of 32-bit and 64-bit code.

use super::decode::{Cursor, DecodeError, Prefixes};
use super::insn::{Base, Gpr, MemoryOperand, Segment};

const REX_X: u8 = 2;
const REX_B: u8 = 1;

/// The byte that follows most opcodes: mode, register, register-or-memory.
#[derive(Clone, Copy)]
pub(super) struct ModRm(pub(super) u8);

impl ModRm {
    #[inline(always)]
    pub(super) fn reg(self) -> u8 {
        (self.0 >> 3) & 7
    }

    #[inline(always)]
    pub(super) fn is_register(self) -> bool {
        self.0 >= 0xC0
    }

    /// The register that `r/m` names.
    #[inline(always)]
    pub(super) fn rm_gpr(self, prefixes: &Prefixes) -> Gpr {
        Gpr::from_low_bits((self.0 & 7) | ((prefixes.rex & REX_B) << 3))
    }
}

/// Reads the rest of a memory operand. `modrm` must not name a register.
#[inline(always)]
pub(super) fn memory(
    cursor: &mut Cursor,
    prefixes: &Prefixes,
    modrm: ModRm,
) -> Result<MemoryOperand, DecodeError> {
    let is_address_32 = prefixes.is_address_32()?;
    let mode = modrm.0 >> 6;
    let mut index = None;
    let mut scale_shift = 0;
    let mut low = modrm.0 & 7;
    // With mode 0 this number means "no base": of r/m it is relative to the next instruction in
    // 64-bit code, of a SIB byte never.
    let mut no_base = Base::Zero;
    if low == 4 {
        let sib = cursor.byte();
        let number = ((sib >> 3) & 7) | ((prefixes.rex & REX_X) << 2);
        if number != 4 {
            index = Some(Gpr::from_low_bits(number));
        }
        scale_shift = sib >> 6;
        low = sib & 7;
    } else if prefixes.is_64 {
        no_base = Base::NextInstruction;
    }
    let (base, displacement) = match (mode, low) {
        (0, 5) => (no_base, cursor.dword()),
        _ => {
            let base = Base::Gpr(Gpr::from_low_bits(low | ((prefixes.rex & REX_B) << 3)));
            let displacement = match mode {
                0 => 0,
                1 => cursor.signed_byte(),
                _ => cursor.dword(),
            };
            (base, displacement)
        }
    };
    let segment = match prefixes.segment {
        Some(segment) => segment,
        None if matches!(base, Base::Gpr(Gpr::Rsp | Gpr::Rbp)) => Segment::Ss,
        None => Segment::Ds,
    };
    Ok(MemoryOperand {
        segment,
        base,
        index,
        scale_shift,
        is_address_32,
        displacement,
    })
}
