//! Debug registers of a guest.

use super::control::CR4_DE;
use super::msr::is_canonical;
use crate::speculation::element;
use guest_abi::ids::Vaddr;

/// DR6: reserved bits that read as ones (BLD and RTM included, which nothing sets here).
const DR6_ONES: u64 = 0xFFFF_0FF0;
/// DR6: reserved bits that read as zero.
const DR6_ZEROS: u64 = 1 << 12;
/// DR7: reserved bit that reads as one.
const DR7_ONES: u64 = 1 << 10;
/// DR7: reserved bits that read as zero (RTM included).
const DR7_ZEROS: u64 = (1 << 11) | (1 << 12) | (1 << 14) | (1 << 15);
/// DR7: general detect, which traps accesses to the debug registers.
const DR7_GD: u64 = 1 << 13;
/// DR7: local and global enables of the four breakpoints.
const DR7_ENABLES: u64 = 0xFF;
/// DR7 R/W field: I/O.
const RW_IO: u64 = 2;

/// Why a debug register can't be accessed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DebugError {
    /// There is no such register: `ENODEV`, or #UD for an instruction.
    NoRegister,
    /// A breakpoint address in the hypervisor, or one that no processor has: `EPERM`, or #GP.
    BadAddress,
    /// A bit above 31 in DR6 or DR7: `EINVAL`, or #GP.
    UpperBits,
    /// General detect, or an I/O breakpoint without CR4.DE: `EPERM`, or #GP.
    NotPermitted,
}

/// A virtual processor's debug registers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DebugRegisters {
    addresses: [u64; 4],
    dr6: u64,
    dr7: u64,
}

impl Default for DebugRegisters {
    fn default() -> Self {
        Self {
            addresses: [0; 4],
            dr6: DR6_ONES,
            dr7: DR7_ONES,
        }
    }
}

/// Which register a number means.
enum Register {
    Address(usize),
    Dr6,
    Dr7,
}

impl Register {
    /// DR4 and DR5 are other names of DR6 and DR7, unless debugging extensions are on.
    const fn of(number: u32, cr4: u64) -> Result<Self, DebugError> {
        match number {
            0..=3 => Ok(Self::Address(number as usize)),
            4 if cr4 & CR4_DE == 0 => Ok(Self::Dr6),
            5 if cr4 & CR4_DE == 0 => Ok(Self::Dr7),
            6 => Ok(Self::Dr6),
            7 => Ok(Self::Dr7),
            _ => Err(DebugError::NoRegister),
        }
    }
}

impl DebugRegisters {
    /// Reads register `number` of a guest whose virtual CR4 is `cr4`.
    ///
    /// # Errors
    ///
    /// [`DebugError::NoRegister`].
    pub fn get(&self, number: u32, cr4: u64) -> Result<u64, DebugError> {
        Ok(match Register::of(number, cr4)? {
            Register::Address(index) => element(&self.addresses, index).copied().unwrap_or(0),
            Register::Dr6 => self.dr6,
            Register::Dr7 => self.dr7,
        })
    }

    /// Writes register `number` of a guest whose virtual CR4 is `cr4`.
    ///
    /// # Errors
    ///
    /// The rule that is broken; nothing is changed then.
    pub fn set(&mut self, number: u32, value: u64, cr4: u64) -> Result<(), DebugError> {
        match Register::of(number, cr4)? {
            Register::Address(index) => {
                // The first would stop the hypervisor, the second fault in it.
                if !is_canonical(value)
                    || (Vaddr::HYPERVISOR_START.0..Vaddr::HYPERVISOR_END.0).contains(&value)
                {
                    return Err(DebugError::BadAddress);
                }
                if let Some(address) = self.addresses.get_mut(index) {
                    *address = value;
                }
            }
            Register::Dr6 => self.dr6 = (lower_half(value)? & !DR6_ZEROS) | DR6_ONES,
            Register::Dr7 => {
                let value = (lower_half(value)? & !DR7_ZEROS) | DR7_ONES;
                let has_io =
                    (0..4).any(|index| is_enabled(value, index) && rw(value, index) == RW_IO);
                if value & DR7_GD != 0 || (has_io && cr4 & CR4_DE == 0) {
                    return Err(DebugError::NotPermitted);
                }
                self.dr7 = value;
            }
        }
        Ok(())
    }

    /// Adds what an exception reports to DR6.
    pub fn report(&mut self, dr6_bits: u64) {
        self.dr6 = ((self.dr6 | (dr6_bits & 0xFFFF_FFFF)) & !DR6_ZEROS) | DR6_ONES;
    }

    /// DR0 to DR3.
    #[must_use]
    pub const fn addresses(&self) -> [u64; 4] {
        self.addresses
    }

    /// DR7 for the processor while the guest runs. I/O breakpoints aren't in it: all I/O of a guest is emulated,
    /// and [`Self::io_breakpoints`] says which are hit.
    #[must_use]
    pub fn hardware_dr7(&self) -> u64 {
        (0..4)
            .filter(|index| rw(self.dr7, *index) == RW_IO)
            .fold(self.dr7, |dr7, index| {
                dr7 & !(0b11u64.wrapping_shl(index * 2)) & !(0xFu64.wrapping_shl(16 + index * 4))
            })
    }

    /// Whether any breakpoint is enabled in the processor: otherwise the registers needn't be loaded.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.hardware_dr7() & DR7_ENABLES != 0
    }

    /// DR6 bits of the I/O breakpoints that an access to `bytes` ports from `port` on hits.
    #[must_use]
    pub fn io_breakpoints(&self, port: u16, bytes: u32) -> u64 {
        if self.dr7 & DR7_ENABLES == 0 {
            return 0;
        }
        let first = u64::from(port);
        let end = first.saturating_add(u64::from(bytes));
        let mut hit = 0;
        for (index, address) in (0u32..).zip(self.addresses) {
            if !is_enabled(self.dr7, index) || rw(self.dr7, index) != RW_IO {
                continue;
            }
            // Length 1, 2, 8, 4; the low address bits that the length covers are ignored.
            let length = match self.dr7.wrapping_shr(18 + index * 4) & 3 {
                0 => 1,
                1 => 2,
                2 => 8,
                _ => 4u64,
            };
            let start = address & !(length - 1);
            if start < end && first < start.saturating_add(length) {
                hit |= 1u64.wrapping_shl(index);
            }
        }
        hit
    }
}

const fn lower_half(value: u64) -> Result<u64, DebugError> {
    if value >> 32 != 0 {
        Err(DebugError::UpperBits)
    } else {
        Ok(value)
    }
}

fn is_enabled(dr7: u64, index: u32) -> bool {
    dr7.wrapping_shr(index * 2) & 0b11 != 0
}

/// The R/W field of a breakpoint.
fn rw(dr7: u64, index: u32) -> u64 {
    dr7.wrapping_shr(16 + index * 4) & 3
}
