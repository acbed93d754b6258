//! Limits of what a guest may send: `10Mb/s`, `1MB/s@20ms`.

use serde::{Deserialize, Serialize};
use std::fmt;

/// In which time the bytes are counted, if none is given.
const DEFAULT_WINDOW_US: u64 = 50_000;

/// How much a guest may send.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Rate {
    /// So many bytes.
    pub bytes: u32,
    /// In each so many microseconds; 0: there is no limit.
    pub window_us: u32,
}

impl Rate {
    /// As much as it can.
    pub const UNLIMITED: Self = Self {
        bytes: u32::MAX,
        window_us: 0,
    };

    /// Reads `N[G|M|K](b|B)/s[@N[m|u]s]`. `None`: it is no rate, which administrators know to be no limit.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (amount, window) = match text.split_once("/s@") {
            Some((amount, window)) => (amount, window_us(window)?),
            None => (text.strip_suffix("/s")?, DEFAULT_WINDOW_US),
        };
        let (amount, bits) = match amount.strip_suffix('b') {
            Some(amount) => (amount, 1),
            None => (amount.strip_suffix('B')?, 8),
        };
        let (amount, factor) = match amount.chars().last()? {
            'G' => (&amount[..amount.len() - 1], 1_000_000_000),
            'M' => (&amount[..amount.len() - 1], 1_000_000),
            'K' => (&amount[..amount.len() - 1], 1000),
            _ => (amount, 1),
        };
        let bytes_a_second = u128::from(digits(amount)?) * factor * bits / 8;
        let bytes = bytes_a_second * u128::from(window) / 1_000_000;
        let bytes = u32::try_from(bytes).ok()?;
        let window_us = u32::try_from(window).ok()?;
        // Nothing at all would stop the guest for good.
        (bytes > 0 && window_us > 0).then_some(Self { bytes, window_us })
    }
}

fn window_us(text: &str) -> Option<u64> {
    let text = text.strip_suffix('s')?;
    let (text, factor) = match text.chars().last()? {
        'm' => (&text[..text.len() - 1], 1000),
        'u' => (&text[..text.len() - 1], 1),
        _ => (text, 1_000_000),
    };
    digits(text)?.checked_mul(factor)
}

fn digits(text: &str) -> Option<u64> {
    let is_number = text.chars().all(|digit| digit.is_ascii_digit());
    is_number.then(|| text.parse().ok())?
}

impl fmt::Display for Rate {
    /// As the store has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{}", self.bytes, self.window_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stored(text: &str) -> Option<String> {
        Rate::parse(text).map(|rate| rate.to_string())
    }

    #[test]
    fn rates_are_bytes_in_a_window() {
        assert_eq!(stored("10Mb/s").as_deref(), Some("62500,50000"));
        assert_eq!(stored("250KB/s").as_deref(), Some("12500,50000"));
        assert_eq!(stored("1MB/s@20ms").as_deref(), Some("20000,20000"));
        assert_eq!(stored("1Gb/s@1s").as_deref(), Some("125000000,1000000"));
        assert_eq!(stored("800b/s@500us").as_deref(), None); // less than a byte in a window
        assert_eq!(Rate::UNLIMITED.to_string(), "4294967295,0");
    }

    #[test]
    fn what_is_no_rate_is_none() {
        for text in [
            "",
            "10",
            "10Mb",
            "Mb/s",
            "10mb/s",
            "10Mb/s@",
            "10Mb/s@5",
            "10Mb/s@s",
            "10Mb/s@0s",
            "-1Mb/s",
            "9999999GB/s",
            "üb/s",
        ] {
            assert_eq!(stored(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_rate_or_none(text in "[0-9GMKbB/s@mu]{0,14}|\\PC{0,8}") {
            let _ = Rate::parse(&text);
        }
    }
}
