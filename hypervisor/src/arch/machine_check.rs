//! What a machine check says about itself (Intel SDM, volume 3, 16.3).

use super::msr;
use crate::console;

const MCG_CAP: u32 = 0x179;
const MCG_STATUS: u32 = 0x17a;
/// Status of the first bank; its address and miscellany follow, and the next bank is four registers on.
const BANK_STATUS: u32 = 0x401;
/// Banks whose registers have numbers of this row.
const MAX_BANKS: u32 = 32;

/// In a bank's status: something is recorded.
const VALID: u64 = 1 << 63;
const HAS_MISC: u64 = 1 << 59;
const HAS_ADDRESS: u64 = 1 << 58;
/// CPUID leaf 1, EDX: there are these registers.
const MCA: u32 = 1 << 14;

/// Prints what this processor's banks have recorded.
pub(super) fn print() {
    if msr::cpuid(1, 0).edx & MCA == 0 {
        return;
    }
    // SAFETY: the registers are there (MCA).
    let (status, banks) = unsafe { (msr::read(MCG_STATUS), msr::read(MCG_CAP) as u32 & 0xff) };
    console::line(format_args!("MCG_STATUS {status:016x}, {banks} banks"));
    let mut is_silent = true;
    for bank in 0..banks.min(MAX_BANKS) {
        let first = BANK_STATUS + 4 * bank;
        // SAFETY: the processor has this bank.
        let status = unsafe { msr::read(first) };
        if status & VALID == 0 {
            continue;
        }
        is_silent = false;
        let register = |is_there: u64, index: u32| {
            // SAFETY: an address and a miscellany are there if the status says so.
            (status & is_there != 0).then(|| unsafe { msr::read(index) })
        };
        let (address, misc) = (
            register(HAS_ADDRESS, first + 1),
            register(HAS_MISC, first + 2),
        );
        console::line(format_args!(
            "bank {bank}: STATUS {status:016x}  ADDR {}  MISC {}",
            Recorded(address),
            Recorded(misc)
        ));
    }
    if is_silent {
        console::line(format_args!(
            "no bank of this processor has recorded anything"
        ));
    }
}

/// A register that holds something, or not.
struct Recorded(Option<u64>);

impl core::fmt::Display for Recorded {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.0 {
            Some(value) => write!(f, "{value:016x}"),
            None => f.write_str("none"),
        }
    }
}
