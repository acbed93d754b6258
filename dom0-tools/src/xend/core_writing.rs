//! Writing cores: the room for them, what is noted meanwhile, and which old ones go.

use super::Xend;
use super::core_files::{
    Cause, Room, about, cores_of_crashes, freed_by, is_named, open_own, remove_old,
    remove_unfinished, unfinished, usual_name,
};
use super::create::now;
use super::nodes::Nodes;
use super::protocol::{Fault, Response};
use super::record::Record;
use super::store_tree;
use crate::config::domain::Uuid;
use guest_abi::ids::{DomId, PAGE_SIZE};
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::{MutexGuard, PoisonError};

/// What a core has besides the frames: its head, and for each frame two numbers.
const HEAD_BYTES: u64 = 1 << 20;
const LISTED_BYTES: u64 = 16;

/// A core that is being written.
#[derive(Clone, Debug)]
pub(super) struct Writing {
    domain: DomId,
    file: PathBuf,
    /// Of the file system where it is.
    device: Option<u64>,
    total: u64,
}

impl Writing {
    fn done(&self) -> u64 {
        fs::metadata(&self.file).map_or(0, |there| there.len().min(self.total))
    }
}

/// All that are, by numbers of which none is given twice.
#[derive(Debug, Default)]
pub(super) struct Writings {
    all: BTreeMap<u64, Writing>,
    next: u64,
}

impl Writings {
    fn add(&mut self, writing: Writing) -> u64 {
        let number = self.next;
        self.next += 1;
        self.all.insert(number, writing);
        number
    }
}

