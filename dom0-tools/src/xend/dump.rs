//! Core dumps.

use super::Xend;
use super::create::now;
use super::protocol::{AfterDump, Fault, Response};
use crate::daemon::logging::date_and_time;
use guest_abi::domctl_domain::DomainInfoFlags;
use guest_abi::ids::DomId;
use std::fs::{self, DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The usual name of a core's file.
fn usual_name(seconds: u64, name: &str, domain: DomId) -> String {
    let [year, month, day, hour, minute, second] = date_and_time(seconds);
    format!(
        "{year:04}-{month:02}{day:02}-{hour:02}{minute:02}.{second:02}-{name}.{}.core",
        domain.0
    )
}

impl Xend {
    pub(super) fn dump_core(
        &self,
        domain: &str,
        file: Option<&str>,
        live: bool,
        then: AfterDump,
    ) -> Result<Response, Fault> {
        let view = self.guest(domain, "Cannot dump core for")?;
        self.alone(&view, |domain, _| {
            let was_paused = self
                .machine
                .domain(domain)?
                .is_none_or(|info| info.flags.contains(DomainInfoFlags::PAUSED));
            let stops = !live && !was_paused;
            if stops {
                self.machine.pause(domain)?;
            }
            let written = self.write_core(domain, &view.name, file.map(Path::new));
            // What is to end, is not let go on; what could not be written, goes on.
            if stops && (then == AfterDump::GoOn || written.is_err()) {
                self.machine.unpause(domain)?;
            }
            written
        })?;
        // By number: the domain that was written is meant, whatever it is called by now.
        let domain = view.domid.to_string();
        match then {
            AfterDump::GoOn => Ok(Response::Done),
            AfterDump::Destroy => self.destroy(&domain),
            AfterDump::Reset => self.reset(&domain),
        }
    }

    /// Writes the core of a domain that has crashed. Without one, it goes its way all the same.
    pub(super) fn dump_crashed(&self, domain: DomId, name: &str) {
        if let Err(fault) = self.write_core(domain, name, None) {
            log::error!("{name}: no core is written: {fault}");
        }
    }

    fn write_core(&self, domain: DomId, name: &str, file: Option<&Path>) -> Result<(), Fault> {
        let about = |path: &Path, error: &dyn std::fmt::Display| {
            Fault::text(format!("{}: {error}", path.display()))
        };
        let path = match file {
            Some(path) => path.to_owned(),
            None => {
                let directory = self.places.dumps.join(name);
                let mut builder = DirBuilder::new();
                let made = builder.recursive(true).mode(0o700).create(&directory);
                made.map_err(|error| about(&directory, &error))?;
                directory.join(usual_name(now() as u64, name, domain))
            }
        };
        let mut unfinished = path.clone().into_os_string();
        unfinished.push("-incomplete");
        let unfinished = PathBuf::from(unfinished);
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(true).mode(0o600);
        let opened = options.open(&unfinished);
        let mut file = opened.map_err(|error| about(&unfinished, &error))?;
        let frames = self.machine.dump_core(domain, &mut file);
        let frames =
            frames.map_err(|error| Fault::text(format!("Failed to dump core: {error}")))?;
        fs::rename(&unfinished, &path).map_err(|error| about(&path, &error))?;
        log::info!(
            "{name}: the core of domain {} with {frames} frames is in {}",
            domain.0,
            path.display()
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xend::create::Start;
    use crate::xend::testing::{World, config};

    #[test]
    fn names_have_dates() {
        let name = |seconds| usual_name(seconds, "etch", DomId(3));
        assert_eq!(name(0), "1970-0101-0000.00-etch.3.core");
        assert_eq!(name(951_782_399), "2000-0228-2359.59-etch.3.core");
        assert_eq!(name(951_782_400), "2000-0229-0000.00-etch.3.core");
        assert_eq!(name(1_220_433_463), "2008-0903-0917.43-etch.3.core");
    }

    fn running(test: &str) -> (World, std::sync::Arc<Xend>) {
        let world = World::default();
        world.state().output = b"x".to_vec();
        let xend = world.xend(test);
        let _ = xend.create(config("etch"), Start::Running).unwrap();
        (world, xend)
    }

    #[test]
    fn a_dump_goes_on_or_ends_the_domain() {
        let (world, xend) = running("dumped");
        xend.dump_core("etch", None, false, AfterDump::GoOn)
            .unwrap();
        let directory = xend.places.dumps.join("etch");
        let files: Vec<_> = fs::read_dir(&directory).unwrap().flatten().collect();
        assert_eq!(files.len(), 1);
        assert_eq!(fs::read(files[0].path()).unwrap(), b"core");
        assert!(
            files[0]
                .file_name()
                .to_string_lossy()
                .ends_with("-etch.1.core")
        );
        assert!(world.state().domains[&1].flags == DomainInfoFlags::BLOCKED);
        let own = directory.join("own");
        let file = own.to_str();
        xend.dump_core("etch", file, true, AfterDump::Destroy)
            .unwrap();
        assert!(own.exists() && world.state().domains.is_empty());
        fs::remove_dir_all(&xend.places.dumps).unwrap();
    }

    #[test]
    fn what_fails_is_left_incomplete_and_the_domain_goes_on() {
        let (world, xend) = running("half-dumped");
        // The first step pauses it.
        world.state().refuse_at(2);
        let refused = xend.dump_core("etch", None, false, AfterDump::Destroy);
        assert!(
            refused
                .unwrap_err()
                .to_string()
                .starts_with("Failed to dump core: ")
        );
        let directory = xend.places.dumps.join("etch");
        let name = fs::read_dir(&directory)
            .unwrap()
            .flatten()
            .next()
            .unwrap()
            .file_name();
        assert!(name.to_string_lossy().ends_with(".core-incomplete"));
        assert!(world.state().domains[&1].flags == DomainInfoFlags::BLOCKED);
        fs::remove_dir_all(&xend.places.dumps).unwrap();
    }
}
