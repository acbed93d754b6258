//! Domains that are kept while they do not run: they are added, started and removed, and some start with the daemon.

use super::create::{Start, check};
use super::protocol::{Fault, Response};
use super::{Xend, devices, kept};
use crate::config::domain::{DomainConfig, Uuid};
use crate::xend::view::DomainView;

/// What `on_xend_start` says of those that start with the daemon.
const STARTS: &str = "start";
/// What `on_xend_stop` says of those that are shut down when it stops.
const SHUTS_DOWN: &str = "shutdown";

impl Xend {
    /// Keeps a domain; one that is kept already, under the same name, is another one from now on, and keeps its identity.
    pub(super) fn add(&self, mut config: DomainConfig) -> Result<Response, Fault> {
        check(&config)?;
        let views = self.domain_views()?;
        if let Some(other) = views.iter().find(|view| view.name == config.name) {
            if let Some(domid) = other.domid {
                return Err(Fault::text(format!(
                    "VM name '{}' already exists as domain {domid}",
                    config.name
                )));
            }
            config.uuid = uuid_of(other)?;
        } else if let Some(other) = views
            .iter()
            .find(|view| view.uuid == config.uuid.to_string())
        {
            return Err(Fault::text(format!(
                "Domain '{}' has this uuid: write another one, or none",
                other.name
            )));
        }
        devices::complete(&mut config)?;
        self.plan_devices(&config)?;
        self.keep(&config)?;
        log::info!("{}: is kept", config.name);
        Ok(Response::Done)
    }

    fn keep(&self, config: &DomainConfig) -> Result<(), Fault> {
        let directory = self.settings().domains();
        kept::write(&directory, config)
            .map_err(|error| Fault::text(format!("{}: {error}", directory.display())))
    }

    /// Starts one that is kept.
    pub(super) fn start(&self, domain: &str, start: Start) -> Result<Response, Fault> {
        let view = self.resolve(domain)?;
        if view.domid.is_some() {
            return Err(Fault::text("Domain is already running"));
        }
        if view.is_suspended {
            return Err(Fault::text(format!(
                "Domain '{}' is suspended, and resuming comes with save, which is not there yet",
                view.name
            )));
        }
        let config = view.config.ok_or_else(|| Fault::not_started(&view.name))?;
        self.create_kept(config, start)
    }

    /// Forgets one that is kept and does not run.
    pub(super) fn delete(&self, domain: &str) -> Result<Response, Fault> {
        let view = self.resolve(domain)?;
        if view.domid.is_some() {
            return Err(Fault::text("Domain is not halted."));
        }
        let directory = self.settings().domains();
        kept::remove(&directory, uuid_of(&view)?)
            .map_err(|error| Fault::text(format!("{}: {error}", directory.display())))?;
        log::info!("{}: is kept no longer", view.name);
        Ok(Response::Done)
    }

    /// Changes one that is kept and does not run.
    pub(super) fn change_kept(
        &self,
        view: &DomainView,
        change: impl FnOnce(&mut DomainConfig),
    ) -> Result<Response, Fault> {
        if view.is_suspended {
            return Err(Fault::text(format!(
                "Domain '{}' is suspended: it is to go on as it was",
                view.name
            )));
        }
        let config = view.config.clone();
        let mut config = config.ok_or_else(|| Fault::not_started(&view.name))?;
        change(&mut config);
        self.keep(&config)?;
        Ok(Response::Done)
    }

    /// What has changed of a domain while it ran is so at its next start, if it is kept.
    pub(super) fn keep_changes(&self, config: &DomainConfig) {
        if !kept::has(&self.settings().domains(), config.uuid) {
            return;
        }
        if let Err(fault) = self.keep(config) {
            log::error!("{}: what has changed is not kept: {fault}", config.name);
        }
    }

    /// Starts those that are to start with the daemon.
    pub fn start_kept(&self) {
        for view in kept::all(&self.settings().domains()) {
            let is_wanted = |config: &DomainConfig| config.on_xend_start == STARTS;
            let runs = self
                .resolve(&view.uuid)
                .is_ok_and(|view| view.domid.is_some());
            if runs || view.is_suspended || !view.config.as_ref().is_some_and(is_wanted) {
                continue;
            }
            if let Err(fault) = self.start(&view.uuid, Start::Running) {
                log::error!("{}: not started with xend: {fault}", view.name);
            }
        }
    }

    /// Asks those to shut down that are to do so when the daemon stops; nobody waits for them.
    pub fn stop_kept(&self) {
        for record in self.table.all() {
            if record.domid.is_none() || record.config.on_xend_stop != SHUTS_DOWN {
                continue;
            }
            if let Err(fault) = self.shutdown(&record.config.uuid.to_string(), "poweroff") {
                log::error!("{}: not asked to shut down: {fault}", record.config.name);
            }
        }
    }
}

