//! From a file's variables and the command line to what a domain is to be.

use super::devices::{Device, Disk, parse_pci, parse_vfb, parse_vif};
use super::domain::{Action, DomainConfig, Uuid, is_valid_name};
use super::evaluate::Setting;
use super::kernel_line::{Parts, compose};
use super::value::{Value, integer};
use crate::control::cpu_list::CpuList;
use std::collections::BTreeMap;
use std::fmt;

/// Most vCPUs of a guest.
const MAX_VCPUS: i64 = 4096;
/// Most MiB of a guest.
const MAX_MIB: i64 = 16 << 20;

/// What kind of value a key has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    /// A string.
    Text,
    /// A number.
    Integer,
    /// 0 or 1; on the command line also yes, no, y, n.
    Boolean,
    /// A list of strings.
    List,
    /// A string, or a list of strings.
    TextOrList,
}

/// A key of configuration files.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// The shape of its value.
    pub shape: Shape,
    /// What it means, for `--help_config`.
    pub meaning: &'static str,
}

const fn key(name: &'static str, shape: Shape, meaning: &'static str) -> Key {
    Key {
        name,
        shape,
        meaning,
    }
}

/// All keys of paravirtualized domains.
pub const KEYS: [Key; 58] = [
    key("name", Shape::Text, "Domain name. Must be unique."),
    key(
        "uuid",
        Shape::Text,
        "Identity of the domain; random unless given.",
    ),
    key("description", Shape::Text, "Free text."),
    key("builder", Shape::Text, "Kind of kernel: linux."),
    key("kernel", Shape::Text, "Path to the kernel image."),
    key("ramdisk", Shape::Text, "Path to the initial RAM disk."),
    key("memory", Shape::Integer, "Memory at the start, in MiB."),
    key(
        "maxmem",
        Shape::Integer,
        "Memory that the domain may grow to, in MiB.",
    ),
    key(
        "shadow_memory",
        Shape::Integer,
        "Not used for paravirtualized domains.",
    ),
    key("vcpus", Shape::Integer, "Number of virtual processors."),
    key(
        "maxvcpus",
        Shape::Integer,
        "Virtual processors that are built; vcpus of them are online.",
    ),
    key(
        "vcpu_avail",
        Shape::Integer,
        "Bitmask of the virtual processors that are online at the start.",
    ),
    key(
        "cpu",
        Shape::TextOrList,
        "Processor of virtual processor 0.",
    ),
    key(
        "cpus",
        Shape::TextOrList,
        "Processors that may be used, such as \"0-3,5,^1\", or a list of such.",
    ),
    key(
        "cpu_weight",
        Shape::Integer,
        "Share of processor time, 1 to 65535.",
    ),
    key(
        "cpu_cap",
        Shape::Integer,
        "Limit of processor time, percent of a processor; 0 for none.",
    ),
    key("pool", Shape::Text, "Pool of processors."),
    key(
        "features",
        Shape::Text,
        "Features that the kernel must have.",
    ),
    key(
        "on_poweroff",
        Shape::Text,
        "After power-off: destroy, restart, preserve or rename-restart.",
    ),
    key("on_shutdown", Shape::Text, "The same as on_poweroff."),
    key(
        "on_reboot",
        Shape::Text,
        "After a reboot: destroy, restart, preserve or rename-restart.",
    ),
    key(
        "on_crash",
        Shape::Text,
        "After a crash: as on_reboot, or coredump-destroy, coredump-restart.",
    ),
    key(
        "restart",
        Shape::Text,
        "Deprecated: onreboot, always or never.",
    ),
    key(
        "on_xend_start",
        Shape::Text,
        "When xend starts: ignore or start.",
    ),
    key(
        "on_xend_stop",
        Shape::Text,
        "When xend stops: ignore, shutdown or suspend.",
    ),
    key(
        "bootloader",
        Shape::Text,
        "Program that chooses a kernel from the first disk.",
    ),
    key("bootargs", Shape::Text, "Its arguments."),
    key(
        "root",
        Shape::Text,
        "Root device, for the kernel's command line.",
    ),
    key(
        "extra",
        Shape::Text,
        "The rest of the kernel's command line.",
    ),
    key(
        "ip",
        Shape::Text,
        "IP address, for the kernel's command line.",
    ),
    key("gateway", Shape::Text, "Gateway."),
    key("netmask", Shape::Text, "Mask of the network."),
    key("hostname", Shape::Text, "Host name."),
    key(
        "interface",
        Shape::Text,
        "Network interface; eth0 unless given.",
    ),
    key("dhcp", Shape::Text, "How to get addresses: off or dhcp."),
    key(
        "nfs_server",
        Shape::Text,
        "Address of the server of the root file system.",
    ),
    key(
        "nfs_root",
        Shape::Text,
        "Path of the root file system on its server.",
    ),
    key("disk", Shape::List, "Disks, such as 'phy:vg0/etch,xvda,w'."),
    key(
        "vif",
        Shape::List,
        "Network interfaces, such as 'mac=00:16:3e:00:00:11,bridge=xenbr0'.",
    ),
    key(
        "nics",
        Shape::Integer,
        "Deprecated: number of network interfaces.",
    ),
    key("vfb", Shape::List, "Screens, such as 'vnc=1,vncdisplay=1'."),
    key(
        "pci",
        Shape::List,
        "Devices of the machine, such as '0000:01:00.0'.",
    ),
    key(
        "ioports",
        Shape::List,
        "Ports of the machine, such as '02f8-02ff'.",
    ),
    key("irq", Shape::List, "Interrupts of the machine."),
    key("vscsi", Shape::List, "SCSI devices."),
    key("vusb", Shape::List, "USB controllers."),
    key("blkif", Shape::Boolean, "The domain has disks for others."),
    key(
        "netif",
        Shape::Boolean,
        "The domain has networks for others.",
    ),
    key(
        "tsc_mode",
        Shape::Integer,
        "Time stamp counter: 0 default, 1 emulated, 2 native, 3 native with aux.",
    ),
    key(
        "nomigrate",
        Shape::Boolean,
        "The domain may not be saved or migrated.",
    ),
    key(
        "localtime",
        Shape::Boolean,
        "The wall clock shows local time.",
    ),
    key(
        "rtc_timeoffset",
        Shape::Integer,
        "Seconds that the wall clock adds.",
    ),
    key("superpages", Shape::Boolean, "Memory in pieces of 2 MiB."),
    key(
        "machine_address_size",
        Shape::Integer,
        "Bits of the addresses of its memory.",
    ),
    key(
        "suppress_spurious_page_faults",
        Shape::Boolean,
        "For old kernels.",
    ),
    key(
        "access_control",
        Shape::List,
        "Security label, such as 'policy=P,label=L'.",
    ),
    key("cpuid", Shape::List, "What CPUID shows."),
    key("target", Shape::Integer, "Domain that this one serves."),
];

