//! Core dumps.

use super::Xend;
use super::create::now;
use super::protocol::{AfterDump, Fault, Response};
use super::record::Record;
use crate::daemon::logging::date_and_time;
use guest_abi::ids::{DomId, PAGE_SIZE};
use nix::fcntl::OFlag;
use nix::sys::statvfs::statvfs;
use nix::unistd::geteuid;
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{MutexGuard, PoisonError};

/// The usual name of a core's file.
fn usual_name(seconds: u64, name: &str, domain: DomId) -> String {
    let [year, month, day, hour, minute, second] = date_and_time(seconds);
    format!(
        "{year:04}-{month:02}{day:02}-{hour:02}{minute:02}.{second:02}-{name}.{}.core",
        domain.0
    )
}

/// What a core has besides the frames: its head, and for each frame two numbers.
const HEAD_BYTES: u64 = 1 << 20;
const LISTED_BYTES: u64 = 16;

/// How far a core is.
#[derive(Debug)]
pub(super) struct Writing {
    file: PathBuf,
    total: u64,
}

/// Where a core is while it is written.
fn unfinished(path: &Path) -> PathBuf {
    let mut unfinished = path.to_owned().into_os_string();
    unfinished.push("-incomplete");
    unfinished.into()
}

fn about(path: &Path, error: impl std::fmt::Display) -> Fault {
    Fault::text(format!("{}: {error}", path.display()))
}

/// Whether there is room for so many bytes.
fn check_room(directory: &Path, name: &str, bytes: u64) -> Result<(), Fault> {
    let system = statvfs(directory).map_err(|error| about(directory, error))?;
    let free = system.blocks_free().saturating_mul(system.fragment_size());
    if free < bytes {
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        return Err(Fault::text(format!(
            "{} has {} MiB free, and the core of {name} takes {} MiB",
            directory.display(),
            free >> 20,
            mib(bytes)
        )));
    }
    Ok(())
}

