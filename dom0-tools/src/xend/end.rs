//! The ends of domains, and what a killed daemon has left half done.

use super::Xend;
use super::create::{Start, now};
use super::domains::is_former;
use super::lifecycle::{Decision, Dump, LEAST_LIFE, decide, reason_name};
use super::protocol::{Fault, Response};
use super::record::{Phase, Record};
use super::store_tree::{self, home, vm};
use crate::config::domain::Uuid;
use crate::config::file::random_uuid;
use guest_abi::domctl_domain::{DomainInfo, DomainInfoFlags};
use guest_abi::ids::DomId;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// A domain that was asked to shut down and runs for so long is noted as one that does not answer.
const UNRESPONSIVE_SECONDS: f64 = 300.0;

fn is_unresponsive(record: &Record) -> bool {
    let asked = record.shutdown_asked;
    asked.is_some_and(|asked| now() - asked > UNRESPONSIVE_SECONDS)
}

impl Xend {
    /// Takes over what a former daemon has left: unfinished domains are destroyed, others go on.
    ///
    /// # Errors
    ///
    /// The hypervisor's or the store's.
    pub fn take_over(&self) -> Result<(), Fault> {
        let infos = self.machine.domains()?;
        for record in self.table.all() {
            let uuid = record.config.uuid;
            let domain = infos.iter().find(|info| {
                info.handle == uuid.0 && record.domid.is_none_or(|domid| domid == info.domain.0)
            });
            match (domain, record.phase) {
                (Some(info), Phase::Building) => {
                    log::warn!(
                        "{}: domain {} was not finished, and is destroyed",
                        record.config.name,
                        info.domain.0
                    );
                    self.end_scripts(info.domain, &record);
                    self.clean_up(info.domain, Some(uuid));
                    self.table.remove(uuid);
                }
                (Some(info), _) => {
                    log::info!("{}: goes on", record.config.name);
                    self.take_up(record, info.domain);
                }
                (None, _) => {
                    if let Some(domid) = record.domid {
                        self.end_scripts(DomId(domid), &record);
                        self.clean_up(DomId(domid), Some(uuid));
                    }
                    self.table.remove(uuid);
                }
            }
        }
        self.remove_unfinished_cores();
        let first = infos.iter().find(|info| info.domain == DomId::DOM0);
        let (kib, vcpus) = first.map_or((0, 1), |info| {
            (info.tot_pages * 4, info.max_vcpu_id.wrapping_add(1))
        });
        store_tree::describe_first(&mut *self.connect_store()?, kib, vcpus)
    }

    /// Ends what a former daemon has begun to write: the core of a domain that has crashed will be written anew.
    fn take_up(&self, mut record: Record, domain: DomId) {
        self.plug_out_unfinished(domain, &mut record);
        let told = self
            .connect_store()
            .and_then(|mut store| store_tree::note_dumped(&mut *store, record.config.uuid));
        if let Err(fault) = told {
            log::warn!("{}: {fault}", record.config.name);
        }
        let is_paused_for_dump = std::mem::take(&mut record.paused_for_dump);
        let is_dumping = record.phase == Phase::Dumping;
        if is_dumping {
            record.phase = Phase::Running;
        }
        if is_dumping || is_paused_for_dump {
            self.table.put(&record);
        }
        if is_paused_for_dump && !record.paused_by_admin {
            let paused = self.is_paused(domain);
            let unpaused = paused.and_then(|is_paused| match is_paused {
                true => Ok(self.machine.unpause(domain)?),
                false => Ok(()),
            });
            if let Err(fault) = unpaused {
                log::error!("{}: {fault}", record.config.name);
            }
        }
    }

    /// Looks which domains have ended, and has each seen to by a thread of its own.
    ///
    /// # Errors
    ///
    /// The hypervisor's.
    pub fn look_at_domains(self: &Arc<Self>) -> Result<(), Fault> {
        let infos = self.machine.domains()?;
        for record in self.table.all() {
            let Some(domid) = record.domid else { continue };
            if record.phase != Phase::Running {
                continue;
            }
            let info = infos.iter().find(|info| info.domain.0 == domid);
            let has_ended = info.is_none_or(|info| {
                is_former(info, &record)
                    || info
                        .flags
                        .intersects(DomainInfoFlags::DYING | DomainInfoFlags::SHUTDOWN)
            });
            if has_ended {
                let xend = Arc::clone(self);
                let uuid = record.config.uuid;
                std::thread::spawn(move || xend.see_to_end(uuid, domid));
            } else if is_unresponsive(&record) {
                self.note_unresponsive(record.config.uuid, domid);
            }
        }
        Ok(())
    }

