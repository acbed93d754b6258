//! Finding and reading configuration files.

use super::devices::Device;
use super::domain::{Action, DomainConfig, Uuid, is_valid_name};
use super::error::ConfigError;
use super::evaluated::Evaluated;
use super::keys::{Overrides, shape_of};
use super::options::Options;
use crate::bounded_file;
use crate::sxp::Sxp;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The longest configuration file.
const MAX_BYTES: u64 = 1 << 20;

/// A configuration that was read.
#[derive(Clone, PartialEq, Debug)]
pub struct Loaded {
    /// What the domain is to be.
    pub config: DomainConfig,
    /// What the file has printed.
    pub printed: Vec<String>,
    /// What is not as its author may think.
    pub warnings: Vec<String>,
}

/// A new identity.
///
/// # Errors
///
/// If the kernel gives no random bytes.
pub fn random_uuid() -> io::Result<Uuid> {
    let mut bytes = [0; 16];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    // Version 4, and the variant that says so.
    bytes[6] = bytes[6] & 0x0F | 0x40;
    bytes[8] = bytes[8] & 0x3F | 0x80;
    Ok(Uuid(bytes))
}

/// Where the file is that a command line names: as it says, or in one of the directories.
#[must_use]
pub fn find(name: &str, directories: &str) -> Option<PathBuf> {
    let path = Path::new(name);
    let is_there = |path: &Path| path.exists() && !path.is_dir();
    if path.is_absolute() || is_there(path) {
        return Some(path.to_owned()).filter(|path| is_there(path));
    }
    directories
        .split(':')
        .map(|directory| Path::new(directory).join(name))
        .find(|path| is_there(path))
}