/// Why a configuration is none, as people are told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ConfigError {
    /// A value is wrong.
    Wrong {
        /// Where it is set: a file and a line, or the command line.
        place: String,
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// What would be right.
        right: String,
    },
    /// A sentence of the old tools.
    Sentence(String),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wrong {
                place,
                key,
                value,
                right,
            } => write!(f, "{place}: {key} = {value}: {right}"),
            Self::Sentence(text) => f.write_str(text),
        }
    }
}

/// What the command line sets.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Overrides(pub Vec<(String, String)>);

impl Overrides {
    /// Variables that are no keys: the file sees them.
    #[must_use]
    pub fn script_variables(&self) -> BTreeMap<String, String> {
        let others = self.0.iter().filter(|(name, _)| shape_of(name).is_none());
        others.cloned().collect()
    }
}

fn shape_of(name: &str) -> Option<Shape> {
    KEYS.iter()
        .find(|key| key.name == name)
        .map(|key| key.shape)
}

/// A file's variables under the command line's.
pub struct Options<'a> {
    file: &'a str,
    settings: BTreeMap<String, Setting>,
}

impl<'a> Options<'a> {
    /// Puts both together.
    ///
    /// # Errors
    ///
    /// A value of the command line is of the wrong kind.
    pub fn new(
        file: &'a str,
        variables: &BTreeMap<String, Setting>,
        overrides: &Overrides,
    ) -> Result<Self, ConfigError> {
        let mut settings = variables.clone();
        let mut given: BTreeMap<&str, Value> = BTreeMap::new();
        for (name, text) in &overrides.0 {
            let Some(shape) = shape_of(name) else {
                continue;
            };
            let invalid = || ConfigError::Sentence(format!("Invalid value: {text}"));
            let value = match shape {
                Shape::Text | Shape::TextOrList => Value::Text(text.clone()),
                Shape::Integer => Value::Integer(integer(text).ok_or_else(invalid)?),
                Shape::Boolean => Value::Integer(match text.as_str() {
                    "yes" | "y" | "1" => 1,
                    "no" | "n" | "0" => 0,
                    _ => return Err(invalid()),
                }),
                Shape::List => {
                    let mut items = match given.get(&**name) {
                        Some(Value::List(items)) => items.clone(),
                        _ => Vec::new(),
                    };
                    items.push(Value::Text(text.clone()));
                    Value::List(items)
                }
            };
            given.insert(name, value);
        }
        for (name, value) in given {
            settings.insert(name.to_owned(), Setting { value, line: 0 });
        }
        Ok(Self { file, settings })
    }

