//! What a domain is to be: the result of a configuration, which `xend` keeps and builds from.

use super::devices::Device;
use crate::control::cpu_list::CpuList;
use crate::sxp::Sxp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A domain's identity for all its life.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Uuid(pub [u8; 16]);

/// A text that is no identity.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotAUuid;

impl fmt::Display for NotAUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a uuid has 32 hexadecimal digits")
    }
}

impl Uuid {
    /// Reads one, with or without hyphens.
    ///
    /// # Errors
    ///
    /// The text is none.
    pub fn parse(text: &str) -> Result<Self, NotAUuid> {
        let digits: Vec<u8> = text
            .chars()
            .filter(|&c| c != '-')
            .map(|c| c.to_digit(16).map(|digit| digit as u8).ok_or(NotAUuid))
            .collect::<Result<_, _>>()?;
        let bytes: Vec<u8> = digits
            .chunks_exact(2)
            .map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit))
            .collect();
        let is_whole = digits.len() == 32;
        let bytes = <[u8; 16]>::try_from(bytes).map_err(|_| NotAUuid)?;
        if is_whole {
            Ok(Self(bytes))
        } else {
            Err(NotAUuid)
        }
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            let hyphen = if matches!(index, 4 | 6 | 8 | 10) {
                "-"
            } else {
                ""
            };
            write!(f, "{hyphen}{byte:02x}")?;
        }
        Ok(())
    }
}

impl TryFrom<String> for Uuid {
    type Error = NotAUuid;

    fn try_from(text: String) -> Result<Self, NotAUuid> {
        Self::parse(&text)
    }
}

impl From<Uuid> for String {
    fn from(uuid: Uuid) -> Self {
        uuid.to_string()
    }
}

/// What happens to a domain that has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// It is cleaned up.
    Destroy,
    /// It is built again.
    Restart,
    /// It is kept as it is.
    Preserve,
    /// It is kept under another name, and built again.
    RenameRestart,
    /// Its memory is written to a file, then it is cleaned up.
    CoredumpDestroy,
    /// Its memory is written to a file, then it is built again.
    CoredumpRestart,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Destroy,
        Self::Restart,
        Self::Preserve,
        Self::RenameRestart,
        Self::CoredumpDestroy,
        Self::CoredumpRestart,
    ];

    /// As configurations say it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Destroy => "destroy",
            Self::Restart => "restart",
            Self::Preserve => "preserve",
            Self::RenameRestart => "rename-restart",
            Self::CoredumpDestroy => "coredump-destroy",
            Self::CoredumpRestart => "coredump-restart",
        }
    }

    /// The action of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let is = |action: &Self| action.name() == name.replace('_', "-");
        Self::ALL.into_iter().find(is)
    }

    /// Whether it makes sense only for a crash.
    #[must_use]
    pub const fn is_for_crash(self) -> bool {
        matches!(self, Self::CoredumpDestroy | Self::CoredumpRestart)
    }
}

/// See the module.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct DomainConfig {
    /// Its unique name.
    pub name: String,
    /// Its identity.
    pub uuid: Uuid,
    /// Free text.
    pub description: String,
    /// What finds the kernel on the domain's first disk; empty for nothing.
    #[serde(default)]
    pub bootloader: String,
    /// What else it is told.
    #[serde(default)]
    pub bootargs: String,
    /// The kernel's file; with a boot loader its path on the disk, or nothing.
    pub kernel: String,
    /// The initial RAM disk's file, in the same way; empty for none.
    pub ramdisk: String,
    /// The kernel's command line.
    pub command_line: String,
    /// Memory at the start.
    pub memory_mib: u64,
    /// What it may grow to.
    pub maxmem_mib: u64,
    /// vCPUs that are built.
    pub vcpus: u32,
    /// vCPUs that are online at the start: the first ones.
    pub online_vcpus: u32,
    /// Where vCPUs may run, as lists of processors: one for all, or one for each; empty for anywhere.
    pub cpus: Vec<String>,
    /// Share under the credit scheduler.
    pub cpu_weight: u16,
    /// Limit under the credit scheduler, percent of a processor; 0 for none.
    pub cpu_cap: u16,
    /// Pool of processors.
    pub pool: String,
    /// Features that the kernel must have.
    pub features: String,
    /// After it has powered off.
    pub on_poweroff: Action,
    /// After it has asked for a reboot.
    pub on_reboot: Action,
    /// After it has crashed.
    pub on_crash: Action,
    /// When `xend` starts.
    pub on_xend_start: String,
    /// When `xend` stops.
    pub on_xend_stop: String,
    /// How it sees the time stamp counter.
    pub tsc_mode: u32,
    /// It may not be saved or migrated.
    pub nomigrate: bool,
    /// Its wall clock shows local time.
    pub localtime: bool,
    /// What its wall clock adds.
    pub rtc_timeoffset: i64,
    /// Its devices.
    pub devices: Vec<Device>,
}

/// Characters of a name.
#[must_use]
pub fn is_valid_name(name: &str) -> bool {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '+');
    !name.is_empty() && name.chars().all(is_fine)
}

