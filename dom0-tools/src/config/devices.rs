//! The strings by which configurations describe devices.

use crate::sxp::Sxp;
use serde::{Deserialize, Serialize};

/// A device.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Device {
    /// A disk.
    Disk(Disk),
    /// A network interface: options and their values, as they are written.
    Vif(Vec<(String, String)>),
    /// A screen with its keyboard: options and their values.
    Vfb(Vec<(String, String)>),
    /// A device of the machine, by its address.
    Pci(String),
}

/// A disk.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Disk {
    /// What it is in the first domain: a type, a colon and parameters.
    pub uname: String,
    /// Its name in the guest, without directory.
    pub name: String,
    /// Its number in the guest.
    pub number: u32,
    /// A read-only drive.
    pub is_cdrom: bool,
    /// `r`, `w` or `w!`.
    pub mode: String,
    /// The domain that has it; empty for the first.
    pub backend: String,
    /// The layout of the ring; empty for the native one.
    pub protocol: String,
}

impl Disk {
    /// Reads a disk's string.
    ///
    /// # Errors
    ///
    /// A sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let fields: Vec<_> = text.split(',').collect();
        let (&[uname, device, mode], rest) = fields
            .split_first_chunk()
            .filter(|(_, rest)| rest.len() <= 2)
            .ok_or_else(|| format!("Invalid disk specifier: {text}"))?;
        let mode = match mode.trim() {
            "r" | "ro" => "r",
            "w" | "rw" => "w",
            "w!" => "w!",
            _ => return Err("Invalid mode".to_owned()),
        };
        let device = device.trim();
        let device = device.strip_prefix("ioemu:").unwrap_or(device);
        let (device, is_cdrom) = match device.rsplit_once(':') {
            Some((name, "cdrom")) => (name, true),
            Some((name, "disk")) => (name, false),
            _ => (device, false),
        };
        let name = device.strip_prefix("/dev/").unwrap_or(device);
        let number = device_number(name)
            .ok_or_else(|| format!("Unable to find number for device ({name})"))?;
        if uname.is_empty() && !is_cdrom {
            return Err("Block device must have physical details specified".to_owned());
        }
        let field = |index: usize| rest.get(index).map_or("", |text| text.trim()).to_owned();
        Ok(Self {
            uname: uname.to_owned(),
            name: name.to_owned(),
            number,
            is_cdrom,
            mode: mode.to_owned(),
            backend: field(0),
            protocol: field(1),
        })
    }
}

/// The number of a disk's name.
#[must_use]
pub fn device_number(name: &str) -> Option<u32> {
    if let Some(digits) = name.strip_prefix("0x") {
        return u32::from_str_radix(digits, 16).ok();
    }
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        return name.parse().ok();
    }
    let (kind, rest) = ["xvd", "hd", "sd"]
        .iter()
        .find_map(|kind| Some((*kind, name.strip_prefix(kind)?)))?;
    let digits = rest
        .find(|c: char| c.is_ascii_digit())
        .unwrap_or(rest.len());
    let (letters, partition) = rest.split_at(digits);
    let partition: u32 = if partition.is_empty() {
        0
    } else {
        let is_plain = !partition.starts_with('0');
        partition.parse().ok().filter(|_| is_plain)?
    };
    let letter = |c: u8| c.is_ascii_lowercase().then(|| u32::from(c - b'a'));
    let nth = match letters.as_bytes() {
        [one] => letter(*one)?,
        [first, second] => 26 * (letter(*first)? + 1) + letter(*second)?,
        _ => return None,
    };
    match kind {
        "xvd" if partition <= 15 && nth < 16 => Some(202 * 256 + 16 * nth + partition),
        // The letters after p, and pairs up to iz.
        "xvd" if partition <= 15 && nth < 26 * 10 => Some((1 << 28) + 256 * nth + partition),
        "hd" if partition <= 63 => {
            const MAJORS: [u32; 10] = [3, 22, 33, 34, 56, 57, 88, 89, 90, 91];
            let major = MAJORS.get(nth as usize / 2)?;
            Some(major * 256 + 64 * (nth % 2) + partition)
        }
        "sd" if partition <= 15 => {
            let major = match nth / 16 {
                0 => 8,
                low @ 1..=7 => 64 + low,
                high @ 8..=15 => 120 + high,
                _ => return None,
            };
            Some(major * 256 + 16 * (nth % 16) + partition)
        }
        _ => None,
    }
}

