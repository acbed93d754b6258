//! I/O ports.

use x86_64::instructions::port::Port;

/// Reads a byte from `port`.
///
/// # Safety
/// The caller owns the device behind `port` and knows what the read does to it.
pub(super) unsafe fn read_u8(port: u16) -> u8 {
    // SAFETY: caller.
    unsafe { Port::new(port).read() }
}

/// Writes a byte to `port`.
///
/// # Safety
/// The caller owns the device behind `port` and knows what the write does to it.
pub(super) unsafe fn write_u8(port: u16, value: u8) {
    // SAFETY: caller.
    unsafe { Port::new(port).write(value) };
}

/// Reads a 32-bit word from `port`.
///
/// # Safety
/// As [`read_u8`].
pub(super) unsafe fn read_u32(port: u16) -> u32 {
    // SAFETY: caller.
    unsafe { Port::new(port).read() }
}

/// Writes a 32-bit word to `port`.
///
/// # Safety
/// As [`write_u8`].
pub(super) unsafe fn write_u32(port: u16, value: u32) {
    // SAFETY: caller.
    unsafe { Port::new(port).write(value) };
}

/// Reads a 16-bit word from `port`.
///
/// # Safety
/// As [`read_u8`].
pub(super) unsafe fn read_u16(port: u16) -> u16 {
    // SAFETY: caller.
    unsafe { Port::new(port).read() }
}

/// Writes a 16-bit word to `port`.
///
/// # Safety
/// As [`write_u8`].
pub(super) unsafe fn write_u16(port: u16, value: u16) {
    // SAFETY: caller.
    unsafe { Port::new(port).write(value) };
}
