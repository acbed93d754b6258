//! Reading the instruction that trapped.

use super::decode::{self, DecodeError, Window};
use super::insn::{CodeSize, Insn, Op};
use super::machine::{CodeSegment, Fault, GuestContext, Stop};
use super::opcodes::{ONE_BYTE, Shape};

/// Bytes at the instruction pointer, read once.
pub(super) struct Code {
    /// The bytes; zero where there are none.
    pub(super) window: Window,
    /// How many bytes there are.
    pub(super) available: u8,
    /// What fetching the next byte raises.
    pub(super) fault: Fault,
    pub(super) size: CodeSize,
    /// Whether it is 16-bit code, whatever the size is.
    is_16: bool,
}

/// Reads up to 16 bytes at the instruction pointer.
///
/// 16-bit code, too, ends where its segment does and not after 64 KiB: processors cut the instruction pointer to 16 bits
/// where they jump, not from one instruction to the next.
#[inline(always)]
pub(super) fn code<C: GuestContext>(cpu: &mut C) -> Result<Code, Stop> {
    let mut window = [0; 16];
    let rip = cpu.rip();
    match cpu.code_segment() {
        CodeSegment::Bits64 => {
            let (available, fault) = match cpu.fetch(rip, &mut window) {
                Ok(()) => (16, Fault::GENERAL_PROTECTION),
                Err(short) => (short.available, short.fault),
            };
            Ok(Code {
                window: cut(window, available),
                available,
                fault,
                size: CodeSize::Bits64,
                is_16: false,
            })
        }
        CodeSegment::Bits32 { base, limit } => fetch_32(cpu, rip, base, limit),
        CodeSegment::Bits16 { base, limit } => Ok(Code {
            is_16: true,
            ..fetch_32(cpu, rip, base, limit)?
        }),
        CodeSegment::Unsupported => Err(Stop::Unhandleable),
        CodeSegment::NotNow => Err(Stop::Retry),
    }
}

#[cold]
fn fetch_32<C: GuestContext>(cpu: &mut C, rip: u64, base: u32, limit: u32) -> Result<Code, Stop> {
    let mut window = [0; 16];
    let offset = rip as u32;
    let (available, fault) = match cpu.fetch(u64::from(base.wrapping_add(offset)), &mut window) {
        Ok(()) => (16, Fault::GENERAL_PROTECTION),
        Err(short) => (short.available, short.fault),
    };
    // Bytes from `offset` to `limit`, both included.
    let within_limit = match limit.checked_sub(offset) {
        Some(rest) => rest.saturating_add(1).min(16) as u8,
        None => 0,
    };
    // Where a page ends with the segment, the segment is looked at first.
    let (available, fault) = if within_limit <= available {
        (within_limit, Fault::GENERAL_PROTECTION)
    } else {
        (available, fault)
    };
    Ok(Code {
        window: cut(window, available),
        available,
        fault,
        size: CodeSize::Bits32,
        is_16: false,
    })
}

/// The window with everything but the first `available` bytes zeroed.
#[inline(always)]
fn cut(mut window: Window, available: u8) -> Window {
    if available < 16 {
        for byte in window.iter_mut().skip(usize::from(available)) {
            *byte = 0;
        }
    }
    window
}

/// Reads and decodes the instruction at the instruction pointer.
///
/// # Errors
///
/// The exception that fetching the missing byte raises if the instruction is not all there;
/// [`Stop::Unhandleable`] if it is outside the set.
#[inline(always)]
pub fn with_instruction<C: GuestContext, T>(
    cpu: &mut C,
    run: impl FnOnce(&mut C, &Insn) -> Result<T, Stop>,
) -> Result<T, Stop> {
    if matches!(cpu.code_segment(), CodeSegment::Bits64) {
        let mut window = [0; 16];
        let rip = cpu.rip();
        if cpu.fetch(rip, &mut window).is_ok() {
            return match &decode::decode(&window, 16, CodeSize::Bits64) {
                Ok(insn) => run(cpu, insn),
                Err(_) => Err(Stop::Unhandleable),
            };
        }
    }
    let insn = slow_instruction(cpu)?;
    run(cpu, &insn)
}

/// The instruction in 32-bit or 16-bit code, or at the end of what can be read.
#[cold]
#[inline(never)]
fn slow_instruction<C: GuestContext>(cpu: &mut C) -> Result<Insn, Stop> {
    let code = code(cpu)?;
    match decode::decode(&code.window, code.available, code.size) {
        Ok(insn) if code.is_16 && !is_of_any_size(insn.op) => Err(Stop::Unhandleable),
        Ok(insn) => Ok(insn),
        Err(DecodeError::NotHandled) => Err(Stop::Unhandleable),
        Err(DecodeError::Truncated) if code.is_16 && !is_begun_in_any_size(&code) => {
            Err(Stop::Unhandleable)
        }
        Err(DecodeError::Truncated) => Err(Stop::Fault(code.fault)),
    }
}

/// Whether a processor, too, fetches one byte more, whatever size the code has: there are prefixes and at most the beginning
/// of an opcode. Of anything else 16-bit code may be shorter than 32-bit code, as which it was decoded, and all there.
fn is_begun_in_any_size(code: &Code) -> bool {
    let available = code.window.iter().take(usize::from(code.available));
    let mut opcode =
        available.skip_while(|byte| matches!(ONE_BYTE[usize::from(**byte)].shape, Shape::Prefix));
    match (opcode.next(), opcode.next(), opcode.next()) {
        (None, ..) | (Some(0x0F), None, _) => true,
        // The group with RDTSCP.
        (Some(0x0F), Some(0x01), None) => true,
        _ => false,
    }
}

/// Whether an instruction is the same, and does the same, in 16-bit code: those without operands that trap in any code.
const fn is_of_any_size(op: Op) -> bool {
    matches!(op, Op::Cpuid | Op::Rdtsc | Op::Rdtscp)
}
