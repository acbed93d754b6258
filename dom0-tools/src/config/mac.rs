//! Addresses of network interfaces.

use super::error::Wrong;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// The address of a network interface.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// An address for an interface that was given none: 00:16:3e is reserved for virtual machines, and of the
    /// other three bytes all but the highest bit are `random`.
    #[must_use]
    pub const fn from_random(random: [u8; 3]) -> Self {
        Self([0, 0x16, 0x3e, random[0] & 0x7F, random[1], random[2]])
    }
}

impl FromStr for Mac {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        let wrong = || {
            Wrong::new(
                format!("Invalid MAC address: {text}"),
                "write six bytes in hexadecimal, such as 00:16:3e:00:00:11; the second digit is even",
            )
        };
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().ok_or_else(wrong)?;
            let is_hex = part.chars().all(|digit| digit.is_ascii_hexdigit());
            if !is_hex || !(1..=2).contains(&part.len()) {
                return Err(wrong());
            }
            *byte = u8::from_str_radix(part, 16).map_err(|_| wrong())?;
        }
        // No interface can have the address of a group.
        if parts.next().is_some() || bytes[0] & 1 == 1 {
            return Err(wrong());
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            let colon = if index == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02x}")?;
        }
        Ok(())
    }
}

impl Serialize for Mac {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Mac {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_are_six_bytes() {
        let mac: Mac = "00:16:3E:0:00:11".parse().unwrap();
        assert_eq!(mac.to_string(), "00:16:3e:00:00:11");
        for text in [
            "",
            "00:16:3e:00:00",
            "00:16:3e:00:00:11:22",
            "00:16:3e:00:00:1g",
            "01:00:5e:00:00:01",
            "+1:2:3:4:5:6",
        ] {
            assert!(text.parse::<Mac>().is_err(), "{text}");
        }
        assert_eq!(Mac::from_random([0xFF; 3]).to_string(), "00:16:3e:7f:ff:ff");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(mut bytes: [u8; 6]) {
            bytes[0] &= !1;
            prop_assert_eq!(Mac(bytes).to_string().parse(), Ok(Mac(bytes)));
        }

        #[test]
        fn any_text_is_an_address_or_refused(text in "[0-9a-f:]{0,20}|\\PC{0,20}") {
            let _ = text.parse::<Mac>();
        }
    }
}
