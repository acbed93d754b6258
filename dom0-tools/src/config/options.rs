//! From a file's variables and the command line to what a domain is to be.

use super::devices::{Device, parse_pci};
use super::disk::Disk;
use super::domain::{Action, DomainConfig, Uuid, is_valid_name};
use super::error::{ConfigError, Origin, Wrong};
use super::features;
use super::kernel_line::{Parts, compose};
use super::keys::{KEYS, Overrides, Shape, shape_of};
use super::machine_parts::{check_irq, check_ports};
use super::rate::Rate;
use super::value::{Setting, Settings, Value, integer};
use super::vfb::Vfb;
use super::vif::Vif;
use super::without_effect::{WITHOUT_EFFECT, says_nothing};
use crate::control::cpu_list::CpuList;
use crate::pygrub::apart::is_pygrub;
use std::collections::BTreeMap;

/// Most vCPUs of a guest.
pub(crate) const MAX_VCPUS: i64 = 4096;
/// Bytes of a command line that guests' kernels read.
const MAX_LINE_BYTES: usize = 1024;
/// Most MiB of a guest.
pub(super) const MAX_MIB: i64 = 16 << 20;

/// A file's variables under the command line's.
pub struct Options<'a> {
    file: &'a str,
    settings: Settings,
}

impl<'a> Options<'a> {
    /// Puts both together.
    ///
    /// # Errors
    ///
    /// A value of the command line is of the wrong kind.
    pub fn new(
        file: &'a str,
        variables: &Settings,
        overrides: &Overrides,
    ) -> Result<Self, ConfigError> {
        let mut settings = variables.clone();
        let mut given: BTreeMap<&str, Value> = BTreeMap::new();
        for (name, text) in &overrides.0 {
            let Some(shape) = shape_of(name) else {
                continue;
            };
            let invalid = |right: &str| {
                ConfigError::Sentence(format!("Invalid value: {text}; write {name}={right}"))
            };
            let value = match shape {
                Shape::Text | Shape::TextOrList => Value::Text(text.clone()),
                Shape::Integer(..) => {
                    Value::Integer(integer(text).ok_or_else(|| invalid("NUMBER"))?)
                }
                Shape::Boolean => Value::Integer(match text.as_str() {
                    "yes" | "y" | "1" => 1,
                    "no" | "n" | "0" => 0,
                    _ => return Err(invalid("yes, or no")),
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
            let origin = Origin::CommandLine;
            settings.insert(name.to_owned(), Setting { value, origin });
        }
        Ok(Self { file, settings })
    }

    fn wrong(&self, key: &str, right: impl Into<String>) -> ConfigError {
        let setting = self.settings.get(key);
        let in_file = || Origin::File {
            file: self.file.to_owned(),
            line: None,
        };
        ConfigError::Wrong {
            origin: setting.map_or_else(in_file, |setting| setting.origin.clone()),
            key: key.to_owned(),
            value: setting.map_or(String::new(), |setting| setting.value.to_string()),
            right: right.into(),
        }
    }

    /// As [`wrong`](Self::wrong), of an item of a list.
    fn wrong_item(&self, key: &str, item: &str, wrong: &Wrong) -> ConfigError {
        let mut error = self.wrong(key, wrong.to_string());
        if let ConfigError::Wrong { value, .. } = &mut error {
            *value = format!("[... {} ...]", Value::Text(item.to_owned()));
        }
        error
    }

    fn get(&self, key: &str) -> Option<&Value> {
        self.settings.get(key).map(|setting| &setting.value)
    }

    /// The value of a key, which has the key's shape.
    fn checked(&self, key: &str) -> Result<Option<&Value>, ConfigError> {
        let value = self.get(key);
        let complaint = shape_of(key)
            .zip(value)
            .and_then(|(shape, value)| shape.complaint(value));
        match complaint {
            Some(right) => Err(self.wrong(key, right)),
            None => Ok(value),
        }
    }

    fn text(&self, key: &str) -> Result<String, ConfigError> {
        Ok(self.checked(key)?.map_or(String::new(), Value::as_text))
    }

    /// The number that is set, if one is.
    fn number(&self, key: &str) -> Result<Option<i64>, ConfigError> {
        Ok(self.checked(key)?.and_then(Value::as_integer))
    }

    fn boolean(&self, key: &str) -> Result<bool, ConfigError> {
        Ok(self.number(key)? == Some(1))
    }

    fn list(&self, key: &str) -> Result<Vec<String>, ConfigError> {
        match self.checked(key)? {
            Some(Value::List(items)) => Ok(items.iter().map(Value::as_text).collect()),
            _ => Ok(Vec::new()),
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
        // Those that nobody reads, too.
        for key in KEYS {
            self.checked(key.name)?;
        }
        let name = match self.text("name")? {
            name if name.is_empty() => default_name.to_owned(),
            name => name,
        };
        if !is_valid_name(&name) {
            return Err(self.wrong(
                "name",
                format!("Invalid VM Name: {name}; write letters, digits and _ - . : + alone"),
            ));
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
        let bootloader = self.text("bootloader")?;
        if !bootloader.is_empty() && !is_pygrub(&bootloader) {
            return Err(self.wrong(
                "bootloader",
                "only pygrub is offered; write 'pygrub', or give the kernel's file by kernel = '...'",
            ));
        }
        if kernel.is_empty() && bootloader.is_empty() {
            return Err(ConfigError::Sentence(format!(
                "{}: no kernel is given; write kernel = '/boot/vmlinuz-...', or bootloader = 'pygrub'",
                self.file
            )));
        }
        let memory = self.number("memory")?.unwrap_or(128);
        let maxmem = self.number("maxmem")?.unwrap_or(0);
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
        let cpu_cap = self.number("cpu_cap")?.unwrap_or(0);
        let most = 100 * i64::from(vcpus);
        if cpu_cap > most {
            let right =
                format!("write a whole number from 0 to {most}, which is 100 for each of vcpus");
            return Err(self.wrong("cpu_cap", right));
        }
        Ok(DomainConfig {
            name,
            uuid,
            description: self.text("description")?,
            bootloader,
            bootargs: self.bootargs()?,
            kernel,
            ramdisk: self.text("ramdisk")?,
            command_line: self.command_line()?,
            memory_mib: memory as u64,
            maxmem_mib: maxmem as u64,
            vcpus,
            online_vcpus,
            cpus: self.cpus(vcpus)?,
            cpu_weight: self.number("cpu_weight")?.unwrap_or(256) as u16,
            cpu_cap: cpu_cap as u16,
            pool: self.one_of("pool", &["Pool-0"])?,
            features: self.features()?,
            on_poweroff: self.action(off_key, default_off)?,
            on_reboot: self.action("on_reboot", default_reboot)?,
            on_crash: self.action("on_crash", default_crash)?,
            on_xend_start: self.one_of("on_xend_start", &["ignore", "start"])?,
            on_xend_stop: self.one_of("on_xend_stop", &["ignore", "shutdown", "suspend"])?,
            tsc_mode: self.tsc_mode()?,
            nomigrate: self.boolean("nomigrate")?,
            localtime: self.boolean("localtime")?,
            rtc_timeoffset: self.number("rtc_timeoffset")?.unwrap_or(0),
            devices: self.devices()?,
        })
    }

    /// Under either name, as one string or as words.
    fn bootargs(&self) -> Result<String, ConfigError> {
        match self.get("bootloader_args") {
            Some(Value::List(words)) => {
                let words: Vec<_> = words.iter().map(Value::as_text).collect();
                Ok(words.join(" "))
            }
            Some(_) => self.text("bootloader_args"),
            None => self.text("bootargs"),
        }
    }

    /// What is not as the file's author may think.
    #[must_use]
    pub fn warnings(&self, config: &DomainConfig) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.get("nics").is_some() {
            warnings.push("nics is deprecated; list the interfaces in vif".to_owned());
        }
        let length = config.command_line.len();
        if length > MAX_LINE_BYTES {
            warnings.push(format!(
                "the kernel's command line has {length} bytes; kernels read {MAX_LINE_BYTES}"
            ));
        }
        for (key, why) in WITHOUT_EFFECT {
            if let Some(setting) = self.settings.get(key)
                && !says_nothing(&setting.value)
            {
                let Setting { value, origin } = setting;
                warnings.push(format!("{origin}: {key} = {value} has no effect: {why}"));
            }
        }
        for device in &config.devices {
            if let Device::Vif(vif) = device
                && vif.limit() == Some(Rate::UNLIMITED)
            {
                let rate = vif.rate.as_deref().unwrap_or_default();
                warnings.push(format!(
                    "rate={rate} is no rate, and limits nothing; write such as 10Mb/s@50ms"
                ));
            }
        }
        warnings
    }

    fn features(&self) -> Result<String, ConfigError> {
        let text = self.text("features")?;
        features::parse(&text).map_err(|wrong| self.wrong("features", wrong.to_string()))?;
        Ok(text)
    }

    fn tsc_mode(&self) -> Result<u32, ConfigError> {
        let names = ["default", "always_emulate", "native", "native_paravirt"];
        if let Some(Value::Text(text)) = self.get("tsc_mode")
            && let Some(mode) = names.iter().position(|name| name == text)
        {
            return Ok(mode as u32);
        }
        match self.checked("tsc_mode")? {
            None => Ok(0),
            Some(Value::Text(text)) if text.is_empty() => Ok(0),
            Some(value) => value
                .as_integer()
                .filter(|mode| (0..=3).contains(mode))
                .map(|mode| mode as u32)
                .ok_or_else(|| {
                    let names = names.join(", ");
                    self.wrong(
                        "tsc_mode",
                        format!("write a number from 0 to 3, or {names}"),
                    )
                }),
        }
    }

    /// vCPUs that are built, and those that are online.
    fn vcpus(&self) -> Result<(u32, u32), ConfigError> {
        let vcpus = self.number("vcpus")?.unwrap_or(1);
        let built = self.number("maxvcpus")?.unwrap_or(vcpus);
        if built < vcpus {
            return Err(self.wrong(
                "maxvcpus",
                format!("it is less than vcpus, which is {vcpus}; write that or more"),
            ));
        }
        let mut online = vcpus;
        if let Some(mask) = self.number("vcpu_avail")? {
            let online_by_mask = i64::from(mask.trailing_ones());
            if mask.count_ones() != mask.trailing_ones() {
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
            // The old samples have `cpu = -1`, for any.
            let is_any = |list: &String| list.is_empty() || key == "cpu" && list == "-1";
            for list in lists.iter().filter(|list| !is_any(list)) {
                CpuList::parse(list, MAX_VCPUS as u32)
                    .map_err(|wrong| self.wrong(key, wrong.to_string()))?;
            }
            Ok(Some(lists))
        };
        let is_list = matches!(self.get("cpus"), Some(Value::List(_)));
        if let Some(lists) = of("cpus")? {
            if is_list && !lists.is_empty() && lists.len() != vcpus as usize {
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
        let mut add = |key: &str, parse: fn(&str) -> Result<Device, Wrong>| {
            for text in self.list(key)? {
                let wrong = |wrong: Wrong| self.wrong_item(key, &text, &wrong);
                devices.push(parse(&text).map_err(wrong)?);
            }
            Ok::<_, ConfigError>(())
        };
        add("disk", |text| Disk::parse(text).map(Device::Disk))?;
        add("vif", |text| Vif::parse(text).map(Device::Vif))?;
        add("vfb", |text| Vfb::parse(text).map(Device::Vfb))?;
        add("pci", |text| parse_pci(text).map(Device::Pci))?;
        let vifs = self.list("vif")?.len() as i64;
        let nics = self.number("nics")?.unwrap_or(-1);
        for _ in vifs..nics {
            devices.push(Device::Vif(Vif::default()));
        }
        type Check = fn(&str) -> Result<(), Wrong>;
        let checks: [(&str, Check); 2] = [("ioports", check_ports), ("irq", check_irq)];
        for (key, check) in checks {
            for text in self.list(key)? {
                check(&text).map_err(|wrong| self.wrong_item(key, &text, &wrong))?;
            }
        }
        for key in ["vscsi", "vusb"] {
            if !self.list(key)?.is_empty() {
                return Err(self.wrong(key, "this is not offered; leave it out"));
            }
        }
        Ok(devices)
    }
}