impl DomainConfig {
    /// vCPUs that may not run everywhere, and where they may, on a machine of `nr_cpus` processors.
    pub fn pins(&self, nr_cpus: u32) -> impl Iterator<Item = (u32, CpuList)> + '_ {
        let list_of = |vcpu: u32| match self.cpus.as_slice() {
            [all] => Some(all),
            lists => lists.get(vcpu as usize),
        };
        (0..self.vcpus).filter_map(move |vcpu| {
            let cpus = CpuList::parse(list_of(vcpu)?, nr_cpus).ok()?;
            Some((vcpu, cpus))
        })
    }

    /// What its wall clock adds to UTC, in seconds, where local time is so much later.
    #[must_use]
    pub const fn clock_adds(&self, zone_seconds: i64) -> i64 {
        let zone_seconds = if self.localtime { zone_seconds } else { 0 };
        self.rtc_timeoffset.saturating_add(zone_seconds)
    }

    /// What is the same for a domain that runs and one that does not, in the order of `list --long`.
    #[must_use]
    pub fn sxp_fields(&self) -> Vec<Sxp> {
        let cpus = self.cpus.iter().map(|list| {
            // As ranges of numbers, which is what readers expect of the list.
            Sxp::List(if list.is_empty() {
                Vec::new()
            } else {
                list.split(',').map(Sxp::atom).collect()
            })
        });
        let cpus: Vec<_> = cpus.collect();
        let cpus = if cpus.is_empty() {
            vec![Sxp::List(Vec::new())]
        } else {
            cpus
        };
        let mut fields = vec![
            Sxp::pair("cpu_weight", self.cpu_weight),
            Sxp::pair("cpu_cap", self.cpu_cap),
            Sxp::pair("bootloader", &self.bootloader),
            Sxp::pair("vcpus", self.vcpus),
            Sxp::List(vec![Sxp::atom("cpus"), Sxp::List(cpus)]),
            Sxp::pair("on_poweroff", self.on_poweroff.name()),
            Sxp::pair("description", &self.description),
            Sxp::pair("on_crash", self.on_crash.name()),
            Sxp::pair("uuid", self.uuid),
            Sxp::pair("bootloader_args", &self.bootargs),
            Sxp::pair("name", &self.name),
            Sxp::pair("on_reboot", self.on_reboot.name()),
            Sxp::pair("pool_name", &self.pool),
            Sxp::pair("maxmem", self.maxmem_mib),
            Sxp::pair("memory", self.memory_mib),
            Sxp::pair("shadow_memory", 0),
            Sxp::pair("features", &self.features),
            Sxp::pair("on_xend_start", &self.on_xend_start),
            Sxp::pair("on_xend_stop", &self.on_xend_stop),
        ];
        if self.localtime {
            fields.push(Sxp::pair("localtime", 1));
        }
        if self.rtc_timeoffset != 0 {
            fields.push(Sxp::pair("rtc_timeoffset", self.rtc_timeoffset));
        }
        fields
    }

    /// The kernel and what goes with it.
    #[must_use]
    pub fn sxp_image(&self) -> Sxp {
        let mut linux = vec![Sxp::pair("kernel", &self.kernel)];
        if !self.ramdisk.is_empty() {
            linux.push(Sxp::pair("ramdisk", &self.ramdisk));
        }
        linux.push(Sxp::pair("args", &self.command_line));
        linux.push(Sxp::pair("tsc_mode", self.tsc_mode));
        linux.push(Sxp::pair("nomigrate", u8::from(self.nomigrate)));
        Sxp::list("image", [Sxp::list("linux", linux)])
    }

    /// The devices.
    pub fn sxp_devices(&self) -> impl Iterator<Item = Sxp> + '_ {
        self.devices
            .iter()
            .map(|device| Sxp::list("device", [device.sxp()]))
    }

    /// As `create --dryrun` prints it.
    #[must_use]
    pub fn sxp(&self) -> Sxp {
        let mut fields = self.sxp_fields();
        if self.online_vcpus != self.vcpus {
            fields.push(Sxp::pair("online_vcpus", self.online_vcpus));
        }
        fields.push(self.sxp_image());
        fields.extend(self.sxp_devices());
        Sxp::list("vm", fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_read_and_shown() {
        let text = "06ed00fe-1162-4fc4-b5d8-11993ee4a8b9";
        let uuid = Uuid::parse(text).unwrap();
        assert_eq!(uuid.to_string(), text);
        assert_eq!(Uuid::parse(&text.replace('-', "")), Ok(uuid));
        for wrong in ["", "06ed", "06ed00fe-1162-4fc4-b5d8-11993ee4a8b", "zz"] {
            assert_eq!(Uuid::parse(wrong), Err(NotAUuid), "{wrong}");
        }
    }

    #[test]
    fn names_have_few_characters() {
        assert!(is_valid_name("etch_1-a.b:c+d"));
        for wrong in ["", "a b", "a/b", "é", "\"x\""] {
            assert!(!is_valid_name(wrong), "{wrong}");
        }
    }

    #[test]
    fn actions_have_names() {
        for action in Action::ALL {
            assert_eq!(Action::named(action.name()), Some(action));
        }
        assert_eq!(Action::named("rename_restart"), Some(Action::RenameRestart));
        assert_eq!(Action::named("shutdown"), None);
    }
}
