//! The first domain, as far as guests need it: drivers of its kernel, programs that it runs, and what they leave of its
//! memory.

use super::Class;
use super::scripts::{Call, ScriptFailure, end_orphans, is_of, run};
use nix::unistd::{AccessFlags, access};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// See the module.
pub trait FirstDomain: Send + Sync {
    /// Whether there is such a program.
    fn is_program(&self, path: &Path) -> bool;

    /// Sees to it that the kernel has the backend's driver, if it can be had.
    fn load_driver(&self, class: Class);

    /// Whether the kernel has the backend of this name.
    fn has_backend(&self, name: &str) -> bool;

    /// Whether that backend has opened its disk.
    fn has_disk(&self, name: &str) -> bool;

    /// Whether the kernel has the interface of this name.
    fn has_interface(&self, name: &str) -> bool;

    /// Runs a script to its end.
    ///
    /// # Errors
    ///
    /// Why it has not done what it was to do.
    fn run(&self, call: &Call, limit: Duration) -> Result<(), ScriptFailure>;

    /// Whether a process that a script has started for the backend of this directory is there.
    fn serves(&self, process: u32, backend: &str) -> bool;

    /// Ends what a former daemon has started for the backend of this directory.
    fn end_orphans(&self, backend: &str);

    /// What programs could still have of its memory; `None` if its kernel does not say.
    fn spare_kib(&self) -> Option<u64>;
}

const BUS: &str = "/sys/bus/xen-backend";
const INTERFACES: &str = "/sys/class/net";
const MEMORY: &str = "/proc/meminfo";

/// That in which this runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct ThisDomain;

impl FirstDomain for ThisDomain {
    fn is_program(&self, path: &Path) -> bool {
        path.is_file() && access(path, AccessFlags::X_OK).is_ok()
    }

    fn load_driver(&self, class: Class) {
        let (module, driver) = match class {
            Class::Block => ("xen-blkback", "vbd"),
            Class::Network => ("xen-netback", "vif"),
        };
        if Path::new(BUS).join("drivers").join(driver).exists() {
            return;
        }
        let loaded = Command::new("modprobe")
            .args(["-q", module])
            .stdin(Stdio::null())
            .status();
        match loaded {
            Ok(status) if status.success() => log::info!("the driver {module} is loaded"),
            // Whoever waits for it says so.
            other => log::warn!("the driver {module} is not loaded: {other:?}"),
        }
    }

    fn has_backend(&self, name: &str) -> bool {
        Path::new(BUS).join("devices").join(name).exists()
    }

    fn has_disk(&self, name: &str) -> bool {
        let device = Path::new(BUS).join("devices").join(name);
        device.join("physical_device").exists()
    }

    fn has_interface(&self, name: &str) -> bool {
        Path::new(INTERFACES).join(name).exists()
    }

    fn run(&self, call: &Call, limit: Duration) -> Result<(), ScriptFailure> {
        run(call, limit)
    }

    fn serves(&self, process: u32, backend: &str) -> bool {
        is_of(&process.to_string(), backend)
    }

    fn end_orphans(&self, backend: &str) {
        end_orphans(backend);
    }

    fn spare_kib(&self) -> Option<u64> {
        let text = std::fs::read_to_string(MEMORY).ok()?;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("MemAvailable:"))?;
        line.trim().strip_suffix(" kB")?.parse().ok()
    }
}
