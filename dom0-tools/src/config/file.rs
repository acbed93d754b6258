//! Finding and reading configuration files.

use super::devices::Device;
use super::domain::{Action, DomainConfig, Uuid, is_valid_name};
use super::error::ConfigError;
use super::keys::{Overrides, shape_of};
use super::options::Options;
use super::program::Commands;
use super::program::evaluate::{Evaluated, Source, evaluate};
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

/// Where files that others include may be, besides beside them.
const INCLUDE_DIRECTORY: &str = "/etc/xen";
/// Names what files may do that they usually may not: `files`, to include files from anywhere, and `commands`.
pub const ALLOW_VARIABLE: &str = "XM_CONFIG_ALLOW";

/// What files may do that they usually may not.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Allowed {
    /// Include files from anywhere.
    pub files: bool,
    /// Run commands.
    pub commands: bool,
}

impl Allowed {
    /// What the operator says by [`ALLOW_VARIABLE`].
    #[must_use]
    pub fn by_operator() -> Self {
        let said = std::env::var(ALLOW_VARIABLE).unwrap_or_default();
        let has = |word: &str| said.split([',', ' ']).any(|said| said == word);
        Self {
            files: has("files"),
            commands: has("commands"),
        }
    }
}

/// The text of a file that `of` includes.
fn included(name: &str, of: &Path, allowed: Allowed) -> Result<String, String> {
    let path = fs::canonicalize(name).map_err(|error| error.to_string())?;
    // A name without a directory is in the present one.
    let directory = of.parent().map(|directory| Path::new(".").join(directory));
    let beside = directory.and_then(|directory| fs::canonicalize(directory).ok());
    let is_beside = beside.is_some_and(|directory| path.starts_with(directory));
    if !(allowed.files || is_beside || path.starts_with(INCLUDE_DIRECTORY)) {
        return Err(format!(
            "only files beside this one and in {INCLUDE_DIRECTORY} are included; set {ALLOW_VARIABLE}=files to allow others"
        ));
    }
    read(&path).map_err(|error| error.to_string())
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

fn read(path: &Path) -> Result<String, ConfigError> {
    let failed =
        |_| ConfigError::Sentence(format!("Unable to open config file: {}", path.display()));
    let mut bytes = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(MAX_BYTES).read_to_end(&mut bytes))
        .map_err(failed)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Runs a file in the language of Python, or lets another process do so.
pub type Evaluate = dyn Fn(&Path, &Overrides) -> Result<Evaluated, ConfigError>;

/// Runs a file in the language of Python, here and now.
///
/// # Errors
///
/// What is wrong with it.
pub fn evaluate_file(path: &Path, overrides: &Overrides) -> Result<Evaluated, ConfigError> {
    let name = path.display().to_string();
    let source = read(path)?;
    if source.starts_with('<') {
        return Err(ConfigError::Sentence(format!(
            "{name}: definitions in XML are not offered; write a configuration file"
        )));
    }
    let allowed = Allowed::by_operator();
    evaluate(&Source {
        file: &name,
        text: &source,
        variables: &overrides.script_variables(),
        commands: match allowed.commands {
            true => Commands::Allowed,
            false => Commands::Refused,
        },
        include: &|file| included(file, path, allowed),
    })
}

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
    let name = path.display().to_string();
    let sentence = |text: String| ConfigError::Sentence(format!("{name}: {text}"));
    let read = Sxp::read(&read(path)?).map_err(|wrong| sentence(wrong.to_string()))?;
    let vm = read
        .iter()
        .find(|sxp| matches!(sxp.head(), Some("vm" | "domain")))
        .ok_or_else(|| sentence("it has no (vm ...)".into()))?;
    from_sxp(vm).map_err(sentence)
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
    if !is_valid_name(&name) {
        return Err("Invalid VM Name".to_owned());
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
    let cpus = vm
        .children("cpus")
        .flat_map(Sxp::rest)
        .flat_map(|lists| match lists {
            Sxp::List(lists) => lists.clone(),
            Sxp::Atom(_) => Vec::new(),
        });
    let cpus = cpus.filter_map(|list| match list {
        Sxp::List(cpus) if cpus.is_empty() => None,
        Sxp::List(cpus) => {
            let cpus: Vec<_> = cpus
                .into_iter()
                .filter_map(|cpu| match cpu {
                    Sxp::Atom(cpu) => Some(cpu),
                    Sxp::List(_) => None,
                })
                .collect();
            Some(cpus.join(","))
        }
        Sxp::Atom(cpu) => Some(cpu),
    });
    let memory_mib = number("memory", 128)?;
    let vcpus = number("vcpus", 1)?.clamp(1, 4096) as u32;
    Ok(DomainConfig {
        name,
        uuid,
        description: text("description"),
        kernel: image("kernel"),
        ramdisk: image("ramdisk"),
        command_line: image("args"),
        memory_mib,
        maxmem_mib: number("maxmem", memory_mib)?.max(memory_mib),
        vcpus,
        online_vcpus: (number("online_vcpus", vcpus.into())? as u32).clamp(1, vcpus),
        cpus: cpus.collect(),
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
