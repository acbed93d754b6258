//! Network interfaces as administrators write them: `mac=00:16:3e:00:00:11,bridge=xenbr0`.

use super::error::Wrong;
use super::mac::Mac;
use super::pairs::pairs;
use super::rate::Rate;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The longest name of an interface that the kernel takes.
const MAX_NAME_BYTES: usize = 15;
/// What there is to say of an interface.
const KEYS: &str =
    "there are mac, bridge, ip, script, vifname, rate, backend, type, model, accel, policy, label";

/// A network interface of a guest. What is `None` was not said.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Vif {
    /// Its address; else a random one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
    /// The bridge that it is plugged into; else the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bridge: Option<String>,
    /// Addresses and networks, separated by blanks, that the guest may use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// The program that plugs it, in /etc/xen/scripts unless it has a slash; else the daemon's setting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub script: Option<String>,
    /// The name of its other end in the backend's domain; else `vif<domid>.<n>`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vifname: Option<String>,
    /// How much the guest may send, as it was written; [`Vif::limit`] understands it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<String>,
    /// Name or number of the backend's domain; else the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
    /// `netfront` or `vif`; `ioemu` is for other kinds of guests.
    #[serde(skip_serializing_if = "Option::is_none", rename = "type")]
    pub kind: Option<String>,
    /// Of an emulated card, for other kinds of guests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// A plugin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accel: Option<String>,
    /// Of security.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// Of security.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

