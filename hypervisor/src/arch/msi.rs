//! Programming message-signalled interrupts: in configuration space, or in a table in a device's memory.

use super::paging;
use super::pci::Pci;
use crate::emulate::insn::Width;
use crate::irq::Mask;
use crate::pci::capability::{MSI_COUNT, MSI_ENABLE, MSIX_ENABLE, MSIX_ENTRY_BYTES, Msi, MsiX};
use crate::pci::{ConfigSpace, Function, Guard};

/// Where processors take messages (Intel SDM volume 3, 11.11.1): the local APIC's number in bits 12 to 19, to it alone.
const ADDRESS: u32 = 0xfee0_0000;
/// Offsets in an entry of an MSI-X table.
const ENTRY_ADDRESS: u64 = 0;
const ENTRY_UPPER: u64 = 4;
const ENTRY_DATA: u64 = 8;
const ENTRY_CONTROL: u64 = 12;
const ENTRY_MASKED: u32 = 1 << 0;

/// The registers of one message.
pub(super) enum Message {
    /// The only message of a function, in configuration space.
    Msi {
        /// Whose.
        function: Function,
        /// Where.
        registers: Msi,
    },
    /// An entry of a function's table.
    MsiX {
        /// Whose.
        function: Function,
        /// Its capability.
        registers: MsiX,
        /// Number of the entry.
        entry: u16,
        /// Where the entry is mapped.
        address: u64,
    },
}

impl Message {
    /// The function that sends it.
    pub(super) const fn function(&self) -> Function {
        match self {
            Self::Msi { function, .. } | Self::MsiX { function, .. } => *function,
        }
    }

    /// The capability that a domain must not write to.
    pub(super) const fn guard(&self) -> Guard {
        match self {
            Self::Msi { registers, .. } => Guard::Msi(*registers),
            Self::MsiX { registers, .. } => Guard::MsiX(*registers),
        }
    }

    /// Writes where it goes. What is the same as before is left alone, so that a move between processors is one write.
    pub(super) fn send_to(&self, apic_id: u32, vector: u8) {
        let (low, data) = (ADDRESS | apic_id << 12, u32::from(vector));
        match self {
            Self::Msi {
                function,
                registers,
            } => {
                let put = |offset, width, value| {
                    if Pci.read(*function, offset, width) != value {
                        Pci.write(*function, offset, width, value);
                    }
                };
                put(registers.data(), Width::Word, data);
                if registers.is_64_bit {
                    put(registers.address() + 4, Width::Dword, 0);
                }
                put(registers.address(), Width::Dword, low);
                // One message, and no more.
                let control = Pci.read(*function, registers.control(), Width::Word);
                put(registers.control(), Width::Word, control & !MSI_COUNT);
            }
            Self::MsiX { .. } => {
                let put = |offset, value| {
                    if self.entry_word(offset) != value {
                        self.set_entry_word(offset, value);
                    }
                };
                put(ENTRY_DATA, data);
                put(ENTRY_UPPER, 0);
                put(ENTRY_ADDRESS, low);
            }
        }
    }

    /// Masks it or lets it through. A message without a mask bit is let through for good: its sender may send it.
    pub(super) fn mask(&self, mask: Mask) {
        match self {
            Self::Msi {
                function,
                registers,
            } => {
                if let Some(offset) = registers.mask() {
                    let bits = u32::from(mask == Mask::Masked);
                    let others = Pci.read(*function, offset, Width::Dword) & !1;
                    Pci.write(*function, offset, Width::Dword, others | bits);
                }
                if mask == Mask::Open {
                    self.enable(registers.control(), MSI_ENABLE);
                }
            }
            Self::MsiX { registers, .. } => {
                let control = self.entry_word(ENTRY_CONTROL) & !ENTRY_MASKED;
                let bit = if mask == Mask::Masked {
                    ENTRY_MASKED
                } else {
                    0
                };
                self.set_entry_word(ENTRY_CONTROL, control | bit);
                // Reading back makes sure that it has arrived.
                let _ = self.entry_word(ENTRY_CONTROL);
                if mask == Mask::Open {
                    self.enable(registers.control(), MSIX_ENABLE);
                }
            }
        }
    }

    /// Keeps its sender from sending it, by its mask or else by turning such messages off.
    pub(super) fn hush(&self) {
        if self.is_maskable() {
            self.mask(Mask::Masked);
        } else {
            self.disable();
        }
    }

    /// Whether its sender has a mask bit for it.
    pub(super) const fn is_maskable(&self) -> bool {
        match self {
            Self::Msi { registers, .. } => registers.is_maskable,
            Self::MsiX { .. } => true,
        }
    }

    fn enable(&self, control: u16, bit: u32) {
        let function = self.function();
        let value = Pci.read(function, control, Width::Word);
        if value & bit == 0 {
            Pci.write(function, control, Width::Word, value | bit);
        }
    }

    /// Keeps the function from sending it.
    pub(super) fn disable(&self) {
        if let Self::Msi {
            function,
            registers,
        } = self
        {
            let control = Pci.read(*function, registers.control(), Width::Word);
            Pci.write(
                *function,
                registers.control(),
                Width::Word,
                control & !MSI_ENABLE,
            );
        }
    }

    fn entry_word(&self, offset: u64) -> u32 {
        match self {
            Self::Msi { .. } => 0,
            // SAFETY: `map_entry` mapped the entry, which is the hypervisor's alone.
            Self::MsiX { address, .. } => unsafe {
                ((address + offset) as *const u32).read_volatile()
            },
        }
    }

    fn set_entry_word(&self, offset: u64, value: u32) {
        if let Self::MsiX { address, .. } = self {
            // SAFETY: as in `entry_word`.
            unsafe { ((address + offset) as *mut u32).write_volatile(value) };
        }
    }
}

/// A table of messages that is mapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Table {
    /// Machine address.
    pub(super) machine: u64,
    /// Where it is mapped.
    pub(super) address: u64,
    /// Entries that are mapped.
    pub(super) entries: u16,
}

impl Table {
    /// Maps the table of `registers` at machine address `machine`. `None` if there is no room.
    ///
    /// # Safety
    /// It is there: a base address register says so, and no memory is at the address.
    pub(super) unsafe fn map(registers: &MsiX, machine: u64) -> Option<Self> {
        let bytes = u64::from(registers.entries) * MSIX_ENTRY_BYTES;
        // SAFETY: caller.
        let address = unsafe { paging::try_map_device(machine, bytes) }?;
        Some(Self {
            machine,
            address,
            entries: registers.entries,
        })
    }

    /// Where entry `entry` is mapped.
    pub(super) const fn entry(&self, entry: u16) -> u64 {
        self.address + entry as u64 * MSIX_ENTRY_BYTES
    }
}