fn uuid_of(view: &DomainView) -> Result<Uuid, Fault> {
    Uuid::parse(&view.uuid).map_err(|_| Fault::text(format!("'{}' is no uuid", view.uuid)))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{World, config};
    use super::*;

    fn world(test: &str) -> (World, std::sync::Arc<Xend>) {
        let world = World::default();
        world.state().output = b"x".to_vec();
        let xend = world.xend(test);
        let _ = std::fs::remove_dir_all(xend.settings().domains());
        (world, xend)
    }

    fn states(xend: &Xend) -> Vec<(String, bool)> {
        let views = xend.domain_views().unwrap().into_iter();
        views
            .map(|view| (view.name, view.domid.is_some()))
            .collect()
    }

    #[test]
    fn who_is_kept_is_started_and_stays_when_it_ends() {
        let (world, xend) = world("managed");
        assert_eq!(xend.add(config("etch")), Ok(Response::Done));
        assert_eq!(states(&xend), [("etch".into(), false)]);
        assert!(world.state().domains.is_empty());
        let uuid = config("etch").uuid;
        let Response::Created { domid, .. } = xend.start("etch", Start::Running).unwrap() else {
            panic!()
        };
        assert_eq!(states(&xend), [("etch".into(), true)]);
        assert_eq!(
            xend.start("etch", Start::Running),
            Err(Fault::text("Domain is already running"))
        );
        assert_eq!(
            xend.delete("etch"),
            Err(Fault::text("Domain is not halted."))
        );
        assert_eq!(
            xend.add(config("etch")),
            Err(Fault::text(format!(
                "VM name 'etch' already exists as domain {domid}"
            )))
        );
        xend.destroy("etch").unwrap();
        assert_eq!(states(&xend), [("etch".into(), false)]);
        assert_eq!(xend.resolve("etch").unwrap().uuid, uuid.to_string());
        assert_eq!(xend.delete("etch"), Ok(Response::Done));
        assert!(states(&xend).is_empty());
        assert_eq!(xend.delete("etch"), Err(Fault::NoDomain("etch".into())));
    }

    #[test]
    fn who_is_added_again_is_another_one_of_the_same_identity() {
        let (_, xend) = world("added-again");
        xend.add(config("etch")).unwrap();
        let mut other = config("etch");
        other.uuid = Uuid([7; 16]);
        other.memory_mib = 32;
        xend.add(other.clone()).unwrap();
        let view = xend.resolve("etch").unwrap();
        assert_eq!(
            (view.uuid, view.memory_mib),
            (config("etch").uuid.to_string(), 32)
        );
        let mut same = config("sarge");
        same.uuid = config("etch").uuid;
        let refused = xend.add(same).unwrap_err().to_string();
        assert_eq!(
            refused,
            "Domain 'etch' has this uuid: write another one, or none"
        );
    }

    #[test]
    fn what_is_changed_while_it_runs_is_kept() {
        let (_, xend) = world("changed");
        xend.add(config("etch")).unwrap();
        xend.start("etch", Start::Running).unwrap();
        xend.rename("etch", "woody").unwrap();
        xend.destroy("woody").unwrap();
        assert_eq!(states(&xend), [("woody".into(), false)]);
    }

    #[test]
    fn some_start_and_end_with_the_daemon() {
        let (world, xend) = world("with-the-daemon");
        let mut wanted = config("etch");
        wanted.on_xend_start = STARTS.into();
        wanted.on_xend_stop = SHUTS_DOWN.into();
        xend.add(wanted).unwrap();
        xend.add(config("sarge")).unwrap();
        xend.start_kept();
        assert_eq!(
            states(&xend),
            [("etch".into(), true), ("sarge".into(), false)]
        );
        // Once.
        xend.start_kept();
        assert_eq!(world.state().domains.len(), 1);
        let domid = xend.resolve("etch").unwrap().domid.unwrap();
        let asked = format!("/local/domain/{domid}/control/shutdown");
        assert_eq!(world.state().nodes[&asked], "");
        xend.stop_kept();
        assert_eq!(world.state().nodes[&asked], "poweroff");
    }

    #[test]
    fn who_is_suspended_is_not_started() {
        let (_, xend) = world("suspended");
        xend.add(config("etch")).unwrap();
        let own = xend
            .settings()
            .domains()
            .join(config("etch").uuid.to_string());
        std::fs::write(own.join("checkpoint.chk"), "").unwrap();
        let refused = xend.start("etch", Start::Running).unwrap_err().to_string();
        assert!(refused.contains("comes with save"), "{refused}");
    }
}
