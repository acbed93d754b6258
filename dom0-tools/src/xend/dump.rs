//! Core dumps.

use super::Xend;
use super::core_files::Cause;
use super::domains::known;
use super::protocol::{AfterDump, Fault, Response};
use super::record::Record;
use guest_abi::ids::DomId;
use std::path::Path;

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
        if then == AfterDump::Reset {
            // Refused now, and not when the core is there.
            self.alone(&view, |_, record| known(record, &view.name).map(drop))?;
        }
        let stops = !live && self.alone(&view, |domain, record| self.stop(domain, record))?;
        let written = match file {
            Some(file) => self.write_core_to(number, &view.name, Path::new(file), &[]),
            None => self.write_usual_core(number, &view.name, Cause::Asked),
        };
        // The domain that was written is meant, whatever it, or another one, is called by now.
        let done = written.and_then(|()| match then {
            AfterDump::GoOn => Ok(Response::Done),
            AfterDump::Destroy => self.destroy_guest(&view),
            AfterDump::Reset => self.reset_guest(&view),
        });
        // What has not ended goes on, also if it was to end.
        if stops && (then == AfterDump::GoOn || done.is_err()) {
            let gone_on = self.alone(&view, |domain, record| self.go_on(domain, record));
            // One that is gone has not been written, or has ended as it was to.
            if let (Ok(_), Err(fault)) = (&done, gone_on) {
                return Err(fault);
            }
        }
        done
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
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub(super) fn dump_crashed(&self, domain: DomId, name: &str) -> Result<(), Fault> {
        self.write_usual_core(domain, name, Cause::Crash)
            .inspect_err(|fault| log::error!("{name}: no core is written: {fault}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::domain::Action;
    use crate::xend::create::Start;
    use crate::xend::machine::Machine;
    use crate::xend::testing::{World, config, running};
    use guest_abi::domctl_domain::DomainInfoFlags;
    use std::fs;
    use std::sync::mpsc::channel;

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
        // The first step pauses it, the second one notes in the store that its core is written.
        world.state().refuse_at(3);
        refused("Failed to dump core: ");
        world.state().domains.get_mut(&1).unwrap().tot_pages = 1 << 50;
        refused(" MiB free, and the core of etch takes ");
        world.state().domains.get_mut(&1).unwrap().tot_pages = 16384;
        fs::create_dir_all(&xend.places.dumps).unwrap();
        let own = xend.places.dumps.join("own");
        let dump = |file: &Path| xend.dump_core("etch", file.to_str(), false, AfterDump::GoOn);
        // What was there stays until there is another one.
        fs::write(&own, "former").unwrap();
        world.state().refuse_at(3);
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
    fn one_that_can_t_be_ended_goes_on() {
        let (world, xend) = running("immortal");
        world.state().is_immortal = true;
        for then in [AfterDump::Destroy, AfterDump::Reset] {
            assert!(xend.dump_core("etch", None, false, then).is_err());
            let domains = world.state().domains.clone();
            assert_eq!(domains.keys().collect::<Vec<_>>(), [&1]);
            assert!(domains[&1].flags == DomainInfoFlags::BLOCKED, "{then:?}");
            assert!(!xend.table.all().remove(0).paused_for_dump, "{then:?}");
        }
        fs::remove_dir_all(&xend.places.dumps).unwrap();
    }

    #[test]
    fn one_whose_configuration_is_not_known_is_not_stopped_for_a_reset() {
        let (world, xend) = running("foreign");
        let record = xend.table.all().remove(0);
        xend.table.remove(record.config.uuid);
        // A step is refused: neither is it paused, nor is a core written.
        world.state().refuse_at(1);
        let said = xend.dump_core("1", None, false, AfterDump::Reset);
        let said = said.unwrap_err().to_string();
        assert!(said.ends_with("its configuration is not known"), "{said}");
        assert!(world.state().domains[&1].flags == DomainInfoFlags::BLOCKED);
        assert!(!xend.places.dumps.exists());
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
        let noted = |world: &World| {
            let uuid = config("etch").uuid;
            let node = format!("/vm/{uuid}/xend/dumpcore_in_progress");
            world.state().nodes.get(&node).cloned()
        };
        let (world, dumped) = while_dumping("gated", AfterDump::GoOn, |world, xend| {
            let etch = xend.resolve("etch").unwrap();
            assert_eq!(etch.state, "--p---");
            assert_eq!(noted(world).as_deref(), Some("True"));
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
        assert_eq!(noted(&world), None);
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
        let is_left = |node: &&String| node.starts_with("/vm/") && node.contains("/xend");
        assert_eq!(world.state().nodes.keys().find(is_left), None);
    }

    #[test]
    fn a_daemon_that_is_killed_leaves_nothing_paused() {
        let (world, xend) = running("killed-dumping");
        let mut record = xend.table.all().remove(0);
        record.paused_for_dump = true;
        xend.table.put(&record);
        world.pause(DomId(1)).unwrap();
        let node = format!("/vm/{}/xend/dumpcore_in_progress", record.config.uuid);
        world.state().set(&node, "True");
        let next = world.xend("killed-dumping");
        next.take_over().unwrap();
        assert!(world.state().domains[&1].flags == DomainInfoFlags::BLOCKED);
        assert!(!next.table.all().remove(0).paused_for_dump);
        assert_eq!(world.state().nodes.get(&node), None);
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
