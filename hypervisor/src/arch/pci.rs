//! PCI configuration space by ports 0xCF8 and 0xCFC, and by memory where ACPI's MCFG says so.
//!
//! One lock keeps the two steps of a port access together, whoever makes it: the hypervisor, or the first domain, whose
//! accesses to these ports are done here. It is a leaf.

use super::boot::is_memory;
use super::{msi_map, paging, port};
use crate::emulate::insn::Width;
use crate::lock::IrqLock;
use crate::machine::acpi::{MAX_ECAM_REGIONS, Mcfg, McfgRegion};
use crate::pci::{ConfigSpace, Function, Mechanism};
use arrayvec::ArrayVec;
use spin::Once;

const ADDRESS: u16 = 0xcf8;
const DATA: u16 = 0xcfc;
/// Bit 31 of the address: the access is one to configuration space.
const ENABLED: u32 = 1 << 31;

/// Held over each access by ports.
static PORTS: IrqLock<()> = IrqLock::new(());

/// A region that is mapped.
struct Region {
    description: McfgRegion,
    /// Where its first bus is.
    address: u64,
}

static REGIONS: Once<ArrayVec<Region, MAX_ECAM_REGIONS>> = Once::new();

/// Maps the regions of the MCFG that no memory is in.
pub(super) fn start(mcfg: Option<&Mcfg>) {
    REGIONS.call_once(|| {
        let mut regions = ArrayVec::new();
        for &description in mcfg.into_iter().flat_map(|mcfg| mcfg.iter()) {
            let range = description.range();
            if is_memory(&range) {
                log::warn!("PCI: the MCFG names {range}, which is memory; it is not used");
                continue;
            }
            // SAFETY: ACPI says that configuration space is there, and it is not memory; PORTS does not guard it, for
            // each access is one instruction.
            let address = unsafe { paging::map_device(range.start, range.end - range.start) };
            let region = Region {
                description,
                address,
            };
            if regions.try_push(region).is_err() {
                break;
            }
        }
        regions
    });
    let memory = REGIONS.get().map_or(0, ArrayVec::len);
    log::info!(
        "PCI: {} devices on the first bus; configuration space by ports{}",
        (0..32).filter(|&device| is_there(device)).count(),
        match memory {
            0 => "",
            _ => " and by memory",
        }
    );
}

/// Whether there is a device of this number on the first bus.
fn is_there(device: u8) -> bool {
    let at = Function {
        segment: 0,
        bus: 0,
        devfn: device << 3,
    };
    Pci.read(at, 0, Width::Word) != u32::from(u16::MAX)
}

/// Machine address of the region of the MCFG for these buses, first and last, where bus 0 is or would be.
pub(crate) fn memory_space(segment: u16, buses: (u8, u8)) -> Option<u64> {
    let regions = REGIONS.get()?;
    regions
        .iter()
        .map(|region| &region.description)
        .find(|known| known.segment == segment && (known.first_bus, known.last_bus) == buses)
        .map(|known| known.base)
}

/// Configuration space of this machine.
pub(crate) struct Pci;

impl Pci {
    /// Where the register is in memory, or how ports reach it.
    fn way(at: Function, offset: u16, width: Width) -> Option<(Mechanism, u64)> {
        let regions = REGIONS.get().map_or(&[][..], |regions| regions.as_slice());
        let descriptions = regions.iter().map(|region| &region.description);
        let way = Mechanism::of(at, offset, width, descriptions)?;
        let address = match way {
            Mechanism::Ports { .. } => 0,
            Mechanism::Memory { region, offset } => regions.get(region)?.address + offset,
        };
        Some((way, address))
    }
}

impl ConfigSpace for Pci {
    fn read(&self, at: Function, offset: u16, width: Width) -> u32 {
        match Self::way(at, offset, width) {
            Some((Mechanism::Ports { address, byte }, _)) => read_ports(address, byte, width),
            // SAFETY: in a region mapped by `start` (`Mechanism::of`), aligned.
            Some((Mechanism::Memory { .. }, address)) => unsafe {
                match width {
                    Width::Byte => u32::from((address as *const u8).read_volatile()),
                    Width::Word => u32::from((address as *const u16).read_volatile()),
                    _ => (address as *const u32).read_volatile(),
                }
            },
            None => width.mask() as u32,
        }
    }

    fn write(&self, at: Function, offset: u16, width: Width, value: u32) {
        match Self::way(at, offset, width) {
            Some((Mechanism::Ports { address, byte }, _)) => {
                write_ports(address, byte, width, value);
            }
            // SAFETY: as in `read`; the caller knows what the register does.
            Some((Mechanism::Memory { .. }, address)) => unsafe {
                match width {
                    Width::Byte => (address as *mut u8).write_volatile(value as u8),
                    Width::Word => (address as *mut u16).write_volatile(value as u16),
                    _ => (address as *mut u32).write_volatile(value),
                }
            },
            None => {}
        }
    }
}

/// What ports 0xCFC + `byte` read when 0xCF8 holds `address`. The access stays within the four ports.
fn read_ports(address: u32, byte: u16, width: Width) -> u32 {
    let _ports = PORTS.lock();
    // SAFETY: the ports of PCI, which the lock keeps together; reading configuration space has no side effects that
    // are the hypervisor's business.
    unsafe {
        port::write_u32(ADDRESS, address);
        match width {
            Width::Byte => u32::from(port::read_u8(DATA + byte)),
            Width::Word => u32::from(port::read_u16(DATA + byte)),
            _ => port::read_u32(DATA + byte),
        }
    }
}

/// Writes `value` to ports 0xCFC + `byte` when 0xCF8 holds `address`. The access stays within the four ports.
fn write_ports(address: u32, byte: u16, width: Width, value: u32) {
    let _ports = PORTS.lock();
    // SAFETY: as in `read_ports`; who calls may write to this register.
    unsafe {
        port::write_u32(ADDRESS, address);
        match width {
            Width::Byte => port::write_u8(DATA + byte, value as u8),
            Width::Word => port::write_u16(DATA + byte, value as u16),
            _ => port::write_u32(DATA + byte, value),
        }
    }
}

/// What a read of ports 0xCFC + `byte` gives the domain whose 0xCF8 holds `address`.
pub(crate) fn guest_read(address: u32, byte: u16, width: Width) -> u32 {
    read_ports(address, byte, width)
}

/// A domain, whose 0xCF8 holds `address`, writes `value` to ports 0xCFC + `byte`.
pub(crate) fn guest_write(address: u32, byte: u16, width: Width, value: u32) {
    if address & ENABLED == 0 {
        // Not an access to configuration space.
        return;
    }
    let function = Function {
        segment: 0,
        bus: (address >> 16) as u8,
        devfn: (address >> 8) as u8,
    };
    let offset = (address & 0xfc) as u16 + byte;
    if let Some(value) = msi_map::filter_write(function, offset, width, value) {
        write_ports(address, byte, width, value);
    }
}
