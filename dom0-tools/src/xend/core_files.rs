//! Files of cores: their names, the room for them, and which of them go.

use super::protocol::Fault;
use crate::daemon::logging::date_and_time;
use guest_abi::ids::DomId;
use nix::fcntl::OFlag;
use nix::sys::statvfs::statvfs;
use nix::unistd::geteuid;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The usual name of a core's file.
pub(super) fn usual_name(seconds: u64, name: &str, domain: DomId, cause: Cause) -> String {
    let [year, month, day, hour, minute, second] = date_and_time(seconds);
    format!(
        "{year:04}-{month:02}{day:02}-{hour:02}{minute:02}.{second:02}-{name}.{}{}",
        domain.0,
        cause.ending()
    )
}

/// The date in front of it.
const DATE_LENGTH: usize = "2026-1128-1722.07".len();

/// What the name of a core of a crash ends with; those that administrators ask for end with `.core` alone.
const CRASH_ENDING: &str = ".crash.core";
/// What is behind the name of a core that is being written.
const UNFINISHED_ENDING: &str = "-incomplete";

/// What [`MetadataExt::blocks`] counts, whatever the file system's blocks are.
const BLOCK_BYTES: u64 = 512;

/// Why a core is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Cause {
    /// An administrator wants it.
    Asked,
    /// The domain has crashed.
    Crash,
}

impl Cause {
    const fn ending(self) -> &'static str {
        match self {
            Self::Asked => ".core",
            Self::Crash => CRASH_ENDING,
        }
    }
}

/// Where a core is while it is written.
pub(super) fn unfinished(path: &Path) -> PathBuf {
    let mut unfinished = path.to_owned().into_os_string();
    unfinished.push(UNFINISHED_ENDING);
    unfinished.into()
}

pub(super) fn about(path: &Path, error: impl std::fmt::Display) -> Fault {
    Fault::text(format!("{}: {error}", path.display()))
}

/// What a file system has free, and in all.
pub(super) struct Room {
    pub(super) free: u64,
    all: u64,
}

impl Room {
    pub(super) fn of(directory: &Path) -> Result<Self, Fault> {
        let system = statvfs(directory).map_err(|error| about(directory, error))?;
        let bytes = |blocks: u64| blocks.saturating_mul(system.fragment_size());
        Ok(Self {
            free: bytes(system.blocks_free()),
            all: bytes(system.blocks()),
        })
    }

    /// When so many bytes more are free.
    pub(super) fn with(self, freed: u64) -> Self {
        Self {
            free: self.free.saturating_add(freed),
            ..self
        }
    }

    /// Whether there is room for so many bytes, where others will take some, and a part is to stay free.
    pub(super) fn check(
        &self,
        directory: &Path,
        name: &str,
        bytes: u64,
        promised: u64,
        reserve_percent: u64,
    ) -> Result<(), Fault> {
        let free = self.free.saturating_sub(promised);
        // In parts of 1024 bytes, so that nothing is too large.
        let reserve = ((self.all >> 10).saturating_mul(reserve_percent) / 100) << 10;
        let lacks = |more: String| {
            Err(Fault::text(format!(
                "{} has {} MiB free, and the core of {name} takes {} MiB{more}",
                directory.display(),
                free >> 20,
                bytes.div_ceil(1 << 20)
            )))
        };
        if free < bytes {
            return lacks(String::new());
        }
        if free - bytes < reserve {
            return lacks(format!(
                "; {} MiB are to stay free (dump-reserve = {reserve_percent} in xend-config.sxp)",
                reserve.div_ceil(1 << 20)
            ));
        }
        Ok(())
    }
}

/// Cores of a guest's crashes, the oldest first. Of other files there, nothing is said.
pub(super) fn cores_of_crashes(directory: &Path, name: &str) -> Vec<PathBuf> {
    let is_of_crash = |file: &str| {
        // The date, the name and the number: `2026-1128-1722.07-etch.3.crash.core`.
        let rest = file.get(DATE_LENGTH..).unwrap_or_default();
        let number = rest
            .strip_prefix(&format!("-{name}."))
            .and_then(|rest| rest.strip_suffix(CRASH_ENDING));
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
        number.is_some_and(is_number)
    };
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
        .filter(|entry| entry.file_name().to_str().is_some_and(is_of_crash))
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found
}