    /// Notes that a domain does not do what it was asked. Nothing else is done about it.
    fn note_unresponsive(&self, uuid: Uuid, domid: u16) {
        let Some(lock) = self.table.lock_of(uuid) else {
            return;
        };
        // Whoever works on it may take long, and it is looked at again.
        let Ok(_alone) = lock.try_lock() else { return };
        let record = self.table.get(uuid);
        let is_it = |record: &Record| record.domid == Some(domid) && is_unresponsive(record);
        let Some(mut record) = record.filter(is_it) else {
            return;
        };
        let node = format!("{}/xend/unresponsive", home(DomId(domid)));
        let written = self
            .connect_store()
            .and_then(|mut store| store.write(&node, "True"));
        if let Err(fault) = written {
            log::warn!("{}: {fault}", record.config.name);
            return;
        }
        log::warn!(
            "{}: it has not shut down {UNRESPONSIVE_SECONDS} seconds after it was asked to",
            record.config.name
        );
        record.shutdown_asked = None;
        self.table.put(&record);
    }

    /// Does what is to be done about a domain that has ended, unless somebody else has done it.
    pub fn see_to_end(&self, uuid: Uuid, domid: u16) {
        let begun = self.with_ended(uuid, domid, Phase::Running, |record, info| {
            self.begin_end(record, info)
        });
        if let Some(Some(decided)) = begun {
            self.finish_end(uuid, domid, decided);
        }
    }

    /// Writes the core of a domain that has ended, and then does what was decided about it. The caller does not have the
    /// domain's lock: it may be destroyed meanwhile.
    pub(super) fn finish_end(&self, uuid: Uuid, domid: u16, (name, decision): (String, Decision)) {
        let written = self.dump_crashed(DomId(domid), &name);
        self.core_is_written(DomId(domid), &name, written);
        self.with_ended(uuid, domid, Phase::Dumping, |record, info| {
            self.end(record, info.domain, decision);
        });
    }

    /// Waits until nobody cleans up behind a domain that the hypervisor does not have any more: who destroys it has its lock.
    pub(super) fn await_clean_up(&self, uuid: &str) -> Result<Response, Fault> {
        let uuid = Uuid::parse(uuid).map_err(Fault::text)?;
        if let Some(lock) = self.table.lock_of(uuid) {
            drop(lock.lock().unwrap_or_else(PoisonError::into_inner));
        }
        Ok(Response::Done)
    }

    /// Does something about a domain that has ended and is in this phase, while nobody else works on it. Of one that
    /// somebody has destroyed, the store is cleaned.
    fn with_ended<T>(
        &self,
        uuid: Uuid,
        domid: u16,
        phase: Phase,
        act: impl FnOnce(Record, &DomainInfo) -> T,
    ) -> Option<T> {
        let lock = self.table.lock_of(uuid)?;
        let _alone = lock.lock().unwrap_or_else(PoisonError::into_inner);
        let record = self.table.get(uuid);
        let record =
            record.filter(|record| record.domid == Some(domid) && record.phase == phase)?;
        let domain = DomId(domid);
        let info = match self.machine.domain(domain) {
            Ok(info) => info.filter(|info| !is_former(info, &record)),
            Err(error) => {
                log::error!("{}: {error}", record.config.name);
                return None;
            }
        };
        match info {
            Some(info) if !info.flags.contains(DomainInfoFlags::DYING) => Some(act(record, &info)),
            _ => {
                log::info!("{}: domain {domid} is gone", record.config.name);
                self.clean_up(domain, Some(uuid));
                self.table.remove(uuid);
                None
            }
        }
    }