/// Opens a file that only its owner can read, or makes it. The directory may be one where others make files: a link of
/// theirs is not followed, and a file of theirs not written to.
fn open_own(path: &Path) -> io::Result<File> {
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
fn is_named(file: &File, path: &Path) -> bool {
    let (Ok(file), Ok(named)) = (file.metadata(), fs::symlink_metadata(path)) else {
        return false;
    };
    (file.dev(), file.ino()) == (named.dev(), named.ino())
}

impl Xend {
    /// Writes the core of a domain. No lock is held meanwhile: whatever else is asked, also of this domain, is done.
    pub(super) fn dump_core(
        &self,
        domain: &str,
        file: Option<&str>,
        live: bool,
        then: AfterDump,
    ) -> Result<Response, Fault> {
        let view = self.guest(domain, "Cannot dump core for")?;
        let number = DomId(view.domid.unwrap_or_default());
        let stops = !live && self.alone(&view, |domain, record| self.stop(domain, record))?;
        let written = self.write_core(number, &view.name, file.map(Path::new));
        // What is to end, is not let go on; what could not be written, goes on.
        if stops && (then == AfterDump::GoOn || written.is_err()) {
            let gone_on = self.alone(&view, |domain, record| self.go_on(domain, record));
            // One that is gone has not been written either.
            if let (Ok(()), Err(fault)) = (&written, gone_on) {
                return Err(fault);
            }
        }
        written?;
        // The domain that was written is meant, whatever it, or another one, is called by now.
        match then {
            AfterDump::GoOn => Ok(Response::Done),
            AfterDump::Destroy => self.destroy_guest(&view),
            AfterDump::Reset => self.reset_guest(&view),
        }
    }

    /// Pauses a domain whose core is to be written, unless it is paused.
    fn stop(&self, domain: DomId, record: Option<Record>) -> Result<bool, Fault> {
        if let Some(record) = &record
            && record.paused_for_dump
        {
            let name = &record.config.name;
            return Err(Fault::text(format!(
                "a core of {name} is being written already"
            )));
        }
        if self.is_paused(domain)? {
            return Ok(false);
        }
        // Noted first: who is killed in between leaves nothing paused.
        let mut record = record;
        if let Some(record) = &mut record {
            record.paused_for_dump = true;
            self.table.put(record);
        }
        let paused = self.machine.pause(domain);
        if paused.is_err()
            && let Some(record) = &mut record
        {
            record.paused_for_dump = false;
            self.table.put(record);
        }
        paused?;
        Ok(true)
    }

    /// Lets it go on, unless an administrator has paused it meanwhile.
    fn go_on(&self, domain: DomId, record: Option<Record>) -> Result<(), Fault> {
        let mut is_wanted = true;
        if let Some(mut record) = record {
            record.paused_for_dump = false;
            self.table.put(&record);
            is_wanted = !record.paused_by_admin;
        }
        if is_wanted && self.is_paused(domain)? {
            self.machine.unpause(domain)?;
        }
        Ok(())
    }

    /// Writes the core of a domain that has crashed. Without one, it goes its way all the same.
    pub(super) fn dump_crashed(&self, domain: DomId, name: &str) {
        if let Err(fault) = self.write_core(domain, name, None) {
            log::error!("{name}: no core is written: {fault}");
        }
    }

    fn write_core(&self, domain: DomId, name: &str, file: Option<&Path>) -> Result<(), Fault> {
        let Some(path) = file else {
            let directory = self.places.dumps.join(name);
            let mut builder = DirBuilder::new();
            let made = builder.recursive(true).mode(0o700).create(&directory);
            made.map_err(|error| about(&directory, error))?;
            let path = directory.join(usual_name(now() as u64, name, domain));
            let written = self.write_core_to(domain, name, &path);
            if written.is_err() {
                // Unless there are other cores.
                let _ = fs::remove_dir(&directory);
            }
            return written;
        };
        self.write_core_to(domain, name, path)
    }

    /// The whole core, or nothing.
    fn write_core_to(&self, domain: DomId, name: &str, path: &Path) -> Result<(), Fault> {
        if fs::metadata(path).is_ok_and(|there| !there.is_file()) {
            return Err(about(path, "this is no file that a core could replace"));
        }
        let info = self.machine.domain(domain)?;
        let frames = info.map_or(0, |info| info.tot_pages);
        let total = frames
            .saturating_mul(PAGE_SIZE as u64 + LISTED_BYTES)
            .saturating_add(HEAD_BYTES);
        let directory = path.parent().unwrap_or(Path::new("/"));
        check_room(directory, name, total)?;
        let unfinished = unfinished(path);
        let mut file = open_own(&unfinished).map_err(|error| about(&unfinished, error))?;
        let is_locked = file.try_lock().is_ok();
        // Whoever had the lock before may have given the file its name, or removed it.
        if !is_locked || !is_named(&file, &unfinished) {
            return Err(about(&unfinished, "another core is being written there"));
        }
        let writing = Writing {
            file: unfinished.clone(),
            total,
        };
        self.writings().insert(domain.0, writing);
        let written = file
            .set_len(0)
            .map_err(|error| about(&unfinished, error))
            .and_then(|()| {
                let frames = self.machine.dump_core(domain, &mut file);
                frames.map_err(|error| Fault::text(format!("Failed to dump core: {error}")))
            })
            .and_then(|frames| {
                fs::rename(&unfinished, path).map_err(|error| about(path, error))?;
                Ok(frames)
            });
        self.writings().remove(&domain.0);
        match written {
            Ok(frames) => {
                log::info!(
                    "{name}: the core of domain {} with {frames} frames is in {}",
                    domain.0,
                    path.display()
                );
                Ok(())
            }
            Err(fault) => {
                let _ = fs::remove_file(&unfinished);
                Err(fault)
            }
        }
    }

    fn writings(&self) -> MutexGuard<'_, BTreeMap<u16, Writing>> {
        self.writings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far the core of a domain is; nothing of nothing if none is being written.
    pub(super) fn dump_progress(&self, domain: &str) -> Result<Response, Fault> {
        let view = self.resolve(domain)?;
        let domid = view.domid.unwrap_or_default();
        let (done, total) = match self.writings().get(&domid) {
            Some(writing) => {
                let length = fs::metadata(&writing.file).map_or(0, |there| there.len());
                (length.min(writing.total), writing.total)
            }
            None => (0, 0),
        };
        Ok(Response::Progress { done, total })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::domain::Action;
    use crate::xend::create::Start;
    use crate::xend::machine::Machine;
    use crate::xend::testing::{World, config};
    use guest_abi::domctl_domain::DomainInfoFlags;
    use std::sync::mpsc::channel;

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
    fn what_fails_leaves_nothing_and_the_domain_goes_on() {
        let (world, xend) = running("half-dumped");
        let refused = |sentence: &str| {
            let refused = xend.dump_core("etch", None, false, AfterDump::Destroy);
            let said = refused.unwrap_err().to_string();
            assert!(said.contains(sentence), "{said}");
            assert!(world.state().domains[&1].flags == DomainInfoFlags::BLOCKED);
            assert!(!xend.places.dumps.join("etch").exists());
        };
        // The first step pauses it.
        world.state().refuse_at(2);
        refused("Failed to dump core: ");
        world.state().domains.get_mut(&1).unwrap().tot_pages = 1 << 50;
        refused(" MiB free, and the core of etch takes ");
        world.state().domains.get_mut(&1).unwrap().tot_pages = 16384;
        fs::create_dir_all(&xend.places.dumps).unwrap();
        let own = xend.places.dumps.join("own");
        let dump = |file: &Path| xend.dump_core("etch", file.to_str(), false, AfterDump::GoOn);
        // What was there stays until there is another one.
        fs::write(&own, "former").unwrap();
        world.state().refuse_at(2);
        assert!(dump(&own).is_err());
        assert_eq!(fs::read(&own).unwrap(), b"former");
        let said = dump(Path::new("/dev/null")).unwrap_err().to_string();
        assert!(said.starts_with("/dev/null: this is no file"), "{said}");
        dump(&own).unwrap();
        assert_eq!(fs::read(&own).unwrap(), b"core");
        assert_eq!(fs::read_dir(&xend.places.dumps).unwrap().count(), 1);
        fs::remove_dir_all(&xend.places.dumps).unwrap();
    }

    #[test]
    fn another_that_is_called_by_its_number_is_left_alone() {
        let (world, xend) = running("called-by-number");
        let _ = xend.create(config("1"), Start::Running).unwrap();
        xend.dump_core("etch", None, true, AfterDump::Destroy)
            .unwrap();
        let left: Vec<u16> = world.state().domains.keys().copied().collect();
        assert_eq!(left, [2]);
        fs::remove_dir_all(&xend.places.dumps).unwrap();
    }

    #[test]
    fn one_that_can_t_be_paused_can_be_dumped_later() {
        let (world, xend) = running("not-paused");
        world.state().refuse_at(1);
        let dump = || xend.dump_core("etch", None, false, AfterDump::GoOn);
        assert!(dump().is_err());
        assert!(!xend.table.all().remove(0).paused_for_dump);
        dump().unwrap();
        fs::remove_dir_all(&xend.places.dumps).unwrap();
    }

    #[test]
    fn what_others_put_in_the_way_is_neither_followed_nor_written() {
        let (_, xend) = running("in-the-way");
        fs::create_dir_all(&xend.places.dumps).unwrap();
        let own = xend.places.dumps.join("own");
        let (other, unfinished) = (xend.places.dumps.join("other"), unfinished(&own));
        fs::write(&other, "other's").unwrap();
        let refused = || {
            let refused = xend.dump_core("etch", own.to_str(), false, AfterDump::GoOn);
            assert!(refused.is_err() && !own.exists());
            assert_eq!(fs::read(&other).unwrap(), b"other's");
            fs::remove_file(&unfinished).unwrap();
        };
        std::os::unix::fs::symlink(&other, &unfinished).unwrap();
        refused();
        fs::hard_link(&other, &unfinished).unwrap();
        refused();
        nix::unistd::mkfifo(&unfinished, nix::sys::stat::Mode::S_IRWXU).unwrap();
        refused();
        // One that a killed daemon has left is written anew, and is nobody else's to read.
        fs::write(&unfinished, "left").unwrap();
        fs::set_permissions(&unfinished, Permissions::from_mode(0o666)).unwrap();
        xend.dump_core("etch", own.to_str(), false, AfterDump::GoOn)
            .unwrap();
        assert_eq!(fs::read(&own).unwrap(), b"core");
        assert_eq!(own.metadata().unwrap().mode() & 0o777, 0o600);
        fs::remove_dir_all(&xend.places.dumps).unwrap();
    }

    /// A dump takes long, and is over only when the test says so.
    fn while_dumping(
        test: &str,
        then: AfterDump,
        act: impl FnOnce(&World, &Xend),
    ) -> (World, Result<Response, Fault>) {
        let (world, xend) = running(test);
        let (begins, begun) = channel();
        let (ends, ended) = channel();
        world.state().dump_gate = Some((begins, ended));
        let dumped = std::thread::scope(|scope| {
            let dumping = scope.spawn(|| xend.dump_core("etch", None, false, then));
            begun.recv().unwrap();
            // If this has to wait for the dump, it waits for ever.
            act(&world, &xend);
            ends.send(()).unwrap();
            dumping.join().unwrap()
        });
        let _ = fs::remove_dir_all(&xend.places.dumps);
        (world, dumped)
    }

    #[test]
    fn everything_is_answered_while_a_core_is_written() {
        let (world, dumped) = while_dumping("gated", AfterDump::GoOn, |_, xend| {
            let etch = xend.resolve("etch").unwrap();
            assert_eq!(etch.state, "--p---");
            assert_eq!(
                xend.dump_progress("etch"),
                Ok(Response::Progress {
                    done: 0,
                    total: 16384 * 4112 + (1 << 20)
                })
            );
            let _ = xend.create(config("sarge"), Start::Running).unwrap();
            assert_eq!(xend.domain_views().unwrap().len(), 2);
            let again = xend.dump_core("etch", None, false, AfterDump::GoOn);
            let said = again.unwrap_err().to_string();
            assert_eq!(said, "a core of etch is being written already");
            xend.rename("etch", "woody").unwrap();
            xend.destroy("sarge").unwrap();
        });
        dumped.unwrap();
        assert!(world.state().domains[&1].flags == DomainInfoFlags::BLOCKED);
    }

    #[test]
    fn what_is_done_meanwhile_stays_done() {
        // It was paused by an administrator, and stays so.
        let (world, dumped) = while_dumping("paused", AfterDump::GoOn, |_, xend| {
            xend.pause("etch").unwrap();
        });
        dumped.unwrap();
        let is_paused = |world: &World| {
            let state = world.state();
            state.domains[&1].flags.contains(DomainInfoFlags::PAUSED)
        };
        assert!(is_paused(&world));
        let (world, dumped) = while_dumping("unpaused", AfterDump::GoOn, |world, xend| {
            xend.unpause("etch").unwrap();
            assert!(!is_paused(world));
        });
        dumped.unwrap();
        assert!(!is_paused(&world));
        let (world, _) = while_dumping("destroyed", AfterDump::Destroy, |_, xend| {
            xend.destroy("etch").unwrap();
        });
        assert!(world.state().domains.is_empty());
    }

    #[test]
    fn a_daemon_that_is_killed_leaves_nothing_paused() {
        let (world, xend) = running("killed-dumping");
        let mut record = xend.table.all().remove(0);
        record.paused_for_dump = true;
        xend.table.put(&record);
        world.pause(DomId(1)).unwrap();
        let next = world.xend("killed-dumping");
        next.take_over().unwrap();
        assert!(world.state().domains[&1].flags == DomainInfoFlags::BLOCKED);
        assert!(!next.table.all().remove(0).paused_for_dump);
    }

    #[test]
    fn one_that_has_crashed_can_be_destroyed_while_its_core_is_written() {
        let (world, xend) = running("crashed-dumping");
        let mut record = xend.table.all().remove(0);
        record.config.on_crash = Action::CoredumpRestart;
        record.start_time -= 3600.0;
        xend.table.put(&record);
        let uuid = record.config.uuid;
        let crash = |act: &dyn Fn()| {
            let domid = xend.resolve("etch").unwrap().domid.unwrap();
            world.state().end(domid, 3);
            let (begins, begun) = channel();
            let (ends, ended) = channel();
            world.state().dump_gate = Some((begins, ended));
            std::thread::scope(|scope| {
                let seen_to = scope.spawn(|| xend.see_to_end(uuid, domid));
                begun.recv().unwrap();
                // Who looks again does nothing of it twice.
                xend.see_to_end(uuid, domid);
                act();
                ends.send(()).unwrap();
                seen_to.join().unwrap();
            });
        };
        crash(&|| {});
        assert_eq!(xend.resolve("etch").unwrap().domid, Some(2));
        crash(&|| drop(xend.destroy("etch").unwrap()));
        assert!(world.state().domains.is_empty() && xend.table.all().is_empty());
        fs::remove_dir_all(&xend.places.dumps).unwrap();
    }
}