/// Bytes that removing these cores frees: the disk's, not those that they seem to have, and none of one that has other
/// names.
pub(super) fn freed_by(cores: &[PathBuf]) -> u64 {
    let found = cores.iter().filter_map(|core| core.symlink_metadata().ok());
    let only = found.filter(|there| there.nlink() == 1);
    only.map(|there| there.blocks().saturating_mul(BLOCK_BYTES))
        .sum()
}

/// Removes old cores, and says so.
pub(super) fn remove_old(cores: &[PathBuf]) {
    for core in cores {
        match fs::remove_file(core) {
            Ok(()) => log::info!("{}: removed, it was the oldest", core.display()),
            Err(error) => log::warn!("{}: it can't be removed: {error}", core.display()),
        }
    }
}

/// Removes what a daemon that was killed has left of a core, unless it is somebody else's, or is being written.
pub(super) fn remove_unfinished(path: &Path) {
    if !path.to_string_lossy().ends_with(UNFINISHED_ENDING)
        || !path.symlink_metadata().is_ok_and(|there| there.is_file())
    {
        return;
    }
    let is_left = open_own(path).is_ok_and(|file| file.try_lock().is_ok() && is_named(&file, path));
    if !is_left {
        return;
    }
    match fs::remove_file(path) {
        Ok(()) => log::info!("{}: a core that was not finished, removed", path.display()),
        Err(error) => log::warn!("{}: it can't be removed: {error}", path.display()),
    }
}

/// Opens a file that only its owner can read, or makes it. The directory may be one where others make files: a link of
/// theirs is not followed, and a file of theirs not written to.
pub(super) fn open_own(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let options = options.write(true).create(true).truncate(false).mode(0o600);
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = options.custom_flags(flags.bits()).open(path)?;
    let found = file.metadata()?;
    if !found.is_file() || found.nlink() != 1 || found.uid() != geteuid().as_raw() {
        return Err(io::Error::other("this is somebody else's"));
    }
    file.set_permissions(Permissions::from_mode(0o600))?;
    Ok(file)
}

/// Whether the file has this name.
pub(super) fn is_named(file: &File, path: &Path) -> bool {
    let (Ok(file), Ok(named)) = (file.metadata(), fs::symlink_metadata(path)) else {
        return false;
    };
    (file.dev(), file.ino()) == (named.dev(), named.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_dates() {
        let name = |seconds| usual_name(seconds, "etch", DomId(3), Cause::Asked);
        assert_eq!(name(0), "1970-0101-0000.00-etch.3.core");
        assert_eq!(name(951_782_399), "2000-0228-2359.59-etch.3.core");
        assert_eq!(name(951_782_400), "2000-0229-0000.00-etch.3.core");
        assert_eq!(name(1_220_433_463), "2008-0903-0917.43-etch.3.core");
    }

    #[test]
    fn a_part_of_the_disk_stays_free() {
        let room = Room {
            free: 50 << 20,
            all: 100 << 20,
        };
        let check = |core_mib: u64, promised_mib: u64, percent| {
            let checked = room.check(
                Path::new("/d"),
                "etch",
                core_mib << 20,
                promised_mib << 20,
                percent,
            );
            checked.map_err(|fault| fault.to_string())
        };
        assert_eq!(check(40, 0, 10), Ok(()));
        assert_eq!(check(50, 0, 0), Ok(()));
        let little = "/d has 50 MiB free, and the core of etch takes 51 MiB";
        assert_eq!(check(51, 0, 10), Err(little.to_owned()));
        let reserved = "/d has 50 MiB free, and the core of etch takes 41 MiB; 10 MiB are to stay free \
             (dump-reserve = 10 in xend-config.sxp)";
        assert_eq!(check(41, 0, 10), Err(reserved.to_owned()));
        // What others are about to write is not free.
        assert_eq!(check(20, 20, 10), Ok(()));
        assert!(check(20, 21, 10).is_err() && check(1, 60, 0).is_err());
        let all = Room {
            free: u64::MAX,
            all: u64::MAX,
        };
        assert!(
            all.check(Path::new("/d"), "etch", u64::MAX >> 4, 0, 90)
                .is_ok()
        );
    }
}
