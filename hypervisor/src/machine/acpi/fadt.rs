//! FADT: the fixed hardware of ACPI (ACPI specification 6.5, 5.2.9).
#![forbid(unsafe_code)]

use super::refusal::Reason;
use super::table::{TableRef, le_u16, le_u32, le_u64};
use crate::machine::PhysRead;
use bitflags::bitflags;

/// Bytes of the table of ACPI 1.0, the shortest.
const MIN_BYTES: u32 = 116;
/// Bytes up to the last field that is used; shorter tables lack the later fields, which then read as 0.
const USED_BYTES: usize = 268;

bitflags! {
    /// `IAPC_BOOT_ARCH`: legacy hardware.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct BootArchitecture: u16 {
        /// There are devices on the ISA bus.
        const LEGACY_DEVICES = 1 << 0;
        /// There is a keyboard controller at ports 0x60 and 0x64.
        const KEYBOARD_CONTROLLER = 1 << 1;
        /// VGA must not be probed.
        const VGA_NOT_PRESENT = 1 << 2;
        /// Message-signalled interrupts must not be used.
        const MSI_NOT_SUPPORTED = 1 << 3;
        /// PCI Express power management must not be used.
        const NO_ASPM = 1 << 4;
        /// There is no CMOS clock.
        const CMOS_RTC_NOT_PRESENT = 1 << 5;
        const _ = !0;
    }
}

bitflags! {
    /// `Flags`: fixed features. Only those that matter here have names.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct FixedFeatures: u32 {
        /// The power management timer has 32 bits, not 24.
        const PM_TIMER_32_BIT = 1 << 8;
        /// The reset register works.
        const RESET_REGISTER = 1 << 10;
        /// Logical APIC destinations must be in cluster mode.
        const FORCE_APIC_CLUSTER = 1 << 18;
        /// APIC destinations must be physical.
        const FORCE_APIC_PHYSICAL = 1 << 19;
        /// There is no fixed hardware: PM registers are not there.
        const HW_REDUCED = 1 << 20;
        const _ = !0;
    }
}

/// The address space of a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressSpace {
    /// Physical memory.
    Memory,
    /// I/O ports.
    Io,
    /// PCI configuration space: device, function and offset on bus 0.
    PciConfig,
    /// Any other number.
    Other(u8),
}

/// A register's place ("generic address structure", ACPI specification 6.5, 5.2.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Register {
    /// Where `address` counts.
    pub space: AddressSpace,
    /// Width in bits.
    pub bit_width: u8,
    /// First bit within the address.
    pub bit_offset: u8,
    /// Bytes of one access, as a power of two plus 1; 0 where firmware does not say.
    pub access_size: u8,
    /// Address in its space; not 0.
    pub address: u64,
}

impl Register {
    /// The port number, if the register is an I/O port.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        (self.space == AddressSpace::Io)
            .then(|| u16::try_from(self.address).ok())
            .flatten()
    }

    /// The register that the 12 bytes at `offset` describe; `None` if its address is 0.
    fn generic(bytes: &[u8], offset: usize) -> Option<Self> {
        let &[space, bit_width, bit_offset, access_size, ..] =
            bytes.get(offset..)?.first_chunk::<12>()?;
        let space = match space {
            0 => AddressSpace::Memory,
            1 => AddressSpace::Io,
            2 => AddressSpace::PciConfig,
            other => AddressSpace::Other(other),
        };
        let address = le_u64(bytes, offset + 4)?;
        (address != 0).then_some(Self {
            space,
            bit_width,
            bit_offset,
            access_size,
            address,
        })
    }

    /// A block of `width` bytes of I/O ports whose 32-bit address is at `offset`.
    fn ports(bytes: &[u8], offset: usize, width: u8) -> Option<Self> {
        let address = u64::from(le_u32(bytes, offset)?);
        let bit_width = width.saturating_mul(8);
        (address != 0).then_some(Self {
            space: AddressSpace::Io,
            bit_width,
            bit_offset: 0,
            access_size: 0,
            address,
        })
    }
}

/// The power management timer: 3.579545 MHz, counting up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PmTimer {
    /// Where it is read, 32 bits at a time.
    pub register: Register,
    /// Bits that count: 24 or 32.
    pub bits: u8,
}

