//! ModRM, SIB and displacement: the addressing forms of 32-bit and 64-bit code.

use super::cursor::Cursor;
use super::decode::DecodeError;
use super::insn::{Gpr, MemoryOperand};
use super::prefixes::Prefixes;

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
    pub(super) fn rm_gpr(self, prefixes: Prefixes) -> Gpr {
        Gpr::from_low_bits((self.0 & 7) | prefixes.rm_extension())
    }
}

/// Reads the rest of a memory operand. `modrm` must not name a register.
#[inline(always)]
pub(super) fn memory(
    cursor: &mut Cursor<'_>,
    prefixes: Prefixes,
    modrm: ModRm,
) -> Result<MemoryOperand, DecodeError> {
    if prefixes.has_16_bit_addresses() {
        return Err(DecodeError::NotHandled);
    }
    let mode = modrm.0 >> 6;
    let mut operand = MemoryOperand {
        segment_override: prefixes.segment(),
        base: None,
        is_rip_relative: false,
        index: None,
        scale_shift: 0,
        displacement: 0,
    };
    let mut low = modrm.0 & 7;
    let has_sib = low == 4;
    if has_sib {
        let sib = cursor.byte();
        let number = ((sib >> 3) & 7) | prefixes.index_extension();
        if number != 4 {
            operand.index = Some(Gpr::from_low_bits(number));
        }
        operand.scale_shift = sib >> 6;
        low = sib & 7;
    }
    // With mode 0 this number means "no base": of r/m it is relative to the next instruction in 64-bit code, of a
    // SIB byte never.
    if low == 5 && mode == 0 {
        operand.is_rip_relative = !has_sib && prefixes.is_64();
        operand.displacement = cursor.dword();
        return Ok(operand);
    }
    operand.base = Some(Gpr::from_low_bits(low | prefixes.rm_extension()));
    if mode != 0 {
        operand.displacement = if mode == 1 {
            cursor.signed_byte()
        } else {
            cursor.dword()
        };
    }
    Ok(operand)
}
