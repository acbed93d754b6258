//! From operand descriptions to addresses and values.

use super::insn::{CodeSize, Gpr, Insn, MemoryOperand, Segment, Source, Width};
use super::machine::{DataSegment, Fault, GuestContext, Stop};

/// What an access does to memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Access {
    Read,
    Write,
}

/// The offset in its segment that `operand` names, `delta` bytes further.
#[inline(always)]
fn offset<C: GuestContext>(cpu: &C, insn: &Insn, operand: &MemoryOperand, delta: u64) -> u64 {
    let mut sum = delta.wrapping_add(operand.displacement as u64);
    if let Some(register) = operand.base {
        sum = sum.wrapping_add(cpu.gpr(register));
    } else if operand.is_rip_relative {
        sum = sum
            .wrapping_add(cpu.rip())
            .wrapping_add(u64::from(insn.length));
    }
    if let Some(register) = operand.index {
        sum = sum.wrapping_add(
            cpu.gpr(register)
                .wrapping_shl(u32::from(operand.scale_shift)),
        );
    }
    if insn.is_address_32 {
        sum & 0xFFFF_FFFF
    } else {
        sum
    }
}

/// The linear address that `operand` names, `delta` bytes further, checked for an access of `width`.
#[inline(always)]
pub(super) fn address<C: GuestContext>(
    cpu: &mut C,
    insn: &Insn,
    operand: &MemoryOperand,
    delta: u64,
    width: Width,
    access: Access,
) -> Result<u64, Stop> {
    let mut address = offset(cpu, insn, operand, delta);
    if matches!(insn.code_size, CodeSize::Bits32) {
        return linear_32(cpu, operand.segment(), address as u32, width, access);
    }
    if let Some(segment) = operand.segment_override {
        address = address.wrapping_add(cpu.segment_base(segment));
    }
    if !is_canonical(address, width) {
        return Err(Stop::Fault(fault_of(operand.segment())));
    }
    Ok(address)
}

/// The linear address of ES:RDI, checked for a write.
pub(super) fn string_destination<C: GuestContext>(cpu: &mut C, insn: &Insn) -> Result<u64, Stop> {
    let rdi = cpu.gpr(Gpr::Rdi);
    let address = if insn.is_address_32 {
        rdi & 0xFFFF_FFFF
    } else {
        rdi
    };
    if matches!(insn.code_size, CodeSize::Bits32) {
        return linear_32(cpu, Segment::Es, address as u32, insn.width, Access::Write);
    }
    if !is_canonical(address, insn.width) {
        return Err(Stop::Fault(Fault::GENERAL_PROTECTION));
    }
    Ok(address)
}

/// Whether all bytes of an operand have addresses with bits 63 to 47 equal.
#[inline(always)]
fn is_canonical(address: u64, width: Width) -> bool {
    // Seen from the start of the upper half, canonical addresses are contiguous.
    address.wrapping_add(1 << 47) <= (1 << 48) - width.bytes()
}

#[cold]
fn linear_32<C: GuestContext>(
    cpu: &mut C,
    segment: Segment,
    offset: u32,
    width: Width,
    access: Access,
) -> Result<u64, Stop> {
    let fault = Stop::Fault(fault_of(segment));
    let data = cpu.data_segment(segment)?.ok_or(fault)?;
    let is_allowed = match access {
        Access::Read => data.is_readable,
        Access::Write => data.is_writable,
    };
    if !is_allowed || !is_within(&data, offset, width) {
        return Err(fault);
    }
    // Linear addresses of 32-bit code wrap at 4 GiB.
    Ok(u64::from(data.base.wrapping_add(offset)))
}

fn is_within(data: &DataSegment, offset: u32, width: Width) -> bool {
    let Some(last) = offset.checked_add(width.bytes() as u32 - 1) else {
        return false;
    };
    if data.is_expand_down {
        let top = if data.is_big { u32::MAX } else { 0xFFFF };
        offset > data.limit && last <= top
    } else {
        last <= data.limit
    }
}

fn fault_of(segment: Segment) -> Fault {
    match segment {
        Segment::Ss => Fault::STACK_SEGMENT,
        _ => Fault::GENERAL_PROTECTION,
    }
}

/// The value of a source operand, cut to `width`.
#[inline(always)]
pub(super) fn value<C: GuestContext>(cpu: &C, source: Source, width: Width) -> u64 {
    let wide = if let Source::Gpr(register) = source {
        cpu.gpr(register)
    } else if let Source::Immediate(immediate) = source {
        immediate as u64
    } else if let Source::HighByte(register) = source {
        cpu.gpr(register) >> 8
    } else {
        0
    };
    wide & width.mask()
}

/// Writes `value`, which is no wider than `width`, to a register operand. Four bytes clear the upper half,
/// one and two bytes leave the rest alone.
#[inline(always)]
pub(super) fn set_value<C: GuestContext>(cpu: &mut C, source: Source, width: Width, value: u64) {
    let (register, shift) = match source {
        Source::Gpr(register) => (register, 0),
        Source::HighByte(register) => (register, 8),
        Source::Immediate(_) | Source::Special(_) | Source::None => return,
    };
    let kept = match width {
        Width::Dword | Width::Qword => 0,
        Width::Byte | Width::Word => cpu.gpr(register) & !(width.mask() << shift),
    };
    cpu.set_gpr(register, kept | (value << shift));
}

/// Writes the low part of a general-purpose register.
#[inline(always)]
pub(super) fn set_gpr<C: GuestContext>(cpu: &mut C, register: Gpr, width: Width, value: u64) {
    set_value(cpu, Source::Gpr(register), width, value & width.mask());
}
