//! MADT: processors, IO-APICs, and how interrupts are wired (ACPI specification 6.5, 5.2.12).
#![forbid(unsafe_code)]

use super::refusal::Reason;
use super::table::{HEADER_BYTES, TableRef, le_u16, le_u32, le_u64};
use crate::machine::phys::PHYS_END;
use crate::machine::{Bounded, PhysRead};

/// Processors that are kept.
pub const MAX_CPUS: usize = 512;
/// IO-APICs that are kept.
pub const MAX_IO_APICS: usize = 64;
/// Overrides of ISA interrupts that are kept: there are 16 lines, and some firmware repeats itself.
const MAX_OVERRIDES: usize = 32;
/// Interrupts that are wired as NMI and are kept.
const MAX_NMI_SOURCES: usize = 32;
/// The longest entry that is read, bytes; longer ones (of types not used here) are stepped over.
const LONGEST_USED: usize = 16;
/// Where the entries start: header, local APIC address, flags.
const FIRST_ENTRY: u32 = HEADER_BYTES + 8;

/// Polarity of an interrupt line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polarity {
    /// What the bus's specification says; active high on ISA.
    OfBus,
    /// Active high.
    High,
    /// Active low.
    Low,
}

/// When an interrupt line counts as raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TriggerMode {
    /// What the bus's specification says; edge on ISA.
    OfBus,
    /// On the edge.
    Edge,
    /// As long as it is active.
    Level,
}

/// How an interrupt line behaves ("MPS INTI flags").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterruptLine {
    /// Which level is active.
    pub polarity: Polarity,
    /// Edge or level.
    pub trigger: TriggerMode,
}

impl InterruptLine {
    /// A line that behaves as its bus says.
    pub const OF_BUS: Self = Self {
        polarity: Polarity::OfBus,
        trigger: TriggerMode::OfBus,
    };

    /// From the flags of an entry. The reserved value 2 is read as "of the bus", as if nothing were said.
    const fn from_flags(flags: u16) -> Self {
        Self {
            polarity: match flags & 3 {
                1 => Polarity::High,
                3 => Polarity::Low,
                _ => Polarity::OfBus,
            },
            trigger: match (flags >> 2) & 3 {
                1 => TriggerMode::Edge,
                3 => TriggerMode::Level,
                _ => TriggerMode::OfBus,
            },
        }
    }
}

/// A processor that is there or can be plugged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Processor {
    /// Its local APIC's identifier. Above 254 only in x2APIC mode.
    pub apic_id: u32,
    /// Its number in the ACPI namespace.
    pub acpi_id: u32,
    /// Whether it can be started now; if not, firmware can add it later.
    pub is_enabled: bool,
}

/// An IO-APIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoApic {
    /// Its identifier.
    pub id: u8,
    /// Physical address of its registers.
    pub address: u32,
    /// The global system interrupt of its pin 0.
    pub gsi_base: u32,
}

/// An ISA interrupt that does not arrive where its number says, or behaves differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IsaOverride {
    /// The ISA line, 0 to 15.
    pub irq: u8,
    /// The global system interrupt at which it arrives.
    pub gsi: u32,
    /// How it behaves.
    pub line: InterruptLine,
}

/// A global system interrupt that is wired as NMI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NmiSource {
    /// The interrupt.
    pub gsi: u32,
    /// How it behaves.
    pub line: InterruptLine,
}

/// Whose local APIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalNmiTarget {
    /// Every processor's.
    All,
    /// That of the processor with this number in the ACPI namespace.
    One(u32),
}

/// A local interrupt pin that is wired as NMI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalNmi {
    /// On which processors.
    pub target: LocalNmiTarget,
    /// The pin: LINT0 or LINT1.
    pub lint: u8,
    /// How it behaves.
    pub line: InterruptLine,
}

