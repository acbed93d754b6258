//! Starting the process that reads a guest's disk, and hearing what it says.

use super::answer::{Answer, NoAnswer, Wanted, hear};
use crate::config::devices::Device;
use crate::config::disk::{DiskClass, DiskSource};
use crate::config::domain::DomainConfig;
use nix::fcntl::OFlag;
use nix::sys::signal::Signal;
use std::env;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

/// The program, beside the one that runs.
const PROGRAM: &str = "pygrub";
/// Processor time that it may take; a large RAM disk takes some seconds where the processor is emulated.
pub(super) const MOST_SECONDS: u64 = 60;
/// From its start to its end, in seconds.
pub(super) const MOST_WAITING_SECONDS: u32 = 120;

/// Whether a configuration's `bootloader` is this one, wherever it says that it lies.
#[must_use]
pub fn is_pygrub(bootloader: &str) -> bool {
    Path::new(bootloader)
        .file_name()
        .is_some_and(|name| name == PROGRAM)
}

/// What the words of `bootargs` ask for, with what the domain's configuration has. How long things may be is for who asks to say.
///
/// # Errors
///
/// The word that is not known, and what is right.
pub fn wanted(config: &DomainConfig) -> Result<Wanted, String> {
    let mut wanted = Wanted {
        kernel: config.kernel.clone(),
        ramdisk: config.ramdisk.clone(),
        ..Wanted::default()
    };
    for word in config.bootargs.split_whitespace() {
        match word.split_once('=') {
            Some(("--entry", name)) => wanted.choice = super::menu::Choice::Named(name.to_owned()),
            Some(("--kernel", path)) => wanted.kernel = path.to_owned(),
            Some(("--ramdisk", path)) => wanted.ramdisk = path.to_owned(),
            None if is_quiet_word(word) => {}
            _ => {
                return Err(format!(
                    "bootargs: {word} is not known to pygrub; write --entry=NAME, --kernel=PATH, --ramdisk=PATH or -q"
                ));
            }
        }
    }
    Ok(wanted)
}

fn is_quiet_word(word: &str) -> bool {
    matches!(word, "-q" | "--quiet")
}

/// Whether who creates such a domain with its console is to choose: nothing is chosen yet.
#[must_use]
pub fn offers_menu(config: &DomainConfig) -> bool {
    let is_quiet = config.bootargs.split_whitespace().any(is_quiet_word);
    let chosen = wanted(config)
        .is_ok_and(|wanted| wanted.choice != Default::default() || !wanted.kernel.is_empty());
    is_pygrub(&config.bootloader) && !is_quiet && !chosen
}

/// The disk that a domain boots from: its first.
///
/// # Errors
///
/// A sentence.
pub fn boot_disk(config: &DomainConfig) -> Result<(&DiskSource, String), String> {
    let mut disks = config.devices.iter().filter_map(|device| match device {
        Device::Disk(disk) => Some(disk),
        _ => None,
    });
    let disk = disks.next();
    let disk =
        disk.ok_or("pygrub takes the kernel from the domain's first disk, and it has no disk")?;
    let source = disk.source.as_ref();
    let source = source
        .ok_or("pygrub takes the kernel from the domain's first disk, which is an empty drive")?;
    let path = match source.class() {
        DiskClass::Block(path) => path,
        DiskClass::File(path) => path.to_owned(),
        DiskClass::Image(image) if image.format == "raw" => image.path.to_owned(),
        _ => {
            return Err(format!(
                "pygrub can't read {source}, the domain's first disk: it reads phy:, file: and tap:aio:, which are raw; \
                 for others give the kernel's file by kernel = '...'"
            ));
        }
    };
    Ok((source, path))
}

/// Opens a disk to be read; neither a pipe nor a directory is one.
fn open(path: &str) -> Result<File, String> {
    let inaccessible =
        |reason: &dyn std::fmt::Display| format!("Disk isn't accessible: {path}: {reason}");
    let mut options = OpenOptions::new();
    let options = options.read(true).custom_flags(OFlag::O_NONBLOCK.bits());
    let file = options.open(path).map_err(|error| inaccessible(&error))?;
    let kind = file
        .metadata()
        .map_err(|error| inaccessible(&error))?
        .file_type();
    match kind.is_file() || kind.is_block_device() {
        true => Ok(file),
        false => Err(inaccessible(&"it is neither a file nor a block device")),
    }
}

/// Has a domain's disk read.
///
/// # Errors
///
/// A sentence on why there is nothing.
pub fn ask(config: &DomainConfig, wanted: &Wanted) -> Result<Answer, String> {
    let (source, path) = boot_disk(config)?;
    let disk = open(&path)?;
    ask_of(disk, wanted).map_err(|reason| format!("pygrub: {source}: {reason}"))
}

fn ask_of(disk: File, wanted: &Wanted) -> Result<Answer, String> {
    let failed =
        |error: std::io::Error| format!("{PROGRAM}, which reads it, can't be run: {error}");
    let word = serde_json::to_string(wanted).map_err(|error| error.to_string())?;
    let program = env::current_exe().map_err(failed)?.with_file_name(PROGRAM);
    let mut process = Command::new(program)
        .arg(word)
        .env_clear()
        .current_dir("/")
        .stdin(disk)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    let answer = match process.stdout.take() {
        Some(pipe) => hear(pipe, wanted),
        None => Err(NoAnswer::Ended),
    };
    // It has nothing more to do, whatever it does.
    let _ = process.kill();
    let status = process.wait().map_err(failed)?;
    answer.map_err(|no_answer| why(no_answer, status))
}

