//! Instructions with a destination in memory.

use super::alu;
use super::insn::{CodeSize, Gpr, Insn, MemoryOperand, Modify, Op, Source};
use super::machine::{Exchange, GuestContext, RFLAGS_RF, Stop};
use super::operand::{self, Access};

/// How often a read-modify-write starts over because memory changed under it, before the guest is let run
/// again. Hardware changes an entry's accessed and dirty bits once each; more than that is another processor
/// that writes all the time.
const MAX_ATTEMPTS: u32 = 4;

/// Executes `insn`, whose destination is `destination`.
#[inline(always)]
pub(super) fn execute<C: GuestContext>(
    cpu: &mut C,
    insn: &Insn,
    destination: &MemoryOperand,
) -> Result<(), Stop> {
    let width = insn.width;
    let rflags = cpu.rflags();
    let mut source = operand::value(cpu, insn.source, width);
    let mut delta = 0;
    let mut access = Access::Write;
    let modify = match insn.op {
        Op::Mov => None,
        Op::Modify(modify) => {
            if modify.is_bit() {
                (delta, source) = bit_position(insn, source);
            }
            if matches!(modify, Modify::BitTest) {
                access = Access::Read;
            }
            Some(modify)
        }
        _ => return Err(Stop::Unhandleable),
    };
    let address = operand::address(cpu, insn, destination, delta, width, access)?;
    let Some(modify) = modify else {
        cpu.write(address, width, source)?;
        finish(cpu, insn, rflags);
        return Ok(());
    };
    let accumulator = cpu.gpr(Gpr::Rax) & width.mask();
    for _ in 0..MAX_ATTEMPTS {
        let old = cpu.read(address, width)?;
        let (new, new_rflags) = alu::modify(modify, width, old, source, accumulator, rflags);
        if matches!(access, Access::Write) {
            match cpu.compare_exchange(address, width, old, new)? {
                Exchange::Written => {}
                Exchange::Changed => continue,
            }
        }
        match modify {
            Modify::Xchg | Modify::Xadd => operand::set_value(cpu, insn.source, width, old),
            Modify::Cmpxchg if old != accumulator => operand::set_gpr(cpu, Gpr::Rax, width, old),
            _ => {}
        }
        finish(cpu, insn, new_rflags);
        return Ok(());
    }
    Err(Stop::Retry)
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
