//! PCI configuration space: which function, which register, and how it is reached.
//!
//! Devices and their drivers are the first domain's. The hypervisor reads and writes configuration space for two
//! reasons: the domain's accesses by ports are done on its behalf, and message-signalled interrupts are programmed
//! here, because a message that a domain writes by mistake would be an interrupt of any vector on any processor. It is no
//! boundary: whoever drives a device can have it write any message, and can reach configuration space by memory.
#![forbid(unsafe_code)]

pub mod capability;
mod devices;
mod guard;
mod mechanism;

pub use devices::Devices;
pub use guard::Guard;
pub use mechanism::{Mechanism, port_address};

use crate::emulate::insn::Width;
use core::fmt;

/// Bytes of configuration space that port accesses reach.
pub const PORT_SPACE: u16 = 256;
/// Bytes of the configuration space of one function.
pub const SPACE: u16 = 4096;

/// One function of a device.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Function {
    /// Segment group.
    pub segment: u16,
    /// Bus.
    pub bus: u8,
    /// Device in bits 3 to 7, function in bits 0 to 2.
    pub devfn: u8,
}

impl Function {
    /// Device on the bus.
    #[must_use]
    pub const fn device(self) -> u8 {
        self.devfn >> 3
    }

    /// Function of the device.
    #[must_use]
    pub const fn function(self) -> u8 {
        self.devfn & 7
    }
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:04x}:{:02x}:{:02x}.{}",
            self.segment,
            self.bus,
            self.device(),
            self.function()
        )
    }
}

/// Configuration space of the machine.
///
/// An offset is a multiple of the width. What does not exist reads as ones and swallows writes, as on the bus.
pub trait ConfigSpace {
    /// Reads a register; bits above the width are 0.
    fn read(&self, at: Function, offset: u16, width: Width) -> u32;
    /// Writes a register.
    fn write(&self, at: Function, offset: u16, width: Width, value: u32);
}