    /// Decides about a domain that has ended, and does it, unless a core is to be written first: then its name and what
    /// has been decided are returned.
    pub(super) fn begin_end(
        &self,
        mut record: Record,
        info: &DomainInfo,
    ) -> Option<(String, Decision)> {
        let reason = info.shutdown_reason()?;
        let name = record.config.name.clone();
        let domain = info.domain;
        let seconds = (now() - record.start_time).max(0.0);
        let (mut decision, dump) = decide(reason, &record.config, Duration::from_secs_f64(seconds));
        let uuid = record.config.uuid;
        if matches!(decision, Decision::Restart | Decision::RenameAndRestart)
            && let Ok(mut store) = self.connect_store()
            && store_tree::is_restarting(&mut *store, uuid).unwrap_or(false)
        {
            log::error!("{name}: it was being started again when it ended. Refusing to restart");
            decision = Decision::RefuseToRestart;
        }
        log::info!(
            "{name}: domain {} has ended: {}; {decision:?}",
            domain.0,
            reason_name(reason)
        );
        if let Ok(mut store) = self.connect_store() {
            let node = format!("{}/xend/last_shutdown_reason", vm(uuid));
            let _ = store.write(&node, reason_name(reason));
        }
        if decision == Decision::RefuseToRestart && seconds < LEAST_LIFE.as_secs_f64() {
            log::error!(
                "VM {name} restarting too fast (Elapsed time: {seconds:.6} seconds). \
                 Refusing to restart to avoid loops."
            );
            log::info!(
                "a domain that is to be restarted has to live {} seconds",
                LEAST_LIFE.as_secs()
            );
        }
        let is_crash = reason_name(reason) == "crash";
        let dump = match dump {
            Dump::Without if is_crash && self.settings().dumps_crashed() => Dump::First,
            dump => dump,
        };
        if decision != Decision::Leave {
            self.note_end(&record, info, reason, decision, dump);
        }
        if dump == Dump::First {
            record.phase = Phase::Dumping;
            self.table.put(&record);
            return Some((name, decision));
        }
        self.end(record, domain, decision);
        None
    }

    fn end(&self, mut record: Record, domain: DomId, decision: Decision) {
        record.phase = Phase::Running;
        match decision {
            Decision::Leave => {}
            Decision::Destroy | Decision::RefuseToRestart => self.forget(&record, domain),
            Decision::Preserve => {
                record.phase = Phase::Preserved;
                self.table.put(&record);
                if let Ok(mut store) = self.connect_store() {
                    let _ =
                        store.write(&format!("{}/xend/shutdown_completed", home(domain)), "True");
                }
            }
            Decision::Restart => {
                self.clean_up(domain, Some(record.config.uuid));
                self.start_again(record);
            }
            Decision::RenameAndRestart => self.rename_and_restart(record, domain),
        }
        self.end_is_seen_to(domain);
    }

    fn forget(&self, record: &Record, domain: DomId) {
        self.clean_up(domain, Some(record.config.uuid));
        self.table.remove(record.config.uuid);
    }

    fn start_again(&self, mut record: Record) {
        let uuid = record.config.uuid;
        record.restart_count += 1;
        record.is_restarting = true;
        if let Err(fault) = self.bring_up(&mut record, Start::Running) {
            log::error!("{}: it is not started again: {fault}", record.config.name);
            self.table.remove(uuid);
            return;
        }
        record.is_restarting = false;
        self.table.put(&record);
        let noted = self
            .connect_store()
            .and_then(|mut store| store_tree::note_restarted(&mut *store, uuid));
        if let Err(fault) = noted {
            log::error!("{}: {fault}", record.config.name);
        }
    }

    /// The dead one is kept under another name and identity, without its successor's nodes.
    fn rename_and_restart(&self, record: Record, domain: DomId) {
        // Its successor has them.
        self.plug_out_all(domain, record.config.uuid);
        let mut dead = record.clone();
        dead.devices.clear();
        dead.config.devices.clear();
        let Ok(uuid) = random_uuid() else {
            log::error!("{}: there is no new identity for it", record.config.name);
            return;
        };
        dead.config.uuid = uuid;
        dead.config.name = format!("Domain-{uuid}");
        dead.phase = Phase::Preserved;
        if let Err(error) = self.machine.set_handle(domain, uuid.0) {
            log::error!("{}: it can't be kept: {error}", record.config.name);
            self.forget(&record, domain);
            return;
        }
        let mut record = record;
        record.domid = None;
        self.table.put(&record);
        // Its name is new, so nobody else has it.
        let _ = self.table.insert(&dead);
        self.table.put(&dead);
        let renamed = self.connect_store().and_then(|mut store| {
            store.write(&format!("{}/vm", home(domain)), &vm(uuid))?;
            store_tree::rename(&mut *store, domain, Some(uuid), &dead.config.name)
        });
        if let Err(fault) = renamed {
            log::error!("{}: {fault}", dead.config.name);
        }
        self.start_again(record);
    }
}
