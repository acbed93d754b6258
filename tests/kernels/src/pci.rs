//! PCI devices of the machine, on its first bus.

use crate::memory::{self, CACHE_DISABLE, KERNEL_RW, SPARE, Tables, entry};
use crate::port;
use core::sync::atomic::{AtomicU32, Ordering};
use guest_abi::ids::Mfn;

const ADDRESS: u16 = 0xcf8;
const DATA: u16 = 0xcfc;

/// A device's first function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Device {
    pub(crate) slot: u8,
}

impl Device {
    /// The device with this vendor and device number; skips the case if there is none.
    pub(crate) fn find(vendor: u16, device: u16) -> Self {
        port::init();
        let wanted = u32::from(device) << 16 | u32::from(vendor);
        let found = (0..32)
            .map(|slot| Self { slot })
            .find(|device| device.read(0) == wanted);
        match found {
            Some(device) => device,
            None => crate::verdict::skip!("no device {vendor:04x}:{device:04x} in this machine"),
        }
    }

    pub(crate) fn devfn(self) -> u8 {
        self.slot << 3
    }

    fn select(self, offset: u8) {
        let address = 1 << 31 | u32::from(self.devfn()) << 8 | u32::from(offset & 0xfc);
        port::write_u32(ADDRESS, address);
    }

    pub(crate) fn read(self, offset: u8) -> u32 {
        self.select(offset);
        port::read_u32(DATA)
    }

    pub(crate) fn read_u16(self, offset: u8) -> u16 {
        self.select(offset);
        port::read_u16(DATA + u16::from(offset & 2))
    }

    pub(crate) fn write(self, offset: u8, value: u32) {
        self.select(offset);
        port::write_u32(DATA, value);
    }

    pub(crate) fn write_u16(self, offset: u8, value: u16) {
        self.select(offset);
        port::write_u16(DATA + u16::from(offset & 2), value);
    }

    /// Lets it decode memory and send messages.
    pub(crate) fn enable(self) {
        self.write_u16(4, self.read_u16(4) | 1 << 1 | 1 << 2);
    }

    /// Machine address of one of its regions.
    pub(crate) fn region(self, index: u8) -> u64 {
        let low = self.read(0x10 + 4 * index);
        let high = match low >> 1 & 3 {
            2 => self.read(0x14 + 4 * index),
            _ => 0,
        };
        u64::from(high) << 32 | u64::from(low & !0xf)
    }

    /// Where it has the capability with this number.
    pub(crate) fn capability(self, number: u8) -> Option<u8> {
        let mut offset = self.read(0x34) as u8;
        while offset != 0 {
            let [id, next, ..] = self.read(offset).to_le_bytes();
            if id == number {
                return Some(offset);
            }
            offset = next;
        }
        None
    }

    /// The global system interrupt of its pin A, as QEMU's Q35 board wires slots below 25.
    pub(crate) fn gsi(self) -> u32 {
        assert!(self.slot < 25);
        20 + u32::from(self.slot % 4)
    }
}

/// Registers of a device, mapped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Registers {
    address: u64,
}

/// Pages that are mapped.
static MAPPED: AtomicU32 = AtomicU32::new(0);

impl Registers {
    /// Maps `pages` pages from machine address `address` on. The first call makes page tables for all.
    pub(crate) fn map(tables: &Tables, address: u64, pages: u32) -> Self {
        let first = MAPPED.fetch_add(pages, Ordering::Relaxed);
        for page in 0..pages {
            let mfn = Mfn::of_address(address + u64::from(page) * 4096);
            let slot = tables.l1.word_address((first + page) as usize);
            let outcome = memory::set_entry(slot, entry(mfn, KERNEL_RW | CACHE_DISABLE));
            assert_eq!(outcome, Ok(0), "registers at {address:#x}");
        }
        Self {
            address: SPARE.0 + u64::from(first) * 4096 + address % 4096,
        }
    }

    fn register(self, offset: u64) -> *mut u32 {
        (self.address + offset) as *mut u32
    }

    pub(crate) fn read(self, offset: u64) -> u32 {
        // SAFETY: a volatile access to a device's registers; a fault is reported.
        unsafe { self.register(offset).read_volatile() }
    }

    pub(crate) fn write(self, offset: u64, value: u32) {
        // SAFETY: as above.
        unsafe { self.register(offset).write_volatile(value) }
    }
}