impl Vif {
    /// Reads a description; an empty one is an interface with nothing said of it.
    ///
    /// # Errors
    ///
    /// It is none.
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        let mut vif = Self::default();
        for (key, value) in pairs(text)? {
            if !vif.set(key, value)? {
                return Err(Wrong::new(format!("Invalid vif option: {key}"), KEYS));
            }
        }
        Ok(vif)
    }

    /// Reads the words of `xm network-attach`.
    ///
    /// # Errors
    ///
    /// One is no pair, is empty, or is wrong.
    pub fn from_words<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Self, Wrong> {
        let mut vif = Self::default();
        for word in words {
            let invalid = || Wrong::new(format!("Invalid argument: {word}"), KEYS);
            let (key, value) = word.split_once('=').ok_or_else(invalid)?;
            if value.is_empty() || !vif.set(key, value)? {
                return Err(invalid());
            }
        }
        Ok(vif)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<bool, Wrong> {
        let place = match key {
            "mac" => {
                self.mac = match value {
                    "" => None,
                    value => Some(value.parse()?),
                };
                return Ok(true);
            }
            "bridge" => &mut self.bridge,
            "ip" => &mut self.ip,
            "script" => &mut self.script,
            "vifname" if value.len() > MAX_NAME_BYTES || value.contains('/') => {
                return Err(Wrong::new(
                    format!("Invalid vifname: {value}"),
                    "the name of an interface has at most 15 characters, and no slash",
                ));
            }
            "vifname" => &mut self.vifname,
            "rate" => &mut self.rate,
            "backend" => &mut self.backend,
            "type" => &mut self.kind,
            "model" => &mut self.model,
            "accel" => &mut self.accel,
            "policy" => &mut self.policy,
            "label" => &mut self.label,
            _ => return Ok(false),
        };
        *place = Some(value.to_owned()).filter(|value| !value.is_empty());
        Ok(true)
    }

    /// What can be said.
    pub(super) fn every_key() -> Vec<(&'static str, String)> {
        let text = || Some(String::from("-"));
        let every = Self {
            mac: Some(Mac::from_random([0; 3])),
            bridge: text(),
            ip: text(),
            script: text(),
            vifname: text(),
            rate: text(),
            backend: text(),
            kind: text(),
            model: text(),
            accel: text(),
            policy: text(),
            label: text(),
        };
        every.said()
    }

    /// How much the guest may send; a rate that can't be understood is no limit.
    #[must_use]
    pub fn limit(&self) -> Option<Rate> {
        let rate = self.rate.as_deref()?;
        Some(Rate::parse(rate).unwrap_or(Rate::UNLIMITED))
    }

    /// What was said, in the order of [`Vif`]'s fields.
    #[must_use]
    pub fn said(&self) -> Vec<(&'static str, String)> {
        let mac = self.mac.map(|mac| mac.to_string());
        let pairs = [
            ("mac", &mac),
            ("bridge", &self.bridge),
            ("ip", &self.ip),
            ("script", &self.script),
            ("vifname", &self.vifname),
            ("rate", &self.rate),
            ("backend", &self.backend),
            ("type", &self.kind),
            ("model", &self.model),
            ("accel", &self.accel),
            ("policy", &self.policy),
            ("label", &self.label),
        ];
        let said = |(key, value): (&'static str, &Option<String>)| Some((key, value.clone()?));
        pairs.into_iter().filter_map(said).collect()
    }
}

impl fmt::Display for Vif {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (key, value)) in self.said().into_iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{key}={value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn problem(text: &str) -> String {
        Vif::parse(text).unwrap_err().problem
    }

    #[test]
    fn interfaces_of_real_files_are_read() {
        let vif = Vif::parse("mac=00:16:3e:00:00:11, bridge=xenbr0").unwrap();
        assert_eq!(vif.mac.unwrap().to_string(), "00:16:3e:00:00:11");
        assert_eq!(vif.bridge.as_deref(), Some("xenbr0"));
        let vif = Vif::parse(
            "ip = 10.0.0.5 10.1.0.0/16 , script=vif-route,rate=1MB/s@20ms,vifname=etch.0",
        )
        .unwrap();
        assert_eq!(vif.ip.as_deref(), Some("10.0.0.5 10.1.0.0/16"));
        assert_eq!(vif.limit().unwrap().to_string(), "20000,20000");
        assert_eq!(Vif::parse(""), Ok(Vif::default()));
        assert_eq!(
            Vif::parse("rate=fast").unwrap().limit(),
            Some(Rate::UNLIMITED)
        );
        assert_eq!(Vif::parse("mac=,type=ioemu").unwrap().mac, None);
    }

    #[test]
    fn wrong_interfaces_are_refused_in_known_sentences() {
        assert_eq!(
            problem("mac=00:16:3e:00:00:11,xenbr0"),
            "xenbr0 should be a pair, separated by an equals sign."
        );
        assert_eq!(problem("brigde=xenbr0"), "Invalid vif option: brigde");
        assert_eq!(problem("mac=00:16"), "Invalid MAC address: 00:16");
        assert_eq!(
            problem("vifname=0123456789abcdef"),
            "Invalid vifname: 0123456789abcdef"
        );
    }

    #[test]
    fn words_of_a_command_are_read() {
        let vif = Vif::from_words(["bridge=br0", "ip=10.0.0.1"]).unwrap();
        assert_eq!(vif.to_string(), "bridge=br0,ip=10.0.0.1");
        for words in ["bridge", "bridge=", "colour=red"] {
            let wrong = Vif::from_words([words]).unwrap_err();
            assert_eq!(wrong.problem, format!("Invalid argument: {words}"));
        }
    }

    fn any_vif() -> impl Strategy<Value = Vif> {
        let text = || prop::option::of("[a-z0-9/.:-]([a-z0-9/.: =-]{0,8}[a-z0-9])?");
        let mac = prop::option::of(any::<[u8; 3]>().prop_map(Mac::from_random));
        let name = prop::option::of("[a-z0-9.]{1,15}");
        let first = (mac, text(), text(), text(), name, text());
        let second = (text(), text(), text(), text(), text(), text());
        (first, second).prop_map(|(first, second)| {
            let (mac, bridge, ip, script, vifname, rate) = first;
            let (backend, kind, model, accel, policy, label) = second;
            Vif {
                mac,
                bridge,
                ip,
                script,
                vifname,
                rate,
                backend,
                kind,
                model,
                accel,
                policy,
                label,
            }
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(vif in any_vif()) {
            prop_assert_eq!(Vif::parse(&vif.to_string()), Ok(vif));
        }

        #[test]
        fn any_text_is_an_interface_or_refused(text in "\\PC{0,40}|(mac|ip|rate|bridge)=[a-f0-9:,=/@]{0,30}") {
            if let Ok(vif) = Vif::parse(&text) {
                prop_assert_eq!(Vif::parse(&vif.to_string()), Ok(vif));
            }
        }
    }
}
