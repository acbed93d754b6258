//! Devices of a domain, and how `list --long` shows them.

use super::disk::{Disk, DiskMode, DriveKind};
use super::error::Wrong;
use super::vfb::Vfb;
use super::vif::Vif;
use crate::sxp::Sxp;
use serde::{Deserialize, Serialize};

/// A device.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Device {
    /// A disk.
    Disk(Disk),
    /// A network interface.
    Vif(Vif),
    /// A screen with its keyboard.
    Vfb(Vfb),
    /// A device of the machine, by its address.
    Pci(String),
}

/// Reads the address of a device of the machine.
///
/// # Errors
///
/// It is none.
pub fn parse_pci(text: &str) -> Result<String, Wrong> {
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
    let is_function = |text: &str| {
        !text.is_empty()
            && text
                .chars()
                .all(|c| matches!(c, '0'..='7' | '-' | ',' | '*'))
    };
    match place.split_once('.') {
        Some((slot, function))
            if is_hex(domain, 4) && is_hex(bus, 2) && is_hex(slot, 2) && is_function(function) =>
        {
            Ok(format!("{domain:0>4}:{bus:0>2}:{slot:0>2}.{function}"))
        }
        _ => Err(Wrong::new(
            format!("'{address}' is no device"),
            "write [dddd:]bb:ss.f such as 0000:01:00.0",
        )),
    }
}

impl Device {
    /// As `list --long` shows it.
    #[must_use]
    pub fn sxp(&self) -> Sxp {
        let pairs = |name: &str, said: Vec<(&'static str, String)>| {
            Sxp::list(name, said.iter().map(|(key, value)| Sxp::pair(key, value)))
        };
        match self {
            Self::Disk(disk) => {
                let uname = disk
                    .source
                    .as_ref()
                    .map_or_else(String::new, ToString::to_string);
                let mut said = vec![
                    ("uname", uname),
                    ("dev", format!("{}:{}", disk.device, disk.kind.word())),
                    ("mode", disk.mode.word().to_owned()),
                ];
                said.extend(disk.backend.clone().map(|backend| ("backend", backend)));
                said.extend(disk.protocol.clone().map(|protocol| ("protocol", protocol)));
                pairs("vbd", said)
            }
            Self::Vif(vif) => pairs("vif", vif.said()),
            Self::Vfb(vfb) => pairs("vfb", vfb.said()),
            Self::Pci(address) => Sxp::list("pci", [Sxp::pair("dev", address)]),
        }
    }

    /// From what `list --long` shows. `None`: it is no device that a configuration has.
    ///
    /// # Errors
    ///
    /// It is wrong.
    pub fn from_sxp(sxp: &Sxp) -> Result<Option<Self>, Wrong> {
        let value = |key: &str| sxp.value(key).filter(|value| !value.is_empty());
        // What the tools have added does not count.
        let pairs = |known: &[(&'static str, String)]| -> String {
            let is_known = |name: &str| known.iter().any(|(key, _)| *key == name);
            let pair = |child: &Sxp| match (child.head(), child.rest()) {
                (Some(key), [Sxp::Atom(value)]) if is_known(key) => Some(format!("{key}={value}")),
                _ => None,
            };
            let pairs: Vec<String> = sxp.rest().iter().filter_map(pair).collect();
            pairs.join(",")
        };
        Ok(Some(match sxp.head().unwrap_or_default() {
            "vbd" | "tap" | "tap2" => {
                let disk = Disk::from_parts(
                    value("uname").unwrap_or_default(),
                    value("dev").unwrap_or_default(),
                    DiskMode::parse(value("mode").unwrap_or("r"))?,
                    value("backend")
                        .filter(|&backend| backend != "0")
                        .map(str::to_owned),
                    value("protocol").map(str::to_owned),
                )?;
                Self::Disk(disk)
            }
            "vif" => Self::Vif(Vif::parse(&pairs(&Vif::every_key()))?),
            "vfb" => Self::Vfb(Vfb::parse(&pairs(&Vfb::every_key()))?),
            "pci" => match value("dev") {
                Some(address) => Self::Pci(parse_pci(address)?),
                None => return Ok(None),
            },
            _ => return Ok(None),
        }))
    }

    /// What people call devices of this kind.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Disk(Disk {
                kind: DriveKind::Cdrom,
                ..
            }) => "cdrom",
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
    fn devices_of_the_machine_are_read() {
        let read = |text| parse_pci(text).ok();
        assert_eq!(read("1:0.0").as_deref(), Some("0000:01:00.0"));
        assert_eq!(
            read("0000:01:1f.*@5,msitranslate=1").as_deref(),
            Some("0000:01:1f.*")
        );
        assert_eq!(
            (read("01:00"), read("x:00.0"), read("")),
            (None, None, None)
        );
    }

    #[test]
    fn what_is_shown_is_read_again() {
        let devices = [
            Device::Disk(Disk::parse("phy:/dev/vg0/etch,xvda2,w,storage").unwrap()),
            Device::Disk(Disk::parse(",hdc:cdrom,r").unwrap()),
            Device::Vif(
                Vif::parse("mac=00:16:3e:11:22:33,bridge=xenbr0,ip=10.0.0.1 10.0.0.2").unwrap(),
            ),
            Device::Vif(Vif::default()),
            Device::Vfb(Vfb::parse("vnc=1,vncdisplay=3,opengl=0").unwrap()),
            Device::Pci("0000:01:00.0".into()),
        ];
        for device in devices {
            assert_eq!(Device::from_sxp(&device.sxp()), Ok(Some(device)));
        }
    }

    #[test]
    fn what_the_old_tools_have_shown_is_read() {
        let text = "(vbd (protocol x86_64-abi) (uuid 8a0c2e0d-5d0c-4a7e-9e4e-0a4f8a3b2c1d) (bootable 1) \
                    (dev xvda2:disk) (uname phy:/dev/vg0/etch) (mode w) (backend 0) (VDI ''))";
        let sxp = &Sxp::read(text).unwrap()[0];
        let disk = Disk::parse("phy:/dev/vg0/etch,xvda2,w,,x86_64-abi").unwrap();
        assert_eq!(Device::from_sxp(sxp), Ok(Some(Device::Disk(disk))));
        let text = "(vif (bridge xenbr0) (uuid 2c3b7c8b) (script /etc/xen/scripts/vif-bridge) \
                    (mac 00:16:3e:11:22:33) (backend 0))";
        let sxp = &Sxp::read(text).unwrap()[0];
        let vif =
            "mac=00:16:3e:11:22:33,bridge=xenbr0,script=/etc/xen/scripts/vif-bridge,backend=0";
        assert_eq!(
            Device::from_sxp(sxp),
            Ok(Some(Device::Vif(Vif::parse(vif).unwrap())))
        );
        let console = &Sxp::read("(console (location 2))").unwrap()[0];
        assert_eq!(Device::from_sxp(console), Ok(None));
        let wrong = &Sxp::read("(vbd (uname phy:x) (dev vda))").unwrap()[0];
        assert!(Device::from_sxp(wrong).is_err());
    }
}
