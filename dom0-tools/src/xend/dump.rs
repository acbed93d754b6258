//! Core dumps.

use super::Xend;
use super::core_files::{
    Cause, Room, about, cores_of_crashes, is_named, open_own, remove_old, remove_unfinished,
    unfinished, usual_name,
};
use super::create::now;
use super::protocol::{AfterDump, Fault, Response};
use super::record::Record;
use guest_abi::ids::{DomId, PAGE_SIZE};
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::{MutexGuard, PoisonError};

/// What a core has besides the frames: its head, and for each frame two numbers.
const HEAD_BYTES: u64 = 1 << 20;
const LISTED_BYTES: u64 = 16;

/// How far a core is.
#[derive(Debug)]
pub(super) struct Writing {
    domain: DomId,
    file: PathBuf,
    total: u64,
}

impl Writing {
    fn done(&self) -> u64 {
        fs::metadata(&self.file).map_or(0, |there| there.len().min(self.total))
    }
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
        let written = match file {
            Some(file) => self.write_core_to(number, &view.name, Path::new(file), &[]),
            None => self.write_usual_core(number, &view.name, Cause::Asked),
        };
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
        if let Err(fault) = self.write_usual_core(domain, name, Cause::Crash) {
            log::error!("{name}: no core is written: {fault}");
        }
    }

    /// Writes a core where it is looked for. Of those of crashes only the newest are kept; what an administrator has asked
    /// for is nobody else's to remove.
    fn write_usual_core(&self, domain: DomId, name: &str, cause: Cause) -> Result<(), Fault> {
        let directory = self.places.dumps.join(name);
        let mut builder = DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(&directory);
        made.map_err(|error| about(&directory, error))?;
        let mut old = Vec::new();
        if cause == Cause::Crash {
            old = cores_of_crashes(&directory, name);
            let most = self.settings().cores_of_crashes();
            old.truncate((old.len() + 1).saturating_sub(most));
        }
        let path = directory.join(usual_name(now() as u64, name, domain, cause));
        let written = self.write_core_to(domain, name, &path, &old);
        if written.is_err() {
            // Unless there are other cores.
            let _ = fs::remove_dir(&directory);
        }
        written
    }

    /// Notes that a core will be written, if there is room for it.
    fn promise_room(&self, name: &str, directory: &Path, writing: Writing) -> Result<u64, Fault> {
        // Looked at and noted in one: others that are to be written do not take the same room.
        let mut writings = self.writings();
        let device = |path: &Path| fs::metadata(path).map(|there| there.dev()).ok();
        let here = device(directory);
        let promised: u64 = writings
            .values()
            .filter(|other| other.file.parent().and_then(device) == here)
            .map(|other| other.total - other.done())
            .sum();
        let reserve_percent = self.settings().dump_reserve_percent();
        let room = Room::of(directory)?;
        room.check(directory, name, writing.total, promised, reserve_percent)?;
        let number = writings.last_key_value().map_or(0, |(last, _)| last + 1);
        writings.insert(number, writing);
        Ok(number)
    }

    /// Where is noted which cores are being written, for who takes over if this daemon is killed.
    fn notes(&self) -> PathBuf {
        self.places.records.with_extension("cores")
    }

    /// Notes, by a link, that something will be written there. Without the note it is written all the same.
    fn note(&self, number: u64, unfinished: &Path) -> PathBuf {
        let note = self.notes().join(number.to_string());
        let noted = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(self.notes())
            .and_then(|()| {
                let _ = fs::remove_file(&note);
                symlink(std::path::absolute(unfinished)?, &note)
            });
        if let Err(error) = noted {
            log::warn!("{}: {error}", note.display());
        }
        note
    }

    /// Removes what a daemon that was killed has left of cores.
    pub(super) fn remove_unfinished_cores(&self) {
        for note in fs::read_dir(self.notes()).into_iter().flatten().flatten() {
            let note = note.path();
            if let Ok(unfinished) = fs::read_link(&note) {
                remove_unfinished(&unfinished);
                // Unless there are other cores.
                if let Some(directory) = unfinished.parent()
                    && directory.parent() == Some(&self.places.dumps)
                {
                    let _ = fs::remove_dir(directory);
                }
            }
            let _ = fs::remove_file(&note);
        }
    }

    /// The whole core, or nothing. Old ones go when it is there, or before if there is no room else.
    fn write_core_to(
        &self,
        domain: DomId,
        name: &str,
        path: &Path,
        old: &[PathBuf],
    ) -> Result<(), Fault> {
        if fs::metadata(path).is_ok_and(|there| !there.is_file()) {
            return Err(about(path, "this is no file that a core could replace"));
        }
        let info = self.machine.domain(domain)?;
        let frames = info.map_or(0, |info| info.tot_pages);
        let total = frames
            .saturating_mul(PAGE_SIZE as u64 + LISTED_BYTES)
            .saturating_add(HEAD_BYTES);
        let directory = path.parent().unwrap_or(Path::new("/"));
        let unfinished = unfinished(path);
        let promise = || {
            let file = unfinished.clone();
            let writing = Writing {
                domain,
                file,
                total,
            };
            self.promise_room(name, directory, writing)
        };
        let number = promise().or_else(|fault| {
            if old.is_empty() {
                return Err(fault);
            }
            remove_old(old);
            promise()
        })?;
        let note = self.note(number, &unfinished);
        let written = self.write_promised(domain, &unfinished, path);
        let _ = fs::remove_file(note);
        self.writings().remove(&number);
        match written {
            Ok(frames) => {
                log::info!(
                    "{name}: the core of domain {} with {frames} frames is in {}",
                    domain.0,
                    path.display()
                );
                remove_old(old);
                Ok(())
            }
            Err(fault) => Err(fault),
        }
    }

    /// Writes a core for which there is room.
    fn write_promised(
        &self,
        domain: DomId,
        unfinished: &Path,
        path: &Path,
    ) -> Result<usize, Fault> {
        let mut file = open_own(unfinished).map_err(|error| about(unfinished, error))?;
        let is_locked = file.try_lock().is_ok();
        // Whoever had the lock before may have given the file its name, or removed it.
        if !is_locked || !is_named(&file, unfinished) {
            return Err(about(unfinished, "another core is being written there"));
        }
        let written = file
            .set_len(0)
            .map_err(|error| about(unfinished, error))
            .and_then(|()| {
                let frames = self.machine.dump_core(domain, &mut file);
                frames.map_err(|error| Fault::text(format!("Failed to dump core: {error}")))
            })
            .and_then(|frames| {
                fs::rename(unfinished, path).map_err(|error| about(path, error))?;
                Ok(frames)
            });
        if written.is_err() {
            let _ = fs::remove_file(unfinished);
        }
        written
    }

    fn writings(&self) -> MutexGuard<'_, BTreeMap<u64, Writing>> {
        self.writings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far the core of a domain is; nothing of nothing if none is being written.
    pub(super) fn dump_progress(&self, domain: &str) -> Result<Response, Fault> {
        let view = self.resolve(domain)?;
        let domid = view.domid.unwrap_or_default();
        let writings = self.writings();
        let mut of_domain = writings.values().filter(|one| one.domain.0 == domid);
        let (done, total) = match of_domain.next() {
            Some(writing) => (writing.done(), writing.total),
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
    use std::fs::{File, Permissions};
    use std::os::unix::fs::PermissionsExt;
    use std::sync::mpsc::channel;

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
    fn room_is_promised_once() {
        let (world, xend) = running("promised");
        fs::create_dir_all(&xend.places.dumps).unwrap();
        let all = Room::of(&xend.places.dumps).unwrap();
        let writing = |file: &str, total| Writing {
            domain: DomId(9),
            file: xend.places.dumps.join(file),
            total,
        };
        let promise =
            |file, total| xend.promise_room("etch", &xend.places.dumps, writing(file, total));
        // Half of what is free fits once, twice with the reserve it does not.
        let half = all.free / 2;
        let first = promise("a", half).unwrap();
        assert!(promise("b", half).is_err());
        xend.writings().remove(&first);
        promise("b", half).unwrap();
        drop(world);
        fs::remove_dir_all(&xend.places.dumps).unwrap();
    }

    #[test]
    fn of_cores_of_crashes_the_newest_are_kept_and_of_others_all() {
        let (world, xend) = running("many-cores");
        let directory = xend.places.dumps.join("etch");
        fs::create_dir_all(&directory).unwrap();
        let others = [
            // Asked for by an administrator, and of guests that are called similarly.
            "1999-0101-0000.00-etch.1.core",
            "1999-0101-0000.00-etch.x.1.crash.core",
            "1999-0101-0000.00-tch.1.crash.core",
            "1999-0101-0000.00-etch.1.crash.core.old",
            "notes",
        ];
        for (number, file) in others.iter().enumerate() {
            fs::write(directory.join(file), number.to_string()).unwrap();
        }
        let crash_of = |year: u32| format!("{year}-0101-0000.00-etch.{year}.crash.core");
        for year in 2001..=2005 {
            fs::write(directory.join(crash_of(year)), "").unwrap();
        }
        let cores = || cores_of_crashes(&directory, "etch");
        // One that is not whole removes none.
        world.state().refuse_at(1);
        xend.dump_crashed(DomId(1), "etch");
        assert_eq!(cores().len(), 5);
        xend.dump_crashed(DomId(1), "etch");
        let left = cores();
        assert_eq!(left.len(), 3);
        assert_eq!(
            left[..2],
            [2004, 2005].map(|year| directory.join(crash_of(year)))
        );
        assert!(left[2].to_string_lossy().ends_with("-etch.1.crash.core"));
        for file in others {
            assert!(directory.join(file).exists(), "{file}");
        }
        fs::remove_dir_all(&xend.places.dumps).unwrap();
    }

    #[test]
    fn old_cores_make_room_for_a_new_one_if_there_is_none_else() {
        let (world, xend) = running("room-made");
        let directory = xend.places.dumps.join("etch");
        fs::create_dir_all(&directory).unwrap();
        for year in 2001..=2003 {
            let core = format!("{year}-0101-0000.00-etch.1.crash.core");
            fs::write(directory.join(core), "").unwrap();
        }
        // More than there is: the oldest goes, which does not help here, and the others stay.
        world.state().domains.get_mut(&1).unwrap().tot_pages = 1 << 50;
        xend.dump_crashed(DomId(1), "etch");
        let left = cores_of_crashes(&directory, "etch");
        assert_eq!(left.len(), 2);
        assert!(left[0].to_string_lossy().contains("/2002-"));
        fs::remove_dir_all(&xend.places.dumps).unwrap();
    }

    #[test]
    fn what_a_killed_daemon_has_left_of_cores_is_removed() {
        let (world, xend) = running("left-cores");
        let elsewhere = world.directory("left-cores").with_extension("elsewhere");
        fs::create_dir_all(&elsewhere).unwrap();
        let usual = xend.places.dumps.join("etch").join("x.core-incomplete");
        fs::create_dir_all(usual.parent().unwrap()).unwrap();
        let named = |name: &str| elsewhere.join(name);
        let left = [&usual, &named("own-incomplete")];
        let kept = [
            &named("written-incomplete"),
            &named("linked-incomplete"),
            &named("whole"),
        ];
        for (number, file) in left.into_iter().chain(kept).enumerate() {
            fs::write(file, "half").unwrap();
            let _ = xend.note(number as u64, file);
        }
        // Another daemon is at it, or it is somebody else's.
        let written = File::open(kept[0]).unwrap();
        written.try_lock().unwrap();
        fs::hard_link(kept[1], named("other")).unwrap();
        let next = world.xend("left-cores");
        next.take_over().unwrap();
        assert!(left.iter().all(|file| !file.exists()));
        assert!(kept.iter().all(|file| file.exists()));
        assert!(!usual.parent().unwrap().exists());
        assert_eq!(fs::read_dir(next.notes()).unwrap().count(), 0);
        for directory in [&elsewhere, &next.notes(), &next.places.dumps] {
            fs::remove_dir_all(directory).unwrap();
        }
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
            // Who takes over finds what is to be removed if this daemon is killed now.
            let note = fs::read_dir(xend.notes()).unwrap().next().unwrap().unwrap();
            let unfinished = fs::read_link(note.path()).unwrap();
            assert!(unfinished.exists() && unfinished.starts_with(&xend.places.dumps));
            xend.rename("etch", "woody").unwrap();
            xend.destroy("sarge").unwrap();
        });
        dumped.unwrap();
        assert!(world.state().domains[&1].flags == DomainInfoFlags::BLOCKED);
        let notes = world.directory("gated").with_extension("cores");
        assert_eq!(fs::read_dir(notes).unwrap().count(), 0);
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
