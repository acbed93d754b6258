//! Listing domains, and what is done to a domain that runs.

use super::create::Start;
use super::protocol::{Fault, Response};
use super::record::{Phase, Record};
use super::store_tree::{self, TARGET, home};
use super::table::Taken;
use super::view::{DomainView, VcpuView};
use super::{Xend, kept};
use crate::config::domain::{Uuid, is_valid_name};
use crate::config::options::MAX_VCPUS;
use crate::control::cpu_list::CpuList;
use guest_abi::domctl_domain::{DomainInfo, DomainInfoFlags};
use guest_abi::ids::{DomId, PAGE_SIZE};
use std::sync::PoisonError;

/// The first domain's name, whatever it says itself.
pub const FIRST_NAME: &str = "Domain-0";
const NANOSECONDS: f64 = 1e9;
const PAGES_PER_MIB: u64 = (1 << 20) / PAGE_SIZE as u64;

/// Six letters or hyphens: running, blocked, paused, shut down, crashed, dying.
#[must_use]
pub fn state_of(info: &DomainInfo) -> String {
    let flags = info.flags;
    let is_down = flags.contains(DomainInfoFlags::SHUTDOWN);
    let is_crashed = info
        .shutdown_reason()
        .is_some_and(|reason| super::lifecycle::reason_name(reason) == "crash");
    let is_dying = flags.contains(DomainInfoFlags::DYING);
    let is_over = is_down || is_dying;
    let is_running = flags.contains(DomainInfoFlags::RUNNING) && !is_over;
    let is_blocked = flags.contains(DomainInfoFlags::BLOCKED) && !is_running && !is_over;
    let is_paused = flags.contains(DomainInfoFlags::PAUSED) && !is_over;
    [
        (is_running, 'r'),
        (is_blocked && !is_paused, 'b'),
        (is_paused, 'p'),
        (is_down && !is_crashed, 's'),
        (is_crashed, 'c'),
        (is_dying, 'd'),
    ]
    .map(|(is_so, letter)| if is_so { letter } else { '-' })
    .iter()
    .collect()
}

impl Xend {
    /// All domains, as clients are shown them.
    ///
    /// # Errors
    ///
    /// The hypervisor's.
    pub fn domain_views(&self) -> Result<Vec<DomainView>, Fault> {
        let records = self.table.all();
        let infos = self.machine.domains()?;
        let mut store = None;
        let views = infos.iter().map(|info| {
            let domain = info.domain;
            let record = records
                .iter()
                .find(|record| record.domid == Some(domain.0) && !is_former(info, record));
            let name = match record {
                _ if domain == DomId::DOM0 => FIRST_NAME.to_owned(),
                Some(record) => record.config.name.clone(),
                // Somebody else's, or what is left of a domain that is gone.
                None => {
                    let store = store.get_or_insert_with(|| self.connect_store().ok());
                    let name = store.as_mut().and_then(|store| {
                        store.read(&format!("{}/name", home(domain))).ok().flatten()
                    });
                    name.unwrap_or_else(|| format!("(unknown-{})", domain.0))
                }
            };
            let mut view = view(info, name, record);
            if domain == DomId::DOM0 {
                // Nothing else is known of what it should have.
                let store = store.get_or_insert_with(|| self.connect_store().ok());
                let target = store.as_mut().and_then(|store| {
                    store_tree::kib_of(&mut **store, domain, TARGET)
                        .ok()
                        .flatten()
                });
                view.memory_mib = target.map_or(view.memory_mib, |kib| kib >> 10);
            }
            view
        });
        let mut views: Vec<_> = views.collect();
        for kept in kept::all(&self.settings().domains()) {
            if !views.iter().any(|view| view.uuid == kept.uuid) {
                views.push(kept);
            }
        }
        views.sort_by(|a, b| a.name.cmp(&b.name).then(a.domid.cmp(&b.domid)));
        Ok(views)
    }

