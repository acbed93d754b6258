//! Making domains, and cleaning up what is left of them.

use super::ballooning::{FRAME_KIB, Room};
use super::machine::Images;
use super::protocol::{Fault, Response};
use super::record::{Phase, Record};
use super::store_tree;
use super::table::Taken;
use super::view::DomainView;
use super::{Xend, devices};
use crate::builder::Built;
use crate::builder::error::BuildError;
use crate::config::domain::{DomainConfig, Uuid, is_valid_name};
use crate::config::features;
use crate::pygrub::apart;
use guest_abi::ids::DomId;
use std::path::Path;
use std::sync::PoisonError;
use std::time::{SystemTime, UNIX_EPOCH};

/// Memory that a guest takes beyond its own: vCPUs, page tables, grant tables.
const OVERHEAD_KIB: u64 = 2 << 10;
/// Whether a new domain runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Start {
    /// It runs.
    Running,
    /// It waits for an administrator.
    Paused,
}

/// Seconds since 1970.
#[must_use]
pub fn now() -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0.0, |now| now.as_secs_f64())
}

fn id_text(domid: Option<u16>) -> String {
    domid.map_or("None".to_owned(), |domid| domid.to_string())
}

impl Xend {
    /// Makes a domain. If that fails, there is nothing of it.
    ///
    /// # Errors
    ///
    /// Why there is no new domain.
    pub fn create(&self, config: DomainConfig, start: Start) -> Result<Response, Fault> {
        self.make(config, start, None, None)
    }

    /// Makes a domain of which an entry of its boot loader's menu was chosen.
    pub(super) fn create_chosen(
        &self,
        config: DomainConfig,
        start: Start,
        entry: Option<u32>,
    ) -> Result<Response, Fault> {
        self.make(config, start, None, entry)
    }

    /// Makes a domain that is kept: its own name is not taken.
    pub(super) fn create_kept(
        &self,
        config: DomainConfig,
        start: Start,
    ) -> Result<Response, Fault> {
        let uuid = config.uuid;
        self.make(config, start, Some(uuid), None)
    }

    fn make(
        &self,
        mut config: DomainConfig,
        start: Start,
        kept: Option<Uuid>,
        entry: Option<u32>,
    ) -> Result<Response, Fault> {
        check(&config)?;
        devices::complete(&mut config)?;
        self.plan_devices(&config)?;
        let name = config.name.clone();
        let mut record = Record::new(config, self.table.boot_id());
        record.entry = entry;
        self.check_others(&name, kept)?;
        let lock = self.table.insert(&record).map_err(|taken| match taken {
            Taken::Name(domid) => Fault::text(format!(
                "Domain '{name}' already exists with ID '{}'",
                id_text(domid)
            )),
            Taken::Uuid(other, domid) => Fault::text(format!(
                "Domain '{other}' already exists with ID '{}' and has this uuid",
                id_text(domid)
            )),
        })?;
        let alone = lock.lock().unwrap_or_else(PoisonError::into_inner);
        let brought_up = self.bring_up(&mut record, start);
        if brought_up.is_err() {
            self.table.remove(record.config.uuid);
        }
        let domain = brought_up?;
        if start == Start::Running {
            self.must_live(&record, domain, alone)?;
        }
        Ok(Response::Created {
            domid: domain.0,
            warnings: warnings(&record.config),
        })
    }

    /// Domains of other tools have names too, and those that are kept.
    fn check_others(&self, name: &str, kept: Option<Uuid>) -> Result<(), Fault> {
        let own = kept.map(|uuid| uuid.to_string());
        let is_own = |view: &DomainView| view.domid.is_none() && Some(&view.uuid) == own.as_ref();
        let taken = self
            .domain_views()?
            .into_iter()
            .find(|view| view.name == name && !is_own(view));
        match taken {
            Some(view) => Err(Fault::text(format!(
                "Domain '{name}' already exists with ID '{}'",
                id_text(view.domid)
            ))),
            None => Ok(()),
        }
    }

    /// Builds the domain of a record that is in the table. The caller has the domain's lock. If it fails, there is
    /// nothing of the domain but the record.
    pub(super) fn bring_up(&self, record: &mut Record, start: Start) -> Result<DomId, Fault> {
        record.phase = Phase::Building;
        record.domid = None;
        // One that `create` leaves paused was not paused: so `domstate` tells them apart.
        record.paused_by_admin = false;
        record.paused_for_dump = false;
        record.shutdown_asked = None;
        record.devices.clear();
        // Before the first step: who finds a domain of this identity knows that it is unfinished.
        self.table.put(record);
        let images = self.machine.images(&record.config, record.entry.take())?;
        let room = self
            .make_room((record.config.memory_mib << 10) + OVERHEAD_KIB)
            .inspect_err(|fault| self.note_refusal(&record.config.name, fault))?;
        let given_kib = room.given_kib;
        let finished = self.make_and_finish(room, record, &images, start);
        if finished.is_err() {
            self.first_takes_back(given_kib);
        }
        finished
    }