impl Xend {
    /// Writes a core where it is looked for. Of those of crashes only the newest are kept; what an administrator has asked
    /// for is nobody else's to remove.
    pub(super) fn write_usual_core(
        &self,
        domain: DomId,
        name: &str,
        cause: Cause,
    ) -> Result<(), Fault> {
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

    /// Notes that a core will be written, if there is room for it where so many bytes are freed.
    fn promise_room(
        &self,
        name: &str,
        directory: &Path,
        writing: Writing,
        freed: u64,
    ) -> Result<u64, Fault> {
        let is_beside = |other: &Writing| other.device == writing.device;
        // What may wait for a disk is looked at without the lock. Of what others write meanwhile some counts twice, and
        // none not at all.
        let seen = self.writings().all.clone();
        let beside = seen.values().filter(|other| is_beside(other));
        let left_of_seen: u64 = beside.map(|other| other.total - other.done()).sum();
        let room = Room::of(directory)?.with(freed);
        let reserve_percent = self.settings().dump_reserve_percent();
        // Those that have begun since are found and this one is noted in one: no two take the same room.
        let mut writings = self.writings();
        let begun = writings.all.iter();
        let begun = begun.filter(|(number, other)| !seen.contains_key(number) && is_beside(other));
        let promised = left_of_seen + begun.map(|(_, other)| other.total).sum::<u64>();
        room.check(directory, name, writing.total, promised, reserve_percent)?;
        Ok(writings.add(writing))
    }

    /// Where is noted which cores are being written, for who takes over if this daemon is killed.
    pub(super) fn notes(&self) -> PathBuf {
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
    pub(super) fn write_core_to(
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
        let writing = Writing {
            domain,
            file: unfinished.clone(),
            device: fs::metadata(directory).map(|there| there.dev()).ok(),
            total,
        };
        let promise = |freed| self.promise_room(name, directory, writing.clone(), freed);
        let number = promise(0).or_else(|fault| {
            if old.is_empty() {
                return Err(fault);
            }
            // They go only if that is enough.
            let number = promise(freed_by(old))?;
            remove_old(old);
            Ok(number)
        })?;
        let note = self.note(number, &unfinished);
        let uuid = info.map(|info| Uuid(info.handle));
        self.tell_store(domain, uuid, store_tree::note_dumping);
        let written = self.write_promised(domain, &unfinished, path);
        let _ = fs::remove_file(note);
        let is_last = {
            let mut writings = self.writings();
            writings.all.remove(&number);
            writings.all.values().all(|other| other.domain != domain)
        };
        if is_last {
            self.tell_store(domain, uuid, store_tree::note_dumped);
        }
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

    /// Notes in the store that a core of a guest is being written, or no more, unless the guest is gone. Without the note it
    /// is written all the same.
    fn tell_store(
        &self,
        domain: DomId,
        uuid: Option<Uuid>,
        tell: fn(&mut dyn Nodes, Uuid) -> Result<(), Fault>,
    ) {
        let Some(uuid) = uuid else { return };
        let Some(lock) = self.table.lock_of(uuid) else {
            return;
        };
        // Who ends the guest removes its nodes with this lock.
        let _alone = lock.lock().unwrap_or_else(PoisonError::into_inner);
        let is_there = |record: &Record| record.domid == Some(domain.0);
        if !self.table.get(uuid).as_ref().is_some_and(is_there) {
            return;
        }
        let told = self
            .connect_store()
            .and_then(|mut store| tell(&mut *store, uuid));
        if let Err(fault) = told {
            log::warn!("domain {}: {fault}", domain.0);
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
                // A disk that is full may say so only now, and what has the name must be whole whatever happens next.
                file.sync_all().map_err(|error| about(unfinished, error))?;
                fs::rename(unfinished, path).map_err(|error| about(path, error))?;
                Ok(frames)
            });
        if written.is_err() {
            let _ = fs::remove_file(unfinished);
        }
        written
    }

    fn writings(&self) -> MutexGuard<'_, Writings> {
        self.writings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far the core of a domain is; nothing of nothing if none is being written.
    pub(super) fn dump_progress(&self, domain: &str) -> Result<Response, Fault> {
        let view = self.resolve(domain)?;
        let domid = view.domid.unwrap_or_default();
        let of_domain = |writing: &&Writing| writing.domain.0 == domid;
        let found = self.writings().all.values().find(of_domain).cloned();
        let (done, total) = found.map_or((0, 0), |writing| (writing.done(), writing.total));
        Ok(Response::Progress { done, total })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xend::protocol::AfterDump;
    use crate::xend::testing::{World, running};
    use nix::fcntl::posix_fallocate;
    use std::fs::{File, Permissions};
    use std::os::unix::fs::PermissionsExt;

    /// A core of another domain.
    fn other(directory: &Path, file: &str, total: u64) -> Writing {
        Writing {
            domain: DomId(9),
            file: directory.join(file),
            device: Some(directory.metadata().unwrap().dev()),
            total,
        }
    }

    #[test]
    fn room_is_promised_once() {
        let (world, xend) = running("promised");
        fs::create_dir_all(&xend.places.dumps).unwrap();
        let all = Room::of(&xend.places.dumps).unwrap();
        let promise = |file: &str, total| {
            let writing = other(&xend.places.dumps, file, total);
            xend.promise_room("etch", &xend.places.dumps, writing, 0)
        };
        // Half of what is free fits once, twice with the reserve it does not.
        let half = all.free / 2;
        let first = promise("a", half).unwrap();
        assert!(promise("b", half).is_err());
        xend.writings().all.remove(&first);
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
        // One that is not whole removes none. The first step notes in the store that it is written.
        world.state().refuse_at(2);
        let _ = xend.dump_crashed(DomId(1), "etch");
        assert_eq!(cores().len(), 5);
        let _ = xend.dump_crashed(DomId(1), "etch");
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
    fn old_cores_make_room_for_a_new_one_if_that_is_enough() {
        let settings = World::default().directory("room-made");
        let settings = settings.with_extension("settings");
        fs::write(&settings, "(dump-reserve 0)").unwrap();
        let (world, xend) = running("room-made");
        let directory = xend.places.dumps.join("etch");
        fs::create_dir_all(&directory).unwrap();
        let old = [2001, 2002, 2003].map(|year| {
            let core = directory.join(format!("{year}-0101-0000.00-etch.1.crash.core"));
            fs::write(&core, "").unwrap();
            core
        });
        let crash_with = |frames| {
            world.state().domains.get_mut(&1).unwrap().tot_pages = frames;
            let _ = xend.dump_crashed(DomId(1), "etch");
            cores_of_crashes(&directory, "etch")
        };
        // More than there is, whatever is removed.
        assert_eq!(crash_with(1 << 50), old);
        // Half of what is missing is free, and the oldest has the other half: the disk's, not only in name.
        let half = 128 << 20;
        let large = File::options().write(true).open(&old[0]).unwrap();
        large.set_len(4 * half).unwrap();
        let free = Room::of(&directory).unwrap().free;
        let promised = xend.writings().add(other(&directory, "other", free - half));
        let frames = (half + half / 2) / PAGE_SIZE as u64;
        assert_eq!(crash_with(frames), old);
        posix_fallocate(&large, 0, half as i64).unwrap();
        xend.writings().all.get_mut(&promised).unwrap().total -= half;
        let left = crash_with(frames);
        assert_eq!((left.len(), &left[..2]), (3, &old[1..]));
        fs::remove_file(&settings).unwrap();
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
}