    /// The domain that a client means: by name, by number, by identity.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn resolve(&self, domain: &str) -> Result<DomainView, Fault> {
        let views = self.domain_views()?;
        let number = domain.parse::<u16>().ok();
        let uuid = Uuid::parse(domain).ok().map(|uuid| uuid.to_string());
        // A name counts before a number, and what runs before what does not.
        let by_name = |runs: bool| {
            let mut views = views.iter();
            views.find(|view| view.name == domain && view.domid.is_some() == runs)
        };
        let by_number = || {
            let number = number?;
            views.iter().find(|view| view.domid == Some(number))
        };
        let by_uuid = || views.iter().find(|view| Some(&view.uuid) == uuid.as_ref());
        by_name(true)
            .or_else(|| by_name(false))
            .or_else(by_number)
            .or_else(by_uuid)
            .cloned()
            .ok_or_else(|| Fault::NoDomain(domain.to_owned()))
    }

    /// The domains that are named, or all.
    pub(super) fn list(&self, domains: &[String]) -> Result<Vec<DomainView>, Fault> {
        if domains.is_empty() {
            return self.domain_views();
        }
        domains.iter().map(|domain| self.resolve(domain)).collect()
    }

    /// A domain other than the first; `doing` says what can't be done to that one.
    pub(super) fn guest(&self, domain: &str, doing: &str) -> Result<DomainView, Fault> {
        let (view, number) = self.running(domain)?;
        if number == DomId::DOM0 {
            return Err(Fault::text(format!("{doing} privileged domain {domain}")));
        }
        Ok(view)
    }

    /// A domain that is there, not only kept.
    pub(super) fn running(&self, domain: &str) -> Result<(DomainView, DomId), Fault> {
        let view = self.resolve(domain)?;
        let number = number_of(&view)?;
        Ok((view, number))
    }

    /// Does something to a domain while nobody else does, with its record if it has one.
    pub(super) fn alone<T>(
        &self,
        view: &DomainView,
        act: impl FnOnce(DomId, Option<Record>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let domain = number_of(view)?;
        let uuid = Uuid::parse(&view.uuid).ok();
        let lock = uuid.and_then(|uuid| self.table.lock_of(uuid));
        let _alone = lock
            .as_ref()
            .map(|lock| lock.lock().unwrap_or_else(PoisonError::into_inner));
        // It may have become another one meanwhile.
        let record = uuid.and_then(|uuid| self.table.get(uuid));
        let record = record.filter(|record| record.domid == Some(domain.0));
        if view.config.is_some() && record.is_none() {
            return Err(Fault::NoDomain(view.name.clone()));
        }
        act(domain, record)
    }

    pub(super) fn destroy(&self, domain: &str) -> Result<Response, Fault> {
        self.destroy_guest(&self.guest(domain, "Cannot destroy")?)
    }

    pub(super) fn destroy_guest(&self, view: &DomainView) -> Result<Response, Fault> {
        self.alone(view, |domain, record| {
            let uuid = record.map(|record| record.config.uuid);
            self.machine.destroy(domain)?;
            self.clean_up(domain, uuid);
            if let Some(uuid) = uuid {
                self.table.remove(uuid);
            }
            log::info!("{}: domain {} is destroyed", view.name, domain.0);
            Ok(Response::Done)
        })
    }

    pub(super) fn pause(&self, domain: &str) -> Result<Response, Fault> {
        let view = self.guest(domain, "Cannot pause")?;
        self.alone(&view, |domain, record| {
            // The hypervisor counts pauses, and administrators do not: one is ended by one.
            if !self.is_paused(domain)? {
                self.machine.pause(domain)?;
            }
            if let Some(mut record) = record {
                record.paused_by_admin = true;
                self.table.put(&record);
            }
            Ok(Response::Done)
        })
    }

    pub(super) fn unpause(&self, domain: &str) -> Result<Response, Fault> {
        let view = self.guest(domain, "Cannot unpause")?;
        self.alone(&view, |domain, record| {
            // One that is not paused goes on as it is.
            if self.is_paused(domain)? {
                self.machine.unpause(domain)?;
            }
            if let Some(mut record) = record {
                record.paused_by_admin = false;
                self.table.put(&record);
            }
            Ok(Response::Done)
        })
    }

    pub(super) fn is_paused(&self, domain: DomId) -> Result<bool, Fault> {
        let info = self.machine.domain(domain)?;
        Ok(info.is_some_and(|info| info.flags.contains(DomainInfoFlags::PAUSED)))
    }

    pub(super) fn reset(&self, domain: &str) -> Result<Response, Fault> {
        self.reset_guest(&self.guest(domain, "Cannot reset")?)
    }

    pub(super) fn reset_guest(&self, view: &DomainView) -> Result<Response, Fault> {
        self.alone(view, |domain, record| {
            let mut record = known(record, &view.name)?;
            // One that stays must not get a second one beside it.
            match self.machine.destroy(domain) {
                Err(error) if !error.is_no_domain() => return Err(error.into()),
                _ => {}
            }
            self.clean_up(domain, Some(record.config.uuid));
            let brought_up = self.bring_up(&mut record, Start::Running);
            if brought_up.is_err() {
                self.table.remove(record.config.uuid);
            }
            brought_up.map(|_| Response::Done)
        })
    }

    pub(super) fn rename(&self, domain: &str, name: &str) -> Result<Response, Fault> {
        let view = self.guest(domain, "Cannot rename")?;
        if !is_valid_name(name) {
            return Err(Fault::text("Invalid VM Name"));
        }
        let other = self
            .domain_views()?
            .into_iter()
            .find(|other| other.name == name);
        let taken = |domid: Option<u16>| {
            let domid = domid.map_or("None".to_owned(), |domid| domid.to_string());
            Fault::text(format!("VM name '{name}' already exists as domain {domid}"))
        };
        if let Some(other) = other.filter(|other| other.uuid != view.uuid) {
            return Err(taken(other.domid));
        }
        self.alone(&view, |domain, record| {
            if let Some(record) = &record {
                let renamed = self.table.rename(record.config.uuid, name);
                renamed.map_err(|(Taken::Name(domid) | Taken::Uuid(_, domid))| taken(domid))?;
                if let Some(record) = self.table.get(record.config.uuid) {
                    self.keep_changes(&record.config);
                }
            }
            let uuid = record.map(|record| record.config.uuid);
            store_tree::rename(&mut *self.connect_store()?, domain, uuid, name)?;
            Ok(Response::Done)
        })
    }

    pub(super) fn shutdown(&self, domain: &str, reason: &str) -> Result<Response, Fault> {
        let (view, number) = self.running(domain)?;
        if number == DomId::DOM0 {
            return Err(Fault::text("Domain 0 cannot be shutdown"));
        }
        if !matches!(reason, "poweroff" | "reboot" | "halt" | "suspend" | "crash") {
            return Err(Fault::text(format!("Invalid reason: {reason}")));
        }
        if view.state.contains(['s', 'c', 'd']) {
            return Err(Fault::text("Domain is not running"));
        }
        let home = home(number);
        let now = super::create::now();
        self.alone(&view, |_, record| {
            let mut store = self.connect_store()?;
            store.write(&format!("{home}/control/shutdown"), reason)?;
            let since = format!("{now:.2}");
            store.write(&format!("{home}/xend/shutdown_start_time"), &since)?;
            store.remove(&format!("{home}/xend/unresponsive"))?;
            if let Some(mut record) = record {
                record.shutdown_asked = Some(now);
                self.table.put(&record);
            }
            Ok(Response::Done)
        })
    }

    pub(super) fn sysrq(&self, domain: &str, letter: &str) -> Result<Response, Fault> {
        let (_, number) = self.running(domain)?;
        let node = format!("{}/control/sysrq", home(number));
        self.connect_store()?.write(&node, letter)?;
        Ok(Response::Done)
    }

    pub(super) fn set_vcpus(&self, domain: &str, count: i64) -> Result<Response, Fault> {
        let view = self.resolve(domain)?;
        if count < 1 {
            return Err(Fault::text("Zero or less VCPUs is invalid"));
        }
        if view.domid.is_none() {
            // How many it will have.
            if count > MAX_VCPUS {
                return Err(Fault::text(format!(
                    "{count} virtual processors are too many: write a number from 1 to {MAX_VCPUS}"
                )));
            }
            return self.change_kept(&view, |config| {
                (config.vcpus, config.online_vcpus) = (count as u32, count as u32);
            });
        }
        let number = number_of(&view)?;
        if count > i64::from(view.vcpus) {
            return Err(Fault::text(
                "Cannot set vcpus greater than max vcpus on running domain",
            ));
        }
        let mut store = self.connect_store()?;
        for vcpu in 0..view.vcpus {
            let state = if i64::from(vcpu) < count {
                "online"
            } else {
                "offline"
            };
            let node = format!("{}/cpu/{vcpu}/availability", home(number));
            store.write(&node, state)?;
        }
        Ok(Response::Done)
    }

    /// Lets the first domain have as many of its virtual processors in use as the settings say. Where they say nothing and
    /// never have, it has what it was given by others.
    pub(super) fn give_first_vcpus(&self, wanted: Option<u64>) {
        let given = self.resolve(FIRST_NAME).and_then(|view| {
            let all = u64::from(view.vcpus);
            let count = wanted.map_or(all, |count| count.min(all));
            self.set_vcpus(FIRST_NAME, i64::try_from(count).unwrap_or(i64::MAX))
        });
        if let Err(fault) = given {
            log::error!("the first domain's processors stay as they are: {fault}");
        }
    }

    /// The same when `xend` starts.
    pub fn limit_first_vcpus(&self) {
        if let Some(wanted) = self.settings().first_vcpus() {
            self.give_first_vcpus(Some(wanted));
        }
    }

    pub(super) fn pin(
        &self,
        domain: &str,
        vcpu: Option<u32>,
        cpus: &str,
    ) -> Result<Response, Fault> {
        let (view, _) = self.running(domain)?;
        let nr_cpus = self.machine.physical()?.nr_cpus;
        let list = CpuList::parse(cpus, nr_cpus).map_err(Fault::text)?;
        if !list.iter().any(|cpu| cpu < nr_cpus) {
            return Err(Fault::text(format!(
                "none of the processors {cpus} is there; there are 0-{}",
                nr_cpus.saturating_sub(1)
            )));
        }
        if vcpu.is_some_and(|vcpu| vcpu >= view.vcpus) {
            return Err(Fault::text(format!(
                "Invalid VCPU: domain {} has {} of them, counted from 0",
                view.name, view.vcpus
            )));
        }
        let all = 0..view.vcpus;
        let chosen = all.filter(|&one| vcpu.is_none_or(|vcpu| vcpu == one));
        self.alone(&view, |domain, record| {
            let mut record = record;
            for one in chosen {
                self.machine.pin(domain, one, &list)?;
                if let Some(record) = &mut record {
                    let lists = &mut record.config.cpus;
                    let common = lists.first().cloned().unwrap_or_default();
                    if lists.len() != view.vcpus as usize {
                        *lists = vec![common; view.vcpus as usize];
                    }
                    if let Some(slot) = lists.get_mut(one as usize) {
                        *slot = list.to_string();
                    }
                }
            }
            if let Some(record) = record {
                self.table.put(&record);
            }
            Ok(Response::Done)
        })
    }

    pub(super) fn vcpus(&self, domains: &[String]) -> Result<Vec<VcpuView>, Fault> {
        let nr_cpus = self.machine.physical()?.nr_cpus;
        let mut views = Vec::new();
        for view in self.list(domains)? {
            let Ok(domain) = number_of(&view) else {
                views.extend(kept::vcpus(&view));
                continue;
            };
            for vcpu in 0..view.vcpus {
                let Some(state) = self.machine.vcpu(domain, vcpu)? else {
                    continue;
                };
                let is_online = state.online != 0;
                let letters = match (is_online, state.running != 0, state.blocked != 0) {
                    (false, ..) => "--p",
                    (true, true, _) => "r--",
                    (true, false, true) => "-b-",
                    (true, false, false) => "---",
                };
                views.push(VcpuView {
                    name: view.name.clone(),
                    domid: view.domid,
                    vcpu,
                    cpu: is_online.then_some(state.cpu),
                    state: letters.to_owned(),
                    cpu_seconds: state.cpu_time as f64 / NANOSECONDS,
                    affinity: self.machine.affinity(domain, vcpu, nr_cpus)?.shown(nr_cpus),
                });
            }
        }
        Ok(views)
    }
}