    fn wrong(&self, key: &str, right: impl Into<String>) -> ConfigError {
        let setting = self.settings.get(key);
        let place = match setting.map_or(0, |setting| setting.line) {
            0 => "command line".to_owned(),
            line => format!("{}, line {line}", self.file),
        };
        ConfigError::Wrong {
            place,
            key: key.to_owned(),
            value: setting.map_or(String::new(), |setting| setting.value.to_string()),
            right: right.into(),
        }
    }

    fn get(&self, key: &str) -> Option<&Value> {
        self.settings.get(key).map(|setting| &setting.value)
    }

    fn text(&self, key: &str) -> Result<String, ConfigError> {
        match self.get(key) {
            None => Ok(String::new()),
            Some(Value::List(_)) => Err(self.wrong(key, "write one string, not a list")),
            Some(value) => Ok(value.as_text()),
        }
    }

    fn integer_within(
        &self,
        key: &str,
        default: i64,
        least: i64,
        most: i64,
    ) -> Result<i64, ConfigError> {
        let Some(value) = self.get(key) else {
            return Ok(default);
        };
        if matches!(value, Value::Text(text) if text.is_empty()) {
            return Ok(default);
        }
        value
            .as_integer()
            .filter(|number| (least..=most).contains(number))
            .ok_or_else(|| self.wrong(key, format!("write a whole number from {least} to {most}")))
    }

    fn boolean(&self, key: &str) -> Result<bool, ConfigError> {
        self.integer_within(key, 0, 0, 1).map(|number| number == 1)
    }

    fn list(&self, key: &str) -> Result<Vec<String>, ConfigError> {
        match self.get(key) {
            None => Ok(Vec::new()),
            Some(Value::List(items)) => Ok(items.iter().map(Value::as_text).collect()),
            Some(Value::Text(text)) if text.is_empty() => Ok(Vec::new()),
            Some(_) => Err(self.wrong(key, "write a list of strings in brackets, such as ['...']")),
        }
    }

    fn action(&self, key: &str, default: Action) -> Result<Action, ConfigError> {
        let text = self.text(key)?;
        if text.is_empty() {
            return Ok(default);
        }
        let may = |action: &Action| key == "on_crash" || !action.is_for_crash();
        Action::named(&text).filter(may).ok_or_else(|| {
            let names: Vec<_> = Action::ALL
                .into_iter()
                .filter(may)
                .map(Action::name)
                .collect();
            self.wrong(
                key,
                format!(
                    "Invalid Configuration: Invalid event handling mode: {text}; write {}",
                    names.join(", ")
                ),
            )
        })
    }

    fn one_of(&self, key: &str, values: &[&str]) -> Result<String, ConfigError> {
        let text = self.text(key)?;
        if text.is_empty() {
            return Ok(values
                .first()
                .map_or(String::new(), |&text| text.to_owned()));
        }
        if values.contains(&&*text) {
            Ok(text)
        } else {
            Err(self.wrong(key, format!("write {}", values.join(", "))))
        }
    }