/// The table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Madt {
    /// Physical address of the local APICs' registers.
    pub local_apic_address: u64,
    /// Whether there are also two 8259 interrupt controllers, which must be masked.
    pub has_8259: bool,
    /// Processors in firmware's order, each APIC identifier once.
    pub processors: Bounded<Processor, MAX_CPUS>,
    /// Entries for processors that are neither there nor can be added, or that repeat an APIC identifier.
    pub unusable_processors: u32,
    /// IO-APICs in firmware's order.
    pub io_apics: Bounded<IoApic, MAX_IO_APICS>,
    /// ISA interrupts that are not wired one to one.
    pub isa_overrides: Bounded<IsaOverride, MAX_OVERRIDES>,
    /// IO-APIC pins that are NMIs.
    pub nmi_sources: Bounded<NmiSource, MAX_NMI_SOURCES>,
    /// Local APIC pins that are NMIs. Some firmware lists them for each processor.
    pub local_nmis: Bounded<LocalNmi, MAX_CPUS>,
}

impl Default for Madt {
    fn default() -> Self {
        Self::new()
    }
}

impl Madt {
    /// No processors and no interrupts.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            local_apic_address: 0,
            has_8259: false,
            processors: Bounded::new(),
            unusable_processors: 0,
            io_apics: Bounded::new(),
            isa_overrides: Bounded::new(),
            nmi_sources: Bounded::new(),
            local_nmis: Bounded::new(),
        }
    }

    /// Where the ISA interrupt `irq` arrives and how it behaves: by its last override, else one to one.
    #[must_use]
    pub fn isa_interrupt(&self, irq: u8) -> (u32, InterruptLine) {
        let wired = self
            .isa_overrides
            .iter()
            .rev()
            .find(|entry| entry.irq == irq);
        wired.map_or((irq.into(), InterruptLine::OF_BUS), |entry| {
            (entry.gsi, entry.line)
        })
    }

    /// Number of processors that can be started now.
    #[must_use]
    pub fn enabled_processors(&self) -> usize {
        self.processors
            .iter()
            .filter(|processor| processor.is_enabled)
            .count()
    }

    /// Reads all entries of `table` into `self`, which is new.
    pub(super) fn read(&mut self, memory: &impl PhysRead, table: &TableRef) -> Result<(), Reason> {
        let fixed: [u8; FIRST_ENTRY as usize] = table.bytes(memory, 0)?;
        self.local_apic_address = le_u32(&fixed, 36).unwrap_or(0).into();
        self.has_8259 = le_u32(&fixed, 40).unwrap_or(0) & 1 != 0;
        let mut offset = FIRST_ENTRY;
        while offset < table.length {
            offset += self.read_entry(memory, table, offset)?;
        }
        const ALIGNMENT: u64 = 4096;
        let address = self.local_apic_address;
        if address == 0 || address >= PHYS_END || !address.is_multiple_of(ALIGNMENT) {
            return Err(Reason::DeviceAddress {
                address,
                alignment: ALIGNMENT,
            });
        }
        Ok(())
    }

    /// Reads the entry at `offset`; its length, which is at least 2.
    fn read_entry(
        &mut self,
        memory: &impl PhysRead,
        table: &TableRef,
        offset: u32,
    ) -> Result<u32, Reason> {
        let left = table.length - offset;
        let broken = |kind, length: u8, minimum| {
            Err(Reason::EntryLength {
                offset,
                kind,
                length: length.into(),
                minimum,
                left,
            })
        };
        if left < 2 {
            return broken(0, left as u8, 2);
        }
        let [kind, length]: [u8; 2] = table.bytes(memory, offset)?;
        let minimum = minimum_length(kind);
        if u32::from(length) < minimum || u32::from(length) > left {
            return broken(kind, length, minimum);
        }
        let mut entry = [0; LONGEST_USED];
        let used = &mut entry[..usize::from(length).min(LONGEST_USED)];
        let at = table.address + u64::from(offset);
        memory
            .read(at, used)
            .map_err(|_| Reason::Unreadable { at })?;
        self.take(kind, &entry)?;
        Ok(length.into())
    }

    /// Keeps what one entry says. `entry` is as long as its type needs, and zero after its end.
    fn take(&mut self, kind: u8, entry: &[u8; LONGEST_USED]) -> Result<(), Reason> {
        let u16_at = |offset| le_u16(entry, offset).unwrap_or(0);
        let u32_at = |offset| le_u32(entry, offset).unwrap_or(0);
        match kind {
            LOCAL_APIC if entry[3] == 0xff => self.unusable_processors += 1,
            LOCAL_APIC => self.add_processor(entry[3].into(), entry[2].into(), u32_at(4)),
            LOCAL_X2APIC if u32_at(4) == u32::MAX => self.unusable_processors += 1,
            LOCAL_X2APIC => self.add_processor(u32_at(4), u32_at(12), u32_at(8)),
            IO_APIC => {
                let io_apic = IoApic {
                    id: entry[2],
                    address: u32_at(4),
                    gsi_base: u32_at(8),
                };
                if io_apic.address == 0 || !io_apic.address.is_multiple_of(16) {
                    return Err(Reason::DeviceAddress {
                        address: io_apic.address.into(),
                        alignment: 16,
                    });
                }
                self.io_apics.push(io_apic);
            }
            // Bus 0 is ISA; there is no other.
            SOURCE_OVERRIDE if entry[2] == 0 => {
                let irq = entry[3];
                if irq > 15 {
                    return Err(Reason::IsaLine { line: irq });
                }
                let line = InterruptLine::from_flags(u16_at(8));
                self.isa_overrides.push(IsaOverride {
                    irq,
                    gsi: u32_at(4),
                    line,
                });
            }
            NMI_SOURCE => {
                let line = InterruptLine::from_flags(u16_at(2));
                self.nmi_sources.push(NmiSource {
                    gsi: u32_at(4),
                    line,
                });
            }
            LOCAL_NMI => {
                let target = if entry[2] == 0xff {
                    LocalNmiTarget::All
                } else {
                    LocalNmiTarget::One(entry[2].into())
                };
                // The flags of this entry are not aligned.
                let line = InterruptLine::from_flags(u16_at(3));
                self.local_nmis.push(LocalNmi {
                    target,
                    lint: entry[5],
                    line,
                });
            }
            LOCAL_X2APIC_NMI => {
                let id = u32_at(4);
                let target = if id == u32::MAX {
                    LocalNmiTarget::All
                } else {
                    LocalNmiTarget::One(id)
                };
                let line = InterruptLine::from_flags(u16_at(2));
                self.local_nmis.push(LocalNmi {
                    target,
                    lint: entry[8],
                    line,
                });
            }
            LOCAL_APIC_ADDRESS => self.local_apic_address = le_u64(entry, 4).unwrap_or(0),
            _ => {}
        }
        Ok(())
    }

    /// Adds a processor, unless it is disabled for good or known: firmware may list a processor both as
    /// a local APIC and as a local x2APIC.
    fn add_processor(&mut self, apic_id: u32, acpi_id: u32, flags: u32) {
        const ENABLED: u32 = 1 << 0;
        const ONLINE_CAPABLE: u32 = 1 << 1;
        let is_usable = flags & (ENABLED | ONLINE_CAPABLE) != 0;
        if !is_usable || self.processors.iter().any(|known| known.apic_id == apic_id) {
            self.unusable_processors += 1;
            return;
        }
        self.processors.push(Processor {
            apic_id,
            acpi_id,
            is_enabled: flags & ENABLED != 0,
        });
    }
}

const LOCAL_APIC: u8 = 0;
const IO_APIC: u8 = 1;
const SOURCE_OVERRIDE: u8 = 2;
const NMI_SOURCE: u8 = 3;
const LOCAL_NMI: u8 = 4;
const LOCAL_APIC_ADDRESS: u8 = 5;
const LOCAL_X2APIC: u8 = 9;
const LOCAL_X2APIC_NMI: u8 = 10;

/// Bytes that an entry of this type has at least.
const fn minimum_length(kind: u8) -> u32 {
    match kind {
        LOCAL_APIC | NMI_SOURCE => 8,
        IO_APIC | LOCAL_APIC_ADDRESS | LOCAL_X2APIC_NMI => 12,
        SOURCE_OVERRIDE => 10,
        LOCAL_NMI => 6,
        LOCAL_X2APIC => 16,
        _ => 2,
    }
}