/// The record of a domain that is to be built anew.
pub(super) fn known(record: Option<Record>, name: &str) -> Result<Record, Fault> {
    record.ok_or_else(|| {
        Fault::text(format!(
            "Domain '{name}' was made by another tool: its configuration is not known"
        ))
    })
}

fn number_of(view: &DomainView) -> Result<DomId, Fault> {
    let number = view.domid.map(DomId);
    number.ok_or_else(|| Fault::not_started(&view.name))
}

/// Whether a domain has the number of a record's, but is another one.
pub(super) fn is_former(info: &DomainInfo, record: &Record) -> bool {
    info.handle != record.config.uuid.0
}

fn view(info: &DomainInfo, name: String, record: Option<&Record>) -> DomainView {
    let has = info.tot_pages + info.outstanding_pages;
    let limit_mib = info.max_pages / PAGES_PER_MIB;
    let built = info.max_vcpu_id.wrapping_add(1);
    DomainView {
        domid: Some(info.domain.0),
        name,
        uuid: Uuid(info.handle).to_string(),
        memory_mib: record.map_or(has / PAGES_PER_MIB, |record| record.config.memory_mib),
        maxmem_mib: record.map_or(limit_mib, |record| record.config.maxmem_mib),
        online_vcpus: info.nr_online_vcpus,
        vcpus: record.map_or(built, |record| record.config.vcpus),
        state: state_of(info),
        is_suspended: false,
        cpu_seconds: info.cpu_time as f64 / NANOSECONDS,
        start_time: record.map_or(0.0, |record| record.start_time),
        paused_by_admin: record.is_some_and(|record| record.paused_by_admin),
        restart_count: record.map_or(0, |record| record.restart_count),
        store_mfn: record.map_or(0, |record| record.store_mfn),
        console_mfn: record.map_or(0, |record| record.console_mfn),
        config: record
            .filter(|record| record.phase != Phase::Building)
            .map(|record| record.config.clone()),
    }
}