/// The text of a file, which may be a pipe: administrators write `xm create <(...)`.
pub fn read(path: &Path) -> Result<String, ConfigError> {
    let name = path.display();
    let failed = |_| ConfigError::Sentence(format!("Unable to open config file: {name}"));
    let file = fs::File::open(path).map_err(failed)?;
    let bytes = bounded_file::read_all(&file, MAX_BYTES).map_err(|error| match error.kind() {
        io::ErrorKind::FileTooLarge => ConfigError::Sentence(format!("{name}: {error}")),
        _ => failed(error),
    })?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Runs a file in the language of Python, or lets another process do so ([`apart`](super::apart)).
pub type Evaluate = dyn Fn(&Path, &Overrides) -> Result<Evaluated, ConfigError>;

/// Reads a file in the language of Python.
///
/// # Errors
///
/// What is wrong with it.
pub fn load(
    path: &Path,
    overrides: &Overrides,
    evaluate: &Evaluate,
) -> Result<Loaded, ConfigError> {
    let name = path.display().to_string();
    let evaluated = evaluate(path, overrides)?;
    let random =
        random_uuid().map_err(|error| ConfigError::Sentence(format!("/dev/urandom: {error}")))?;
    let file_name = path.file_name().unwrap_or_default().to_string_lossy();
    let default_name = file_name.strip_suffix(".cfg").unwrap_or(&file_name);
    let options = Options::new(&name, &evaluated.settings, overrides)?;
    let config = options.domain(default_name, random)?;
    let mut warnings = options.warnings(&config);
    for (key, kind) in &evaluated.dropped {
        if shape_of(key).is_some() {
            warnings.push(format!(
                "{key} is a {kind}, and ignored; write a string, a number or a list"
            ));
        }
    }
    Ok(Loaded {
        config,
        printed: evaluated.printed,
        warnings,
    })
}

/// Reads a file of s-expressions, as `create --dryrun` and `list --long` print them.
///
/// # Errors
///
/// What is wrong with it.
pub fn load_sxp(path: &Path) -> Result<DomainConfig, ConfigError> {
    parse_sxp(path, &read(path)?)
}

/// Reads one that a daemon finds: it neither waits for a pipe nor reads without end.
///
/// # Errors
///
/// What is wrong with it.
pub fn load_kept_sxp(path: &Path) -> Result<DomainConfig, ConfigError> {
    let bytes = bounded_file::read(path, MAX_BYTES)
        .map_err(|error| ConfigError::Sentence(format!("{}: {error}", path.display())))?;
    parse_sxp(path, &String::from_utf8_lossy(&bytes))
}

fn parse_sxp(path: &Path, text: &str) -> Result<DomainConfig, ConfigError> {
    let sentence = |text: String| ConfigError::Sentence(format!("{}: {text}", path.display()));
    let read = Sxp::read(text).map_err(|wrong| sentence(wrong.to_string()))?;
    let vm = read
        .iter()
        .find(|sxp| matches!(sxp.head(), Some("vm" | "domain")))
        .ok_or_else(|| sentence("it has no (vm ...)".into()))?;
    from_sxp(vm).map_err(|text| match &*text {
        MISSING_NAME | INVALID_NAME => ConfigError::Sentence(text),
        _ => sentence(text),
    })
}

/// These are known as they are.
const MISSING_NAME: &str = "Missing VM Name";
const INVALID_NAME: &str = "Invalid VM Name";

/// The lists of processors: one for each virtual one, or one for all, or none.
fn cpu_lists(vm: &Sxp) -> Vec<String> {
    let lists = vm.children("cpus").flat_map(Sxp::rest);
    let lists = lists.flat_map(|lists| match lists {
        Sxp::List(lists) => lists.as_slice(),
        Sxp::Atom(_) => &[],
    });
    let list = |list: &Sxp| match list {
        Sxp::List(cpus) => {
            let cpus = cpus.iter().filter_map(|cpu| match cpu {
                Sxp::Atom(cpu) => Some(cpu.as_str()),
                Sxp::List(_) => None,
            });
            cpus.collect::<Vec<_>>().join(",")
        }
        Sxp::Atom(cpu) => cpu.clone(),
    };
    // An empty one among others is of a virtual processor that may run anywhere.
    let lists: Vec<String> = lists.map(list).collect();
    if lists.iter().all(String::is_empty) {
        return Vec::new();
    }
    lists
}

fn from_sxp(vm: &Sxp) -> Result<DomainConfig, String> {
    let text = |key: &str| vm.value(key).unwrap_or_default().to_owned();
    let number = |key: &str, default: u64| match vm.value(key) {
        None | Some("") => Ok(default),
        Some(text) => text
            .parse::<f64>()
            .ok()
            .filter(|number| (0.0..1e9).contains(number))
            .map(|number| number as u64)
            .ok_or_else(|| format!("{key} = {text}: write a number")),
    };
    let action = |key: &str, default| match vm.value(key) {
        None | Some("") => Ok(default),
        Some(name) => Action::named(name)
            .ok_or_else(|| format!("Invalid Configuration: Invalid event handling mode: {name}")),
    };
    let name = text("name");
    if name.is_empty() {
        return Err(MISSING_NAME.to_owned());
    }
    if !is_valid_name(&name) {
        return Err(INVALID_NAME.to_owned());
    }
    let uuid = match vm.value("uuid") {
        None | Some("") => random_uuid().map_err(|error| error.to_string())?,
        Some(text) => Uuid::parse(text).map_err(|wrong| wrong.to_string())?,
    };
    let linux = vm
        .children("image")
        .flat_map(|image| image.children("linux"))
        .next()
        .ok_or("it has no (image (linux ...))")?;
    let image = |key: &str| linux.value(key).unwrap_or_default().to_owned();
    let mut devices = Vec::new();
    for shown in vm.children("device").flat_map(Sxp::rest) {
        let device = Device::from_sxp(shown).map_err(|wrong| wrong.to_string())?;
        devices.extend(device);
    }
    let memory_mib = number("memory", 128)?;
    let vcpus = number("vcpus", 1)?.clamp(1, 4096) as u32;
    Ok(DomainConfig {
        name,
        uuid,
        description: text("description"),
        bootloader: text("bootloader"),
        bootargs: text("bootloader_args"),
        kernel: image("kernel"),
        ramdisk: image("ramdisk"),
        command_line: image("args"),
        memory_mib,
        maxmem_mib: number("maxmem", memory_mib)?.max(memory_mib),
        vcpus,
        online_vcpus: (number("online_vcpus", vcpus.into())? as u32).clamp(1, vcpus),
        cpus: cpu_lists(vm),
        cpu_weight: number("cpu_weight", 256)?.clamp(1, 65535) as u16,
        cpu_cap: number("cpu_cap", 0)?.min(65534) as u16,
        pool: text("pool_name"),
        features: text("features"),
        on_poweroff: action("on_poweroff", Action::Destroy)?,
        on_reboot: action("on_reboot", Action::Restart)?,
        on_crash: action("on_crash", Action::Restart)?,
        on_xend_start: text("on_xend_start"),
        on_xend_stop: text("on_xend_stop"),
        tsc_mode: linux
            .value("tsc_mode")
            .and_then(|mode| mode.parse().ok())
            .unwrap_or(0),
        nomigrate: linux.value("nomigrate") == Some("1"),
        localtime: vm.value("localtime") == Some("1"),
        rtc_timeoffset: vm
            .value("rtc_timeoffset")
            .and_then(|text| text.parse().ok())
            .unwrap_or(0),
        devices,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text() -> impl Strategy<Value = String> {
        prop_oneof![Just(String::new()), "[ -~\\t\\né]{0,100}"]
    }

    fn action() -> impl Strategy<Value = Action> {
        prop::sample::select(&Action::ALL[..])
    }

    fn cpus() -> impl Strategy<Value = Vec<String>> {
        let list = prop::sample::select(&["", "0", "0-3,5,^1", "1,2", "all"][..]);
        let lists = prop::collection::vec(list.prop_map(str::to_owned), 0..6);
        // No list, and lists that are all empty, mean the same.
        lists.prop_map(|lists| match lists.iter().all(String::is_empty) {
            true => Vec::new(),
            false => lists,
        })
    }

    fn device() -> impl Strategy<Value = Device> {
        let shown = prop::sample::select(
            &[
                "(vbd (uname phy:vg0/x) (dev xvda:disk) (mode w))",
                "(vbd (uname '') (dev hdc:cdrom) (mode r))",
                "(vif)",
                "(vif (mac 00:16:3e:00:00:01) (ip '10.0.0.1 10.0.0.2'))",
                "(vfb (vnc 1) (vnclisten 0.0.0.0))",
                "(pci (dev 0000:01:00.0))",
            ][..],
        );
        shown.prop_map(|shown| {
            let read = Sxp::read(shown).unwrap();
            Device::from_sxp(&read[0]).unwrap().unwrap()
        })
    }

    prop_compose! {
        fn any_config()(
            name in "[a-zA-Z0-9_.:+-]{1,20}", uuid in any::<[u8; 16]>(),
            texts in prop::collection::vec(text(), 10),
            memory_mib in 1..100_000_u64, more_mib in 0..100_000_u64,
            (vcpus, online) in (1..=64_u32).prop_flat_map(|vcpus| (Just(vcpus), 1..=vcpus)),
            cpus in cpus(), devices in prop::collection::vec(device(), 0..4),
            cpu_weight in 1..=65535_u16, cpu_cap in 0..=65534_u16,
            actions in [action(), action(), action()],
            tsc_mode in 0..4_u32, nomigrate: bool, localtime: bool, rtc_timeoffset: i64,
        ) -> DomainConfig {
            let [description, bootloader, bootargs, kernel, ramdisk, command_line, pool, features, start, stop] =
                <[String; 10]>::try_from(texts).unwrap();
            DomainConfig {
                name, uuid: Uuid(uuid), description, bootloader, bootargs, kernel, ramdisk, command_line,
                memory_mib, maxmem_mib: memory_mib + more_mib, vcpus, online_vcpus: online, cpus,
                cpu_weight, cpu_cap, pool, features,
                on_poweroff: actions[0], on_reboot: actions[1], on_crash: actions[2],
                on_xend_start: start, on_xend_stop: stop,
                tsc_mode, nomigrate, localtime, rtc_timeoffset, devices,
            }
        }
    }

    proptest! {
        #[test]
        fn what_a_dry_run_prints_is_read_as_the_same(config in any_config()) {
            let text = config.sxp().pretty();
            prop_assert_eq!(parse_sxp(Path::new("x"), &text), Ok(config), "{}", text);
        }
    }

    #[test]
    fn nowhere_in_particular_is_written_in_several_ways() {
        let cpus = |text: &str| {
            let vm = Sxp::read(&format!("(vm {text})")).unwrap().remove(0);
            cpu_lists(&vm)
        };
        for text in [
            "",
            "(cpus)",
            "(cpus '')",
            "(cpus ())",
            "(cpus (()))",
            "(cpus (() ()))",
        ] {
            assert_eq!(cpus(text), [""; 0], "{text}");
        }
        assert_eq!(cpus("(cpus ((0) () (1 2)))"), ["0", "", "1,2"]);
        assert_eq!(cpus("(cpus (0 1))"), ["0", "1"]);
    }

    #[test]
    fn a_file_that_is_too_long_is_not_read_in_part() {
        let path = std::env::temp_dir().join(format!("long-config-{}", std::process::id()));
        fs::write(&path, "#".repeat(MAX_BYTES as usize + 1)).unwrap();
        let said = load_sxp(&path).unwrap_err().to_string();
        assert!(said.ends_with(": it has more than 1048576 bytes"), "{said}");
        assert_eq!(load_kept_sxp(&path).unwrap_err().to_string(), said);
        assert!(load_kept_sxp(Path::new("/dev/zero")).is_err());
        fs::remove_file(&path).unwrap();
    }
}
