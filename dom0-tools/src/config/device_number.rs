//! Names of virtual disks, and the numbers that guests know them by.

use super::error::Wrong;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What marks the numbers of disks that have none in the older scheme.
const EXTENDED: u32 = 1 << 28;
/// The major number of `xvd`.
const XVD_MAJOR: u32 = 202;
/// The major numbers of `hd`, each of two disks.
const HD_MAJORS: [u32; 10] = [3, 22, 33, 34, 56, 57, 88, 89, 90, 91];
/// The major numbers of `sd`, each of sixteen disks.
const SD_MAJORS: [u32; 16] = [
    8, 65, 66, 67, 68, 69, 70, 71, 128, 129, 130, 131, 132, 133, 134, 135,
];

/// A virtual disk in a guest, or a part of one.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct VirtualDevice {
    /// As it was given, without `/dev/`: `xvda1`, or a number.
    pub name: String,
    /// What guests know it by.
    pub number: u32,
}

impl VirtualDevice {
    /// Reads `xvda1`, `/dev/sda1`, `51712` or `0xca00`.
    ///
    /// # Errors
    ///
    /// There is no such device.
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        let name = text.strip_prefix("/dev/").unwrap_or(text);
        let number = number_of(name).ok_or_else(|| {
            Wrong::new(
                format!("Unable to find number for device ({text})"),
                "name it xvda, xvda1, sda, hda1, or give its number, such as 51712 or 0xca00",
            )
        })?;
        Ok(Self {
            name: name.to_owned(),
            number,
        })
    }

    /// Whether guests find the number under `virtual-device-ext` and not under `virtual-device`.
    #[must_use]
    pub const fn is_extended(&self) -> bool {
        self.number >= EXTENDED
    }
}

impl fmt::Display for VirtualDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

fn number_of(name: &str) -> Option<u32> {
    if let Some(digits) = name.strip_prefix("0x") {
        return is_digits(digits, 16).then(|| u32::from_str_radix(digits, 16).ok())?;
    }
    if is_digits(name, 10) {
        return name.parse().ok();
    }
    let (kind, rest) = name
        .split_at_checked(3)
        .filter(|(kind, _)| *kind == "xvd")
        .or_else(|| name.split_at_checked(2))?;
    let letters = rest.len()
        - rest
            .trim_start_matches(|letter: char| letter.is_ascii_lowercase())
            .len();
    let (letters, digits) = rest.split_at(letters);
    let disk = disk_index(letters)?;
    let partition = match digits {
        "" => 0,
        digits if is_digits(digits, 10) && !digits.starts_with('0') => {
            digits.parse::<u32>().ok()?
        }
        _ => return None,
    };
    match kind {
        "xvd" if partition <= 15 && disk < 16 => Some(XVD_MAJOR * 256 + 16 * disk + partition),
        "xvd" if partition <= 15 && disk < 260 => Some(EXTENDED + 256 * disk + partition),
        "hd" if partition <= 63 => {
            let major = HD_MAJORS.get(disk as usize / 2)?;
            Some(major * 256 + 64 * (disk % 2) + partition)
        }
        "sd" if partition <= 15 => {
            let major = SD_MAJORS.get(disk as usize / 16)?;
            Some(major * 256 + 16 * (disk % 16) + partition)
        }
        _ => None,
    }
}

fn is_digits(text: &str, radix: u32) -> bool {
    !text.is_empty() && text.chars().all(|digit| digit.is_digit(radix))
}

/// Of `a`, 0; of `aa`, 26.
fn disk_index(letters: &str) -> Option<u32> {
    let index = |letter: u8| u32::from(letter - b'a');
    match letters.as_bytes() {
        [letter] => Some(index(*letter)),
        [first, second] => Some(26 * (index(*first) + 1) + index(*second)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn number(name: &str) -> Option<u32> {
        VirtualDevice::parse(name).ok().map(|device| device.number)
    }

    #[test]
    fn names_have_the_numbers_that_guests_know() {
        for (name, expected) in [
            ("xvda", 51712),
            ("xvda1", 51713),
            ("xvda2", 51714),
            ("xvdb", 51728),
            ("xvdp15", 202 * 256 + 255),
            ("xvdq", 268_439_552),
            ("xvdz3", EXTENDED + 256 * 25 + 3),
            ("xvdaa", EXTENDED + 256 * 26),
            ("xvdiz", EXTENDED + 256 * 259),
            ("hda", 768),
            ("hdb1", 768 + 65),
            ("hdc", 5632),
            ("hdt", 91 * 256 + 64),
            ("sda", 2048),
            ("sda1", 2049),
            ("sdq", 16640),
            ("sdiv", 135 * 256 + 240),
            ("/dev/xvda1", 51713),
            ("51712", 51712),
            ("0xca00", 51712),
            ("0x1600", 0x1600),
        ] {
            assert_eq!(number(name), Some(expected), "{name}");
        }
    }

    #[test]
    fn what_is_no_device_is_refused() {
        for name in [
            "",
            "xvd",
            "xvda16",
            "xvda01",
            "xvda0",
            "xvdja",
            "xvdaaa",
            "hdu",
            "hda64",
            "sda16",
            "sdiw",
            "sdja",
            "vda",
            "XVDA",
            "xvda1x",
            "0x",
            "0xg",
            "4294967296",
            "-1",
            "ü",
            "xvdü",
            "/dev/",
            "+5",
            "0x+5",
        ] {
            assert_eq!(number(name), None, "{name}");
        }
        let wrong = VirtualDevice::parse("xvdüü").unwrap_err();
        assert_eq!(wrong.problem, "Unable to find number for device (xvdüü)");
    }

    #[test]
    fn no_two_names_are_one_device() {
        let letters = || (b'a'..=b'z').map(|letter| char::from(letter).to_string());
        let pairs =
            letters().flat_map(|first| letters().map(move |second| format!("{first}{second}")));
        let disks: Vec<String> = letters().chain(pairs).collect();
        let mut seen = HashMap::new();
        for kind in ["xvd", "hd", "sd"] {
            for disk in &disks {
                for partition in 0..70 {
                    let name = match partition {
                        0 => format!("{kind}{disk}"),
                        _ => format!("{kind}{disk}{partition}"),
                    };
                    if let Some(number) = number(&name) {
                        assert_eq!(seen.insert(number, name.clone()), None, "{name}");
                    }
                }
            }
        }
        assert_eq!(seen.len(), 260 * 16 + 20 * 64 + 256 * 16);
    }

    proptest! {
        #[test]
        fn any_text_is_a_device_or_refused(text in "(xvd|hd|sd|/dev/)?\\PC{0,6}") {
            let _ = VirtualDevice::parse(&text);
        }
    }
}
