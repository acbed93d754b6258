//! Instructions with a destination in memory.

use super::alu;
use super::insn::{BitChange, CodeSize, Gpr, Insn, MemoryOperand, Op, Source, Width};
use super::machine::{Exchange, GuestContext, RFLAGS_RF, Stop};
use super::operand::{self, Access};

/// How often a read-modify-write starts over because memory changed under it, before the guest is let run
/// again. Hardware changes an entry's accessed and dirty bits once each; more than that is another processor
/// that writes all the time.
const MAX_ATTEMPTS: u32 = 4;

/// What an operation makes of its operands.
struct Computed {
    /// New value of the memory operand.
    memory: u64,
    /// New RFLAGS.
    rflags: u64,
    /// Whether the old value of the memory operand goes to a register.
    returns_old: bool,
}

/// Executes `insn`, whose destination is `destination`.
#[inline(always)]
pub(super) fn execute<C: GuestContext>(
    cpu: &mut C,
    insn: &Insn,
    destination: &MemoryOperand,
) -> Result<(), Stop> {
    let width = insn.width;
    let rflags = cpu.rflags();
    let source = operand::value(cpu, insn.source, width);
    let (delta, source) = match insn.op {
        Op::Bit(_) => bit_position(insn, source),
        _ => (0, source),
    };
    let offset = operand::offset(cpu, insn, destination, delta);
    let access = if matches!(insn.op, Op::Bit(BitChange::Test)) {
        Access::Read
    } else {
        Access::Write
    };
    let address = operand::linear(
        cpu,
        insn.code_size,
        destination.segment,
        offset,
        width,
        access,
    )?;

    if matches!(insn.op, Op::Mov) {
        cpu.write(address, width, source)?;
        finish(cpu, insn, rflags);
        return Ok(());
    }
    let accumulator = cpu.gpr(Gpr::Rax) & width.mask();
    for _ in 0..MAX_ATTEMPTS {
        let old = cpu.read(address, width)?;
        let computed = compute(insn.op, width, old, source, accumulator, rflags)?;
        if matches!(access, Access::Write) {
            match cpu.compare_exchange(address, width, old, computed.memory)? {
                Exchange::Written => {}
                Exchange::Changed => continue,
            }
        }
        if computed.returns_old {
            let target = if matches!(insn.op, Op::Cmpxchg) {
                Source::Gpr(Gpr::Rax)
            } else {
                insn.source
            };
            operand::set_value(cpu, target, width, old);
        }
        finish(cpu, insn, computed.rflags);
        return Ok(());
    }
    Err(Stop::Retry)
}

#[inline(always)]
fn compute(
    op: Op,
    width: Width,
    old: u64,
    source: u64,
    accumulator: u64,
    rflags: u64,
) -> Result<Computed, Stop> {
    let mut returns_old = false;
    let (memory, rflags) = match op {
        Op::Xchg => {
            returns_old = true;
            (source, rflags)
        }
        Op::Alu(alu) => alu::binary(alu, width, old, source, rflags),
        Op::Bit(change) => alu::bit(change, old, source as u32, rflags),
        Op::Cmpxchg => {
            let (_, flags) = alu::binary(super::insn::Alu::Sub, width, accumulator, old, rflags);
            returns_old = accumulator != old;
            // A failed comparison writes the old value back, so that a read-only operand faults.
            (if returns_old { old } else { source }, flags)
        }
        Op::Xadd => {
            returns_old = true;
            alu::binary(super::insn::Alu::Add, width, old, source, rflags)
        }
        Op::Inc => alu::increment(width, old, rflags),
        Op::Dec => alu::decrement(width, old, rflags),
        Op::Not => (!old & width.mask(), rflags),
        Op::Neg => alu::negate(width, old, rflags),
        _ => return Err(Stop::Unhandleable),
    };
    Ok(Computed {
        memory,
        rflags,
        returns_old,
    })
}

/// Splits a bit number into a distance in bytes from the operand and a bit within it. A number from a
/// register is signed and may lie far outside the operand; an immediate is cut to the operand.
#[inline(always)]
fn bit_position(insn: &Insn, number: u64) -> (u64, u64) {
    let within = number & u64::from(insn.width.bits().wrapping_sub(1));
    if matches!(insn.source, Source::Immediate(_)) {
        return (0, within);
    }
    let unused_bits = 64u32.wrapping_sub(insn.width.bits());
    let signed = (number << unused_bits) as i64 >> unused_bits;
    let units = signed >> (insn.width.log2_bytes() + 3);
    ((units << insn.width.log2_bytes()) as u64, within)
}

/// Completes `insn`: RIP past it, flags as computed, RF clear.
#[inline(always)]
pub(super) fn finish<C: GuestContext>(cpu: &mut C, insn: &Insn, rflags: u64) {
    complete(cpu, insn.code_size, insn.length, rflags);
}

/// Completes an instruction of `length` bytes.
#[inline(always)]
pub(super) fn complete<C: GuestContext>(cpu: &mut C, size: CodeSize, length: u8, rflags: u64) {
    let next = cpu.rip().wrapping_add(u64::from(length));
    cpu.set_rip(match size {
        CodeSize::Bits64 => next,
        CodeSize::Bits32 => next & 0xFFFF_FFFF,
    });
    cpu.set_rflags(rflags & !RFLAGS_RF);
}