    /// The domain. `default_name` is the base name of the file, `random` the identity unless one is given.
    ///
    /// # Errors
    ///
    /// What is wrong.
    pub fn domain(&self, default_name: &str, random: Uuid) -> Result<DomainConfig, ConfigError> {
        let name = match self.text("name")? {
            name if name.is_empty() => default_name.to_owned(),
            name => name,
        };
        if !is_valid_name(&name) {
            return Err(ConfigError::Sentence("Invalid VM Name".to_owned()));
        }
        let uuid = match self.text("uuid")? {
            text if text.is_empty() => random,
            text => Uuid::parse(&text).map_err(|wrong| self.wrong("uuid", wrong.to_string()))?,
        };
        match &*self.text("builder")? {
            "" | "linux" | "generic" => {}
            "hvm" => {
                return Err(self.wrong(
                    "builder",
                    "fully virtualized guests are not offered; write 'linux' and a paravirtualized kernel",
                ));
            }
            _ => return Err(self.wrong("builder", "write 'linux'")),
        }
        let kernel = self.text("kernel")?;
        if !self.text("bootloader")?.is_empty() {
            return Err(self.wrong(
                "bootloader",
                "boot loaders are not offered yet; give the kernel's file by kernel = '...'",
            ));
        }
        if kernel.is_empty() {
            return Err(ConfigError::Sentence(format!(
                "{}: no kernel is given; write kernel = '/boot/vmlinuz-...'",
                self.file
            )));
        }
        let memory = self.integer_within("memory", 128, 1, MAX_MIB)?;
        let maxmem = self.integer_within("maxmem", memory, 0, MAX_MIB)?;
        let maxmem = if maxmem == 0 { memory } else { maxmem };
        if maxmem < memory {
            return Err(self.wrong(
                "maxmem",
                format!("it is less than memory, which is {memory}; write that or more"),
            ));
        }
        let (vcpus, online_vcpus) = self.vcpus()?;
        let [default_off, default_reboot, default_crash] = match &*self.text("restart")? {
            "" => [Action::Destroy, Action::Restart, Action::Restart],
            "onreboot" => [Action::Destroy, Action::Restart, Action::Destroy],
            "always" => [Action::Restart; 3],
            "never" => [Action::Destroy; 3],
            _ => return Err(self.wrong("restart", "write onreboot, always or never")),
        };
        let off_key = if self.get("on_poweroff").is_none() {
            "on_shutdown"
        } else {
            "on_poweroff"
        };
        let cap = 100 * i64::from(vcpus);
        Ok(DomainConfig {
            name,
            uuid,
            description: self.text("description")?,
            kernel,
            ramdisk: self.text("ramdisk")?,
            command_line: self.command_line()?,
            memory_mib: memory as u64,
            maxmem_mib: maxmem as u64,
            vcpus,
            online_vcpus,
            cpus: self.cpus(vcpus)?,
            cpu_weight: self.integer_within("cpu_weight", 256, 1, 65535)? as u16,
            cpu_cap: self.integer_within("cpu_cap", 0, 0, cap.min(65534))? as u16,
            pool: match self.text("pool")? {
                pool if pool.is_empty() => "Pool-0".to_owned(),
                pool => pool,
            },
            features: self.text("features")?,
            on_poweroff: self.action(off_key, default_off)?,
            on_reboot: self.action("on_reboot", default_reboot)?,
            on_crash: self.action("on_crash", default_crash)?,
            on_xend_start: self.one_of("on_xend_start", &["ignore", "start"])?,
            on_xend_stop: self.one_of("on_xend_stop", &["ignore", "shutdown", "suspend"])?,
            tsc_mode: self.tsc_mode()?,
            nomigrate: self.boolean("nomigrate")?,
            localtime: self.boolean("localtime")?,
            rtc_timeoffset: self.integer_within("rtc_timeoffset", 0, -(1 << 31), 1 << 31)?,
            devices: self.devices()?,
        })
    }

