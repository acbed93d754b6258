//! The serial line: a 16550 at I/O ports. Sending waits for the device; what is received waits in a small
//! ring until it is taken, by an interrupt if the line has one, else by looking at it from time to time.

use crate::console::Sink;
use crate::console::input::InputRing;
use crate::lock::IrqLock;
use crate::options::{Baud, Com1, Parity};
use crate::sync::rank;
use core::sync::atomic::{AtomicU16, Ordering};
use uart_16550::backend::PioBackend;
use uart_16550::spec::registers::{self, WordLength};
use uart_16550::{BaudRate, Config, Uart16550};

/// How often the transmitter is asked before a byte is given up: a line that nobody drains must not stop
/// the machine. Ten times what 300 baud needs for a byte at 1 µs a question. Those that follow are tried once each, until
/// one is taken again.
const PATIENCE: u32 = 400_000;

/// First I/O port of the console's line, 0 while there is none.
static PORT: AtomicU16 = AtomicU16::new(0);

/// Whether there is a console's line.
pub(super) fn is_started() -> bool {
    PORT.load(Ordering::Relaxed) != 0
}

/// Whether the console's line has some of the I/O ports `first` to `last`.
pub(super) fn owns_port(first: u32, last: u32) -> bool {
    match u32::from(PORT.load(Ordering::Relaxed)) {
        0 => false,
        port => first <= port + 7 && last >= port,
    }
}

/// Characters that are taken out of the device before somebody looks at them.
const RECEIVED: usize = 256;

/// A device that is set up.
struct Device {
    uart: Uart16550<PioBackend>,
    received: InputRing<RECEIVED>,
    /// A byte was given up, and none has been taken since.
    is_stuck: bool,
}

impl Device {
    /// Takes what the device has received, as far as there is room: what stays in the device makes the other side
    /// wait, where there is flow control.
    fn receive(&mut self) {
        while !self.received.is_full() {
            match self.uart.try_receive_byte() {
                Ok(byte) => self.received.push(byte),
                Err(_) => return,
            }
        }
    }

    /// Sends a byte, and meanwhile keeps what comes in: the device itself has room for 16 characters.
    fn send(&mut self, byte: u8) {
        let patience = if self.is_stuck { 1 } else { PATIENCE };
        for _ in 0..patience {
            if self.uart.try_send_byte(byte).is_ok() {
                self.is_stuck = false;
                return;
            }
            self.receive();
            core::hint::spin_loop();
        }
        self.is_stuck = true;
    }
}

/// One serial line.
pub(super) struct SerialLine(IrqLock<Option<Device>, { rank::CONSOLE_DEVICE }>);

/// The line that the console uses.
pub(super) static COM1: SerialLine = SerialLine(IrqLock::new(None));

impl SerialLine {
    /// Sets the device up as the administrator wants it. `false` if there is none, or it can't be set so.
    ///
    /// # Safety
    /// The eight ports from `wanted.io_base` on are a serial line's or nobody's, and nobody else drives it.
    pub(super) unsafe fn start(&self, wanted: &Com1) -> bool {
        // SAFETY: caller.
        let Ok(mut uart) = (unsafe { Uart16550::new_port(wanted.io_base) }) else {
            return false;
        };
        if !uart.check_present() {
            return false;
        }
        let rate = match wanted.baud {
            Baud::Rate(rate) => rate,
            Baud::Auto => match uart.dll_dlm() {
                (0, 0) => return false,
                (low, high) => wanted.clock_hz / (16 * u32::from(u16::from_le_bytes([low, high]))),
            },
        };
        let config = Config {
            frequency: wanted.clock_hz,
            baud_rate: BaudRate::from_integer(rate),
            data_bits: match wanted.data_bits {
                5 => WordLength::FiveBits,
                6 => WordLength::SixBits,
                7 => WordLength::SevenBits,
                _ => WordLength::EightBits,
            },
            extra_stop_bits: wanted.stop_bits > 1,
            parity: match wanted.parity {
                Parity::None => registers::Parity::Disabled,
                Parity::Odd => registers::Parity::Odd,
                Parity::Even => registers::Parity::Even,
                Parity::Mark => registers::Parity::Forced1,
                Parity::Space => registers::Parity::Forced0,
            },
            // Room for what comes while the interrupt is on its way.
            fifo_trigger_level: Some(registers::FifoTriggerLevel::Eight),
            ..Config::default()
        };
        if uart.init(config).is_err() {
            return false;
        }
        *self.0.lock() = Some(Device {
            uart,
            received: InputRing::new(),
            is_stuck: false,
        });
        PORT.store(wanted.io_base, Ordering::Relaxed);
        true
    }
}

impl SerialLine {
    /// Whether there is a device.
    pub(super) fn is_there(&self) -> bool {
        self.0.lock().is_some()
    }

    /// From now on the device interrupts when it has received something.
    pub(super) fn enable_interrupt(&self) {
        if let Some(device) = self.0.lock().as_mut() {
            device.uart.enable_interrupts(registers::IER::DATA_READY);
        }
    }

    /// Takes what the device has received. Whether something waits to be taken from here.
    pub(super) fn look(&self) -> bool {
        self.0.lock().as_mut().is_some_and(|device| {
            device.receive();
            !device.received.is_empty()
        })
    }

    /// Takes characters that were received. Returns how many.
    pub(super) fn take(&self, buffer: &mut [u8]) -> usize {
        self.0.lock().as_mut().map_or(0, |device| {
            device.receive();
            let count = device.received.peek(buffer);
            device.received.take(count);
            count
        })
    }

    /// Frees the device from whoever uses it.
    ///
    /// # Safety
    /// All other processors have stopped for good.
    pub(super) unsafe fn break_open(&self) {
        // SAFETY: the holder will never run again (caller).
        unsafe { self.0.break_open() };
    }
}

impl Sink for SerialLine {
    fn write(&self, bytes: &[u8]) {
        let mut guard = self.0.lock();
        let Some(device) = guard.as_mut() else { return };
        for &byte in bytes {
            if byte == b'\n' {
                device.send(b'\r');
            }
            device.send(byte);
        }
    }
}