/// Why there is no answer of a process that has ended so.
fn why(no_answer: NoAnswer, status: ExitStatus) -> String {
    let signal = status
        .signal()
        .and_then(|number| Signal::try_from(number).ok());
    match (no_answer, signal) {
        (NoAnswer::Told(sentence), _) => sentence,
        (NoAnswer::Senseless | NoAnswer::TooLong, _) => {
            "what it says is not what was asked for; was the disk made to deceive?".to_owned()
        }
        (NoAnswer::Ended, Some(Signal::SIGALRM)) => {
            format!("it is not read within {MOST_WAITING_SECONDS} s; is the disk so slow?")
        }
        (NoAnswer::Ended, Some(Signal::SIGXCPU | Signal::SIGKILL)) => {
            format!("reading it takes more than {MOST_SECONDS} s of a processor; is its file system damaged?")
        }
        // An allocation that is refused ends in a call that is not allowed.
        (NoAnswer::Ended, Some(Signal::SIGSYS)) => {
            "the process that reads it needed more memory than any file system does, or did what it may not, and was \
             ended; is the disk damaged, or made to deceive?"
                .to_owned()
        }
        (NoAnswer::Ended, _) => format!("Boot loader didn't return any data! It has ended: {status}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::domain::Uuid;
    use crate::config::keys::Overrides;
    use crate::config::options::Options;
    use crate::config::value::Settings;
    use crate::pygrub::menu::Choice;

    /// Of what a command line says.
    fn config(words: &str) -> Result<DomainConfig, String> {
        let pairs = words.split(';').map(|word| word.split_once('=').unwrap());
        let pairs = pairs.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let settings = Settings::default();
        let options = Options::new("x", &settings, &Overrides(pairs.collect()));
        let config = options.and_then(|options| options.domain("etch", Uuid([1; 16])));
        config.map_err(|error| error.to_string())
    }

    fn own(words: &str) -> DomainConfig {
        config(&format!("bootloader=pygrub;{words}")).unwrap()
    }

    #[test]
    fn a_configuration_says_what_is_wanted() {
        let plain = own("memory=64");
        let wanted_of = |words: &str| wanted(&own(words)).unwrap();
        assert_eq!(wanted(&plain), Ok(Wanted::default()));
        assert!(offers_menu(&plain));
        let named = wanted_of("bootargs=-q --entry=1>2");
        assert_eq!(named.choice, Choice::Named("1>2".into()));
        let paths = wanted_of("bootargs=--kernel=/k --ramdisk=/r");
        assert_eq!((&*paths.kernel, &*paths.ramdisk), ("/k", "/r"));
        assert_eq!(wanted_of("kernel=/k;ramdisk=/r"), paths);
        assert_eq!(
            wanted_of("bootloader_args=--entry=a").choice,
            Choice::Named("a".into())
        );
        for words in ["bootargs=-q", "bootargs=--entry=1", "kernel=/k"] {
            assert!(!offers_menu(&own(words)), "{words}");
        }
        let told = wanted(&own("bootargs=--frobnicate")).unwrap_err();
        assert!(
            told.starts_with("bootargs: --frobnicate is not known to pygrub; write "),
            "{told}"
        );
        assert!(!offers_menu(&config("kernel=/k").unwrap()));
        assert!(config("bootloader=/usr/bin/pygrub").is_ok());
        let other = config("bootloader=domUloader").unwrap_err();
        assert!(other.contains("only pygrub is offered"), "{other}");
    }

    #[test]
    fn only_raw_disks_are_read() {
        let path = |disk: &str| {
            let config = own(&format!("disk={disk}"));
            boot_disk(&config).map(|(_, path)| path)
        };
        assert_eq!(path("phy:vg0/etch,xvda,w").unwrap(), "/dev/vg0/etch");
        assert_eq!(path("tap:aio:/srv/x,xvda,w").unwrap(), "/srv/x");
        let told = path("tap:qcow2:/srv/x,xvda,w").unwrap_err();
        assert!(
            told.starts_with("pygrub can't read tap:qcow2:/srv/x, "),
            "{told}"
        );
        assert!(
            path(",xvda:cdrom,r")
                .unwrap_err()
                .ends_with("which is an empty drive")
        );
        assert!(
            boot_disk(&own("memory=64"))
                .unwrap_err()
                .ends_with("it has no disk")
        );
        for (name, reason) in [
            ("/dev/zero", "it is neither"),
            ("/none", "No such file"),
            ("/", "it is neither"),
        ] {
            let told = open(name).unwrap_err();
            assert!(
                told.starts_with(&format!("Disk isn't accessible: {name}: {reason}")),
                "{told}"
            );
        }
    }

    #[test]
    fn each_way_to_end_has_its_sentence() {
        let ended = |signal: Signal| why(NoAnswer::Ended, ExitStatus::from_raw(signal as i32));
        assert!(ended(Signal::SIGALRM).starts_with("it is not read within 120 s"));
        assert!(ended(Signal::SIGXCPU).contains("more than 60 s of a processor"));
        assert!(ended(Signal::SIGSYS).contains("made to deceive"));
        assert!(ended(Signal::SIGSEGV).starts_with("Boot loader didn't return any data!"));
        let told = why(NoAnswer::Told("so".into()), ExitStatus::from_raw(0));
        assert_eq!(told, "so");
    }
}
