//! `com1=`: the first serial line.
#![forbid(unsafe_code)]

use super::values::number;
use super::warning::{Problem, Wants};
use core::fmt;

/// How fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Baud {
    /// As firmware or loader left it.
    Auto,
    /// Bits per second.
    Rate(u32),
}

/// The bit after the data bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parity {
    /// There is none.
    None,
    /// Makes the number of ones odd.
    Odd,
    /// Makes the number of ones even.
    Even,
    /// Always 1.
    Mark,
    /// Always 0.
    Space,
}

/// A 16550 and how it is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Com1 {
    /// Its speed.
    pub baud: Baud,
    /// Its clock, Hz; sixteen cycles are a bit at divisor 1.
    pub clock_hz: u32,
    /// Data bits, 5 to 8.
    pub data_bits: u8,
    /// Parity.
    pub parity: Parity,
    /// Stop bits, 1 or 2.
    pub stop_bits: u8,
    /// Its first I/O port.
    pub io_base: u16,
    /// Its interrupt on the ISA bus, 0 for none: then it is looked at from time to time.
    pub irq: u8,
}

impl fmt::Display for Com1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parity = match self.parity {
            Parity::None => 'n',
            Parity::Odd => 'o',
            Parity::Even => 'e',
            Parity::Mark => 'm',
            Parity::Space => 's',
        };
        let (data, stop) = (self.data_bits, self.stop_bits);
        match self.baud {
            Baud::Auto => f.write_str("speed as it was")?,
            Baud::Rate(rate) => write!(f, "{rate} bit/s")?,
        }
        write!(f, ", {data}{parity}{stop}, port {:#x}", self.io_base)
    }
}

impl Com1 {
    /// As PCs have it: 1.8432 MHz, ports 0x3f8 to 0x3ff, interrupt 4.
    pub const DEFAULT: Self = Self {
        baud: Baud::Rate(115_200),
        clock_hz: 1_843_200,
        data_bits: 8,
        parity: Parity::None,
        stop_bits: 1,
        io_base: 0x3f8,
        irq: 4,
    };

    /// The value for the divisor latch; `None` leaves it as it is.
    #[must_use]
    pub const fn divisor(&self) -> Option<u16> {
        match self.baud {
            Baud::Auto => None,
            Baud::Rate(rate) => divisor(self.clock_hz, rate),
        }
    }

    /// Reads `<baud>[/<clock-hz>][,DPS[,<io-base>[,<irq>]]]`. Fields that are empty keep their default.
    pub(super) fn parse(value: &str) -> Result<Self, Problem<'_>> {
        let mut com1 = Self::DEFAULT;
        for (index, field) in value.split(',').enumerate() {
            match index {
                _ if field.is_empty() => {}
                0 => com1.set_speed(field)?,
                1 => com1.set_frame(field)?,
                // The eight ports must not wrap around.
                2 => com1.io_base = number(field, 1, 0xfff8)? as u16,
                3 => com1.irq = number(field, 0, 255)? as u8,
                _ => {
                    return Err(Problem {
                        part: field,
                        wants: Wants::Fields { maximum: 4 },
                    });
                }
            }
        }
        Ok(com1)
    }

    /// `<baud>` or `auto`, and perhaps `/<clock-hz>`.
    fn set_speed<'a>(&mut self, field: &'a str) -> Result<(), Problem<'a>> {
        let (rate, clock) = match field.split_once('/') {
            Some((rate, clock)) => (rate, Some(clock)),
            None => (field, None),
        };
        if let Some(clock) = clock {
            self.clock_hz = number(clock, 16, u32::MAX.into())? as u32;
        }
        if rate == "auto" {
            self.baud = Baud::Auto;
            return Ok(());
        }
        let fastest = self.clock_hz / 16;
        let rate_bps = number(rate, 1, fastest.into())? as u32;
        if divisor(self.clock_hz, rate_bps).is_none() {
            let slowest = u64::from(fastest / u32::from(u16::MAX)) + 1;
            return Err(Problem {
                part: rate,
                wants: Wants::Number {
                    minimum: slowest,
                    maximum: fastest.into(),
                },
            });
        }
        self.baud = Baud::Rate(rate_bps);
        Ok(())
    }

    /// Data bits, parity, stop bits, as in `8n1`.
    fn set_frame<'a>(&mut self, field: &'a str) -> Result<(), Problem<'a>> {
        let malformed = Problem {
            part: field,
            wants: Wants::Form(
                "data bits 5-8, parity n, o, e, m or s, stop bits 1 or 2, as in 8n1",
            ),
        };
        let &[data @ b'5'..=b'8', parity, stop @ (b'1' | b'2')] = field.as_bytes() else {
            return Err(malformed);
        };
        self.parity = match parity.to_ascii_lowercase() {
            b'n' => Parity::None,
            b'o' => Parity::Odd,
            b'e' => Parity::Even,
            b'm' => Parity::Mark,
            b's' => Parity::Space,
            _ => return Err(malformed),
        };
        self.data_bits = data - b'0';
        self.stop_bits = stop - b'0';
        Ok(())
    }
}

/// The divisor of the clock that comes nearest to `rate`; `None` if the latch can't hold it.
const fn divisor(clock_hz: u32, rate: u32) -> Option<u16> {
    let (clock, bit) = (clock_hz as u64, rate as u64 * 16);
    if bit == 0 {
        return None;
    }
    match (clock + bit / 2) / bit {
        divisor @ 1..=0xffff => Some(divisor as u16),
        _ => None,
    }
}