    fn make_and_finish(
        &self,
        room: Room<'_>,
        record: &mut Record,
        images: &Images,
        start: Start,
    ) -> Result<DomId, Fault> {
        let domain = self.machine.create(&record.config)?;
        record.domid = Some(domain.0);
        record.start_time = now();
        self.table.put(record);
        let finished = self.finish(domain, room, record, images, start);
        if let Err(fault) = finished {
            log::warn!("{}: not built: {fault}", record.config.name);
            self.clean_up(domain, Some(record.config.uuid));
            record.domid = None;
            return Err(fault);
        }
        log::info!("{}: started as domain {}", record.config.name, domain.0);
        Ok(domain)
    }

    fn finish(
        &self,
        domain: DomId,
        room: Room<'_>,
        record: &mut Record,
        images: &Images,
        start: Start,
    ) -> Result<(), Fault> {
        let built = self.fill(domain, room, record, images);
        let built = built.map_err(|error| {
            let is_refusal = error.is_for_want_of_memory();
            let fault = Fault::from(error);
            if is_refusal {
                self.note_refusal(&record.config.name, &fault);
            }
            fault
        })?;
        record.store_mfn = built.store.mfn.0;
        record.console_mfn = built.console.mfn.0;
        store_tree::describe(
            &mut *self.connect_store()?,
            domain,
            record,
            &built,
            self.settings().console_limit(),
        )?;
        // Before their first node is written: who finds the record knows what to take out.
        record.devices = self.plan_devices(&record.config)?;
        self.table.put(record);
        self.plug_in(domain, record)?;
        record.phase = Phase::Running;
        self.table.put(record);
        if start == Start::Running {
            self.machine.unpause(domain)?;
        }
        Ok(())
    }

    /// Gives a domain its vCPUs, its limits and its memory, with what is in it at the start.
    fn fill(
        &self,
        domain: DomId,
        room: Room<'_>,
        record: &Record,
        images: &Images,
    ) -> Result<Built, BuildError> {
        self.machine.set_up(domain, &record.config)?;
        // From here on nobody else gets it.
        let frames = (record.config.memory_mib << 10) / FRAME_KIB;
        self.machine.claim(domain, frames)?;
        drop(room);
        let built = self.machine.build(domain, &record.config, images)?;
        self.machine.claim(domain, 0)?;
        Ok(built)
    }

    /// Ends a domain, and removes what is said of it. Each step is tried whatever becomes of the others.
    pub(super) fn clean_up(&self, domain: DomId, uuid: Option<Uuid>) {
        let destroyed = self.machine.destroy(domain);
        if let Err(error) = destroyed
            && !error.is_no_domain()
        {
            log::error!("domain {}: {error}", domain.0);
        }
        if let Some(uuid) = uuid {
            self.plug_out_all(domain, uuid);
        }
        let forgotten = self
            .connect_store()
            .and_then(|mut store| store_tree::forget(&mut *store, domain, uuid));
        if let Err(fault) = forgotten {
            log::error!(
                "domain {}: nodes may be left in the store: {fault}",
                domain.0
            );
        }
    }
}

/// What of a configuration has no effect yet.
fn warnings(config: &DomainConfig) -> Vec<String> {
    let mut warnings = Vec::new();
    if config.on_xend_stop == "suspend" {
        warnings.push("on_xend_stop = suspend has no effect yet".to_owned());
    }
    warnings
}

/// What of a configuration can be checked before anything is made.
pub(super) fn check(config: &DomainConfig) -> Result<(), Fault> {
    if config.name.is_empty() {
        return Err(Fault::text("Missing VM Name"));
    }
    if !is_valid_name(&config.name) {
        return Err(Fault::text("Invalid VM Name"));
    }
    if config.name == "Domain-0" {
        return Err(Fault::text("Domain 'Domain-0' already exists with ID '0'"));
    }
    features::parse(&config.features)
        .map_err(|wrong| Fault::text(format!("features = '{}': {wrong}", config.features)))?;
    if !config.bootloader.is_empty() {
        return check_boot_loader(config).map_err(Fault::Text);
    }
    if !Path::new(&config.kernel).is_file() {
        return Err(Fault::text(format!(
            "Kernel image does not exist: {}",
            config.kernel
        )));
    }
    if !config.ramdisk.is_empty() && !Path::new(&config.ramdisk).is_file() {
        return Err(Fault::text(format!(
            "Kernel ramdisk does not exist: {}",
            config.ramdisk
        )));
    }
    Ok(())
}

fn check_boot_loader(config: &DomainConfig) -> Result<(), String> {
    if !apart::is_pygrub(&config.bootloader) {
        let name = &config.bootloader;
        return Err(format!("bootloader = {name}: only pygrub is offered"));
    }
    apart::wanted(config)?;
    apart::boot_disk(config).map(drop)
}