const VIF_KEYS: [&str; 12] = [
    "accel", "backend", "bridge", "ip", "label", "mac", "model", "policy", "rate", "script",
    "type", "vifname",
];

const VFB_KEYS: [&str; 16] = [
    "type",
    "vnc",
    "vncunused",
    "vnclisten",
    "vncdisplay",
    "vncpasswd",
    "keymap",
    "sdl",
    "display",
    "xauthority",
    "opengl",
    "videoram",
    "uuid",
    "location",
    "stdvga",
    "serial",
];

fn pairs(
    text: &str,
    wrong_key: impl Fn(&str) -> Option<String>,
) -> Result<Vec<(String, String)>, String> {
    let mut pairs = Vec::new();
    if text.trim().is_empty() {
        return Ok(pairs);
    }
    for part in text.split(',') {
        let (key, value) = part.split_once('=').ok_or_else(|| {
            format!(
                "{} should be a pair, separated by an equals sign.",
                part.trim()
            )
        })?;
        if let Some(complaint) = wrong_key(key.trim()) {
            return Err(complaint);
        }
        pairs.push((key.trim().to_owned(), value.trim().to_owned()));
    }
    Ok(pairs)
}

/// Reads a network interface's string.
///
/// # Errors
///
/// A sentence.
pub fn parse_vif(text: &str) -> Result<Device, String> {
    let wrong =
        |key: &str| (!VIF_KEYS.contains(&key)).then(|| format!("Invalid vif option: {key}"));
    let options = pairs(text, wrong)?;
    if let Some((_, mac)) = options.iter().find(|(key, _)| key == "mac")
        && !is_mac(mac)
    {
        return Err(format!(
            "Invalid mac address: {mac}; write six pairs of hexadecimal digits such as 00:16:3e:00:00:11"
        ));
    }
    Ok(Device::Vif(options))
}

/// Reads a screen's string.
///
/// # Errors
///
/// A sentence.
pub fn parse_vfb(text: &str) -> Result<Device, String> {
    let wrong = |key: &str| {
        (!VFB_KEYS.contains(&key)).then(|| format!("configuration option {key} unknown to vfbs"))
    };
    pairs(text, wrong).map(Device::Vfb)
}

/// Reads the address of a device of the machine.
///
/// # Errors
///
/// A sentence.
pub fn parse_pci(text: &str) -> Result<Device, String> {
    let address = text.split([',', '@']).next().unwrap_or_default().trim();
    let is_hex = |part: &str, most: usize| {
        (1..=most).contains(&part.len()) && part.chars().all(|c| c.is_ascii_hexdigit())
    };
    let parts: Vec<_> = address.split(':').collect();
    let (domain, bus, place) = match parts.as_slice() {
        [bus, place] => ("0000", *bus, *place),
        [domain, bus, place] => (*domain, *bus, *place),
        _ => ("", "", ""),
    };
    let function = place.split_once('.');
    let is_function = |text: &str| {
        !text.is_empty()
            && text
                .chars()
                .all(|c| matches!(c, '0'..='7' | '-' | ',' | '*'))
    };
    match function {
        Some((slot, function))
            if is_hex(domain, 4) && is_hex(bus, 2) && is_hex(slot, 2) && is_function(function) =>
        {
            Ok(Device::Pci(format!(
                "{domain:0>4}:{bus:0>2}:{slot:0>2}.{function}"
            )))
        }
        _ => Err(format!(
            "'{address}' is no device; write [dddd:]bb:ss.f such as 0000:01:00.0"
        )),
    }
}

fn is_mac(text: &str) -> bool {
    let parts: Vec<_> = text.split(':').collect();
    parts.len() == 6
        && parts.iter().all(|part| {
            (1..=2).contains(&part.len()) && part.chars().all(|c| c.is_ascii_hexdigit())
        })
}

