//! Forced emulation: `UD2`, the letters `xen`, and `CPUID`.
//!
//! `CPUID` doesn't trap. A kernel that knows that it is paravirtualized marks the `CPUID`s that it wants answered
//! by the hypervisor, and does so before it has a trap table. User space may do the same. Nothing but plain
//! `CPUID` may follow the mark.

use super::execute;
use super::fetch;
use super::insn::CodeSize;
use super::machine::{InsnMachine, Outcome, Stop};
use super::memory_op;
use crate::cpu_policy::cpuid::CpuidOrigin;
use guest_abi::hypervisor_cpuid::emulate_prefix;

/// The mark and `CPUID`.
const FORCED_CPUID: [u8; 7] = {
    let [a, b, c, d, e] = emulate_prefix();
    [a, b, c, d, e, 0x0F, 0xA2]
};

/// Bits of a window above the mark and `CPUID`.
const PAST_FORCED: u32 = 128 - 8 * FORCED_CPUID.len() as u32;
/// The mark and `CPUID` as a window begins with them, the rest shifted out.
const FORCED_BITS: u128 = {
    let [a, b, c, d, e, f, g] = FORCED_CPUID;
    u128::from_le_bytes([a, b, c, d, e, f, g, 0, 0, 0, 0, 0, 0, 0, 0, 0]) << PAST_FORCED
};

/// Emulates a marked `CPUID` at RIP, which raised #UD. [`Outcome::NotHandled`] if it isn't one.
///
/// If the page ends in the middle of what looks like a mark, and the next one can't be read, the outcome is the
/// page fault: the guest's handler brings the page, and we look again.
pub fn emulate<M: InsnMachine>(machine: &mut M) -> Outcome {
    let size = match recognise(machine) {
        Ok(size) => size,
        Err(stop) => return Outcome::of(Err(stop)),
    };
    let stepping = execute::single_step(machine);
    let result = execute::cpuid(machine, CpuidOrigin::Forced).map(|()| {
        let rflags = machine.rflags();
        memory_op::complete(machine, size, FORCED_CPUID.len() as u8, rflags);
        stepping
    });
    Outcome::of(result)
}

fn recognise<M: InsnMachine>(machine: &mut M) -> Result<CodeSize, Stop> {
    let code = fetch::code(machine)?;
    if u128::from_le_bytes(code.window) << PAST_FORCED == FORCED_BITS {
        // What was not there is zero, and the last byte is not.
        return Ok(code.size);
    }
    let available = usize::from(code.available);
    let is_match = code
        .window
        .iter()
        .zip(FORCED_CPUID)
        .take(available)
        .all(|(byte, expected)| *byte == expected);
    match (is_match, available >= FORCED_CPUID.len()) {
        (false, _) => Err(Stop::Unhandleable),
        (true, false) => Err(Stop::Fault(code.fault)),
        (true, true) => Ok(code.size),
    }
}