    fn tsc_mode(&self) -> Result<u32, ConfigError> {
        let names = ["default", "always_emulate", "native", "native_paravirt"];
        if let Some(Value::Text(text)) = self.get("tsc_mode")
            && let Some(mode) = names.iter().position(|name| name == text)
        {
            return Ok(mode as u32);
        }
        self.integer_within("tsc_mode", 0, 0, 3)
            .map(|mode| mode as u32)
    }

    /// vCPUs that are built, and those that are online.
    fn vcpus(&self) -> Result<(u32, u32), ConfigError> {
        let vcpus = self.integer_within("vcpus", 1, 1, MAX_VCPUS)?;
        let built = self.integer_within("maxvcpus", vcpus, 1, MAX_VCPUS)?;
        if built < vcpus {
            return Err(self.wrong(
                "maxvcpus",
                format!("it is less than vcpus, which is {vcpus}; write that or more"),
            ));
        }
        let mut online = vcpus;
        if let Some(mask) = self.get("vcpu_avail").and_then(Value::as_integer) {
            let online_by_mask = i64::from(mask.trailing_ones());
            if mask <= 0 || mask.count_ones() != mask.trailing_ones() {
                let right = "write a mask of the first virtual processors: 1, 3, 7, 15 and so on";
                return Err(self.wrong("vcpu_avail", right));
            }
            online = online_by_mask.min(built);
        }
        Ok((built as u32, online as u32))
    }

    fn cpus(&self, vcpus: u32) -> Result<Vec<String>, ConfigError> {
        let of = |key: &str| -> Result<Option<Vec<String>>, ConfigError> {
            let lists = match self.get(key) {
                None => return Ok(None),
                Some(Value::List(items)) => items.iter().map(Value::as_text).collect(),
                Some(value) => vec![value.as_text()],
            };
            for list in lists.iter().filter(|list| !list.is_empty()) {
                CpuList::parse(list, MAX_VCPUS as u32)
                    .map_err(|wrong| self.wrong(key, wrong.to_string()))?;
            }
            Ok(Some(lists))
        };
        let is_list = matches!(self.get("cpus"), Some(Value::List(_)));
        if let Some(lists) = of("cpus")? {
            if is_list && lists.len() != vcpus as usize {
                let right = format!(
                    "vcpus and the item number of cpus are not same: write {vcpus} items, or one string for all"
                );
                return Err(self.wrong("cpus", right));
            }
            let is_any = lists.iter().all(String::is_empty);
            return Ok(if is_any { Vec::new() } else { lists });
        }
        match of("cpu")? {
            Some(lists) if lists.iter().any(|list| !list.is_empty() && list != "-1") => Ok(lists),
            _ => Ok(Vec::new()),
        }
    }

    fn command_line(&self) -> Result<String, ConfigError> {
        let parts = Parts {
            extra: self.text("extra")?,
            root: self.text("root")?,
            ip: self.text("ip")?,
            gateway: self.text("gateway")?,
            netmask: self.text("netmask")?,
            hostname: self.text("hostname")?,
            interface: self.text("interface")?,
            dhcp: self.text("dhcp")?,
            nfs_server: self.text("nfs_server")?,
            nfs_root: self.text("nfs_root")?,
        };
        compose(&parts).map_err(ConfigError::Sentence)
    }

    fn devices(&self) -> Result<Vec<Device>, ConfigError> {
        let mut devices = Vec::new();
        let mut add = |key: &str, parse: fn(&str) -> Result<Device, String>| {
            for text in self.list(key)? {
                devices.push(parse(&text).map_err(|right| self.wrong(key, right))?);
            }
            Ok::<_, ConfigError>(())
        };
        add("disk", |text| Disk::parse(text).map(Device::Disk))?;
        add("vif", parse_vif)?;
        add("vfb", parse_vfb)?;
        add("pci", parse_pci)?;
        let vifs = self.list("vif")?.len() as i64;
        let nics = self.integer_within("nics", -1, -1, 64)?;
        for _ in vifs..nics {
            devices.push(Device::Vif(Vec::new()));
        }
        for key in ["ioports", "irq", "vscsi", "vusb"] {
            if !self.list(key)?.is_empty() {
                return Err(self.wrong(key, "this is not offered; leave it out"));
            }
        }
        Ok(devices)
    }
}
