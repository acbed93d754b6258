//! The first domain's kernel and scripts in tests.

use super::devices::Class;
use super::devices::first_domain::FirstDomain;
use super::devices::scripts::{Call, ScriptFailure};
use super::testing::{State, World};
use std::path::Path;
use std::time::Duration;

/// The first domain's kernel and scripts, as far as devices need them.
#[derive(Default)]
pub(super) struct Drivers {
    /// Backends that the kernel has, by their directories.
    pub(super) backends: Vec<String>,
    /// Scripts that were run: what was to be done, and for which backend.
    pub(super) calls: Vec<(String, String)>,
    /// The whole of the last call.
    pub(super) last: Option<Call>,
    /// What the next script does that is to plug something in.
    pub(super) next: Next,
    /// Backends for which scripts of a former daemon were ended.
    pub(super) orphans: Vec<String>,
    /// Processes that scripts have started and that are there.
    pub(super) servers: Vec<u32>,
    /// There is no driver.
    pub(super) are_missing: bool,
    /// Guests do not close their devices when they are asked.
    pub(super) guests_are_stubborn: bool,
}

/// What a script does.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) enum Next {
    /// It says that it is connected.
    #[default]
    Connects,
    /// It says so, and that this process serves the image.
    Serves(u32),
    /// It says this and why.
    Says(&'static str, &'static str),
    /// It fails like this.
    Fails(ScriptFailure),
    /// It ends well and says nothing.
    Forgets,
    /// It is connected, and the backend can't open the disk.
    OpensNothing,
}

impl State {
    /// The directory of a backend that the kernel calls by this name.
    fn backend(&self, name: &str) -> Option<&String> {
        let directory = format!("/local/domain/0/backend/{}", name.replace('-', "/"));
        let mut backends = self.drivers.backends.iter();
        backends.find(|backend| **backend == directory)
    }
}

impl FirstDomain for World {
    fn is_program(&self, path: &Path) -> bool {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        ["block", "blktap", "block-nbd", "vif-bridge", "mine"].contains(&&*name)
    }

    fn load_driver(&self, _: Class) {}

    fn has_backend(&self, name: &str) -> bool {
        self.state().backend(name).is_some()
    }

    fn has_disk(&self, name: &str) -> bool {
        self.has_backend(name)
    }

    fn has_interface(&self, name: &str) -> bool {
        self.has_backend(&name.replace("vif", "vif-").replace('.', "-"))
    }

    fn run(&self, call: &Call, _: Duration) -> Result<(), ScriptFailure> {
        let mut state = self.state();
        let backend = call
            .variables
            .iter()
            .find(|(name, _)| *name == "XENBUS_PATH");
        // A script for no device has none.
        let backend = backend.map(|(_, backend)| backend.clone());
        let backend = backend.unwrap_or_default();
        state
            .drivers
            .calls
            .push((call.words[0].clone(), backend.clone()));
        state.drivers.last = Some(call.clone());
        if ["remove", "offline", "start", "stop"].contains(&&*call.words[0]) {
            return Ok(());
        }
        let directory = format!("/local/domain/0/{backend}");
        match std::mem::take(&mut state.drivers.next) {
            Next::Connects => state.set(&format!("{directory}/hotplug-status"), "connected"),
            Next::Serves(process) => {
                state.drivers.servers.push(process);
                state.set(&format!("{directory}/server"), &process.to_string());
                state.set(&format!("{directory}/hotplug-status"), "connected");
            }
            Next::Says(status, why) => {
                state.set(&format!("{directory}/hotplug-error"), why);
                state.set(&format!("{directory}/hotplug-status"), status);
            }
            Next::Fails(failure) => return Err(failure),
            Next::Forgets => {}
            Next::OpensNothing => {
                state.set(&format!("{directory}/hotplug-status"), "connected");
                let error = format!("/local/domain/0/error/{backend}/error");
                state.set(&error, "6 creating vbd structure");
            }
        }
        Ok(())
    }

    fn serves(&self, process: u32, _: &str) -> bool {
        self.state().drivers.servers.contains(&process)
    }

    fn end_orphans(&self, backend: &str) {
        self.state().drivers.orphans.push(backend.to_owned());
    }

    fn spare_kib(&self) -> Option<u64> {
        self.state().memory.spare_kib
    }
}