/// The fixed hardware.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fadt {
    /// Revision of the table.
    pub revision: u8,
    /// Interrupt of the embedded controller and power management events: an ISA line or, with IO-APICs
    /// only, a global system interrupt.
    pub sci: u16,
    /// Port to which commands to firmware are written; 0 if there is none.
    pub smi_command_port: u32,
    /// Value for that port that turns ACPI on.
    pub acpi_enable: u8,
    /// Value for that port that turns ACPI off.
    pub acpi_disable: u8,
    /// Index of the century in CMOS; 0 if there is none.
    pub century: u8,
    /// Legacy hardware. In ACPI 1.0, which does not say, as on a PC of that time.
    pub boot_architecture: BootArchitecture,
    /// Fixed features.
    pub features: FixedFeatures,
    /// The power management timer.
    pub pm_timer: Option<PmTimer>,
    /// Events, block a.
    pub pm1a_event: Option<Register>,
    /// Events, block b.
    pub pm1b_event: Option<Register>,
    /// Control (sleep types are written here), block a.
    pub pm1a_control: Option<Register>,
    /// Control, block b.
    pub pm1b_control: Option<Register>,
    /// Control of sleep on hardware-reduced machines.
    pub sleep_control: Option<Register>,
    /// Status of sleep on hardware-reduced machines.
    pub sleep_status: Option<Register>,
    /// Where, and what, to write to reset the machine.
    pub reset: Option<(Register, u8)>,
    /// Physical address of the FACS; `None` if there is none.
    pub facs: Option<u64>,
    /// Physical address of the DSDT; `None` if there is none.
    pub dsdt: Option<u64>,
}

impl Fadt {
    pub(super) fn read(memory: &impl PhysRead, table: &TableRef) -> Result<Self, Reason> {
        if table.length < MIN_BYTES {
            return Err(Reason::TooShort {
                length: table.length,
                minimum: MIN_BYTES,
            });
        }
        let mut bytes = [0; USED_BYTES];
        let present = (table.length as usize).min(USED_BYTES);
        let unreadable = |_| Reason::Unreadable { at: table.address };
        memory
            .read(table.address, &mut bytes[..present])
            .map_err(unreadable)?;
        Ok(Self::from_bytes(&bytes, table.revision))
    }

    fn from_bytes(bytes: &[u8; USED_BYTES], revision: u8) -> Self {
        let u32_at = |offset| le_u32(bytes, offset).unwrap_or(0);
        let boot_architecture = if revision < 2 {
            BootArchitecture::LEGACY_DEVICES | BootArchitecture::KEYBOARD_CONTROLLER
        } else {
            BootArchitecture::from_bits_retain(le_u16(bytes, 109).unwrap_or(0))
        };
        let features = FixedFeatures::from_bits_retain(u32_at(112));
        // The 64-bit field counts where it is there and not 0; the 32-bit one is the fallback.
        let pointer = |wide, narrow| {
            let wide = le_u64(bytes, wide).unwrap_or(0);
            let address = if wide != 0 {
                wide
            } else {
                u64::from(u32_at(narrow))
            };
            (address != 0).then_some(address)
        };
        let has_fixed_hardware = !features.contains(FixedFeatures::HW_REDUCED);
        let fixed = |wide, narrow, width| {
            let register =
                Register::generic(bytes, wide).or_else(|| Register::ports(bytes, narrow, width));
            register.filter(|_| has_fixed_hardware)
        };
        let bits = if features.contains(FixedFeatures::PM_TIMER_32_BIT) {
            32
        } else {
            24
        };
        let reset = Register::generic(bytes, 116)
            .filter(|_| features.contains(FixedFeatures::RESET_REGISTER));
        Self {
            revision,
            sci: le_u16(bytes, 46).unwrap_or(0),
            smi_command_port: u32_at(48),
            acpi_enable: bytes[52],
            acpi_disable: bytes[53],
            century: bytes[108],
            boot_architecture,
            features,
            pm_timer: fixed(208, 76, bytes[91]).map(|register| PmTimer { register, bits }),
            pm1a_event: fixed(148, 56, bytes[88]),
            pm1b_event: fixed(160, 60, bytes[88]),
            pm1a_control: fixed(172, 64, bytes[89]),
            pm1b_control: fixed(184, 68, bytes[89]),
            sleep_control: Register::generic(bytes, 244),
            sleep_status: Register::generic(bytes, 256),
            reset: reset.map(|register| (register, bytes[128])),
            facs: pointer(132, 36),
            dsdt: pointer(140, 40),
        }
    }
}
