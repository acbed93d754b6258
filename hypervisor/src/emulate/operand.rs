//! From operand descriptions to addresses and values.

use super::insn::{Base, CodeSize, Gpr, Insn, MemoryOperand, Segment, Source, Width};
use super::machine::{DataSegment, Fault, GuestContext, Stop};
use crate::cpu_policy::msr::is_canonical;

/// What an access does to memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Access {
    Read,
    Write,
}

/// The offset in its segment that `operand` names, `delta` bytes further.
#[inline(always)]
pub(super) fn offset<C: GuestContext>(
    cpu: &C,
    insn: &Insn,
    operand: &MemoryOperand,
    delta: u64,
) -> u64 {
    let base = match operand.base {
        Base::Zero => 0,
        Base::NextInstruction => cpu.rip().wrapping_add(u64::from(insn.length)),
        Base::Gpr(register) => cpu.gpr(register),
    };
    let index = match operand.index {
        None => 0,
        Some(register) => cpu
            .gpr(register)
            .wrapping_shl(u32::from(operand.scale_shift)),
    };
    let sum = base
        .wrapping_add(index)
        .wrapping_add(operand.displacement as u64)
        .wrapping_add(delta);
    if operand.is_address_32 {
        sum & 0xFFFF_FFFF
    } else {
        sum
    }
}

/// The linear address that `operand` names, checked for an access of `width`.
pub(super) fn address<C: GuestContext>(
    cpu: &mut C,
    insn: &Insn,
    operand: &MemoryOperand,
    width: Width,
    access: Access,
) -> Result<u64, Stop> {
    let offset = offset(cpu, insn, operand, 0);
    linear(cpu, insn.code_size, operand.segment, offset, width, access)
}

/// The linear address of `offset` in `segment`, checked for an access of `width`.
#[inline(always)]
pub(super) fn linear<C: GuestContext>(
    cpu: &mut C,
    size: CodeSize,
    segment: Segment,
    offset: u64,
    width: Width,
    access: Access,
) -> Result<u64, Stop> {
    if matches!(size, CodeSize::Bits32) {
        return linear_32(cpu, segment, offset as u32, width, access);
    }
    let address = match segment {
        Segment::Fs | Segment::Gs => cpu.segment_base(segment).wrapping_add(offset),
        _ => offset,
    };
    let last = address.wrapping_add(width.bytes() - 1);
    if !is_canonical(address) || !is_canonical(last) {
        return Err(Stop::Fault(fault_of(segment)));
    }
    Ok(address)
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
    let data = cpu.data_segment(segment).ok_or(fault)?;
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
    let wide = match source {
        Source::Gpr(register) => cpu.gpr(register),
        Source::HighByte(register) => cpu.gpr(register) >> 8,
        Source::Immediate(immediate) => immediate as u64,
        Source::Special(_) | Source::None => 0,
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