impl Device {
    /// As `list --long` shows it.
    #[must_use]
    pub fn sxp(&self) -> Sxp {
        let options = |name: &str, options: &[(String, String)]| {
            let shown = options.iter().map(|(key, value)| match &**key {
                "vncpasswd" => Sxp::pair(key, "XXXXXXXX"),
                _ => Sxp::pair(key, value),
            });
            Sxp::list(name, shown)
        };
        match self {
            Self::Disk(disk) => {
                let kind = if disk.is_cdrom { "cdrom" } else { "disk" };
                let mut fields = vec![
                    Sxp::pair("uname", &disk.uname),
                    Sxp::pair("dev", format!("{}:{kind}", disk.name)),
                    Sxp::pair("mode", &disk.mode),
                ];
                for (name, value) in [("backend", &disk.backend), ("protocol", &disk.protocol)] {
                    if !value.is_empty() {
                        fields.push(Sxp::pair(name, value));
                    }
                }
                Sxp::list("vbd", fields)
            }
            Self::Vif(given) => options("vif", given),
            Self::Vfb(given) => options("vfb", given),
            Self::Pci(address) => Sxp::list("pci", [Sxp::pair("dev", address)]),
        }
    }

    /// What people call devices of this kind.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Disk(_) => "disk",
            Self::Vif(_) => "vif",
            Self::Vfb(_) => "vfb",
            Self::Pci(_) => "pci",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_disks_have_numbers() {
        for (name, number) in [
            ("xvda", 51712),
            ("xvda1", 51713),
            ("xvdb", 51728),
            ("xvdq", 268_439_552),
            ("xvdaa", (1 << 28) + 256 * 26),
            ("hda", 768),
            ("hdc", 5632),
            ("sda", 2048),
            ("sda1", 2049),
            ("sdq", 16640),
            ("51712", 51712),
            ("0xca00", 51712),
        ] {
            assert_eq!(device_number(name), Some(number), "{name}");
        }
        for name in [
            "", "xvd", "xvda16", "xvd1", "foo", "xvda01", "hdzz", "sdzz", "xvdA",
        ] {
            assert_eq!(device_number(name), None, "{name}");
        }
    }

    #[test]
    fn disks_are_read() {
        let disk = Disk::parse("phy:vg/lv, /dev/xvda1 , w").unwrap();
        assert_eq!(
            (&*disk.uname, &*disk.name, disk.number),
            ("phy:vg/lv", "xvda1", 51713)
        );
        let cdrom = Disk::parse(",hdc:cdrom,r,driver").unwrap();
        assert!(cdrom.is_cdrom && cdrom.backend == "driver");
        for (text, complaint) in [
            ("phy:x,xvda", "Invalid disk specifier: phy:x,xvda"),
            ("a,b,c,d,e,f", "Invalid disk specifier: a,b,c,d,e,f"),
            ("phy:x,foo,w", "Unable to find number for device (foo)"),
            ("phy:x,xvda,x", "Invalid mode"),
            (
                ",xvda,w",
                "Block device must have physical details specified",
            ),
        ] {
            assert_eq!(Disk::parse(text).unwrap_err(), complaint);
        }
    }

    #[test]
    fn interfaces_are_read() {
        assert_eq!(parse_vif(""), Ok(Device::Vif(Vec::new())));
        assert_eq!(
            parse_vif(" mac=00:16:3e:00:00:11 , bridge=xenbr0"),
            Ok(Device::Vif(vec![
                ("mac".into(), "00:16:3e:00:00:11".into()),
                ("bridge".into(), "xenbr0".into())
            ]))
        );
        let complaint = parse_vif("bridge").unwrap_err();
        assert_eq!(
            complaint,
            "bridge should be a pair, separated by an equals sign."
        );
        assert_eq!(parse_vif("x=1").unwrap_err(), "Invalid vif option: x");
        assert!(parse_vif("mac=00:16").unwrap_err().contains("00:16"));
        let complaint = parse_vfb("x=1").unwrap_err();
        assert_eq!(complaint, "configuration option x unknown to vfbs");
    }

    #[test]
    fn devices_of_the_machine_are_read() {
        assert_eq!(parse_pci("1:0.0"), Ok(Device::Pci("0000:01:00.0".into())));
        let full = parse_pci("0000:01:1f.*@5,msitranslate=1");
        assert_eq!(full, Ok(Device::Pci("0000:01:1f.*".into())));
        assert!(parse_pci("01:00").is_err() && parse_pci("x:00.0").is_err());
    }
}
