//! Plugging devices in and out.

use super::first_domain::FirstDomain;
use super::handshake::{
    Limit, wait_for_disk, wait_for_driver, wait_for_interface, wait_for_script,
};
use super::scripts::{Call, ScriptFailure};
use super::{Class, Plugged, plan, tree};
use crate::config::domain::{DomainConfig, Uuid};
use crate::xend::Xend;
use crate::xend::nodes::Nodes;
use crate::xend::protocol::Fault;
use crate::xend::record::Record;
use guest_abi::ids::DomId;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How long the kernel may take to let go of what belonged to a guest that is gone.
const LETTING_GO: Duration = Duration::from_secs(10);

/// What `xend` has for devices.
pub(in super::super) struct Devices {
    pub(super) first: Box<dyn FirstDomain>,
    /// Held while a disk is looked at and taken, so that nobody else takes it in between.
    taking_a_disk: Mutex<()>,
}

impl Devices {
    /// See [`FirstDomain::spare_kib`].
    pub(in super::super) fn spare_kib(&self) -> Option<u64> {
        self.first.spare_kib()
    }

    pub(in super::super) fn new(first: Box<dyn FirstDomain>) -> Self {
        Self {
            first,
            taking_a_disk: Mutex::default(),
        }
    }
}

/// What a script is to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Doing {
    PlugIn,
    PlugOut,
}

fn call(domain: DomId, plugged: &Plugged, doing: Doing) -> Call {
    let class = plugged.class();
    let action = match (class, doing) {
        (Class::Block, Doing::PlugIn) => "add",
        (Class::Block, Doing::PlugOut) => "remove",
        (Class::Network, Doing::PlugIn) => "online",
        (Class::Network, Doing::PlugOut) => "offline",
    };
    let mut words = vec![action.to_owned()];
    let mut variables = vec![
        ("ACTION", action.to_owned()),
        ("XENBUS_TYPE", class.word().to_owned()),
        ("XENBUS_PATH", plugged.backend_in_home(domain)),
        ("XENBUS_BASE_PATH", "backend".to_owned()),
    ];
    if class == Class::Network {
        words.push("type_if=vif".to_owned());
        variables.push(("vif", plugged.interface(domain)));
        variables.push(("script", plugged.script.program.display().to_string()));
    }
    words.extend(plugged.script.words.iter().cloned());
    Call {
        program: plugged.script.program.clone(),
        words,
        variables,
    }
}

impl Xend {
    /// What becomes of the devices of a configuration; nothing is done yet.
    pub(in super::super) fn plan_devices(
        &self,
        config: &DomainConfig,
    ) -> Result<Vec<Plugged>, Fault> {
        plan(&config.devices, &self.settings(), &*self.devices.first)
    }

    /// Plugs in the devices of a domain's record that are not connected yet. If that fails, they stay in the record for
    /// who takes them out. The caller has the domain's lock.
    pub(in super::super) fn plug_in(
        &self,
        domain: DomId,
        record: &mut Record,
    ) -> Result<(), Fault> {
        for device in record.devices.iter_mut() {
            device.is_connected |= !device.has_backend();
        }
        let unconnected = |device: &&Plugged| !device.is_connected;
        let devices: Vec<Plugged> = record.devices.iter().filter(unconnected).cloned().collect();
        if devices.is_empty() {
            self.table.put(record);
            return Ok(());
        }
        for class in [Class::Block, Class::Network] {
            if devices.iter().any(|device| device.class() == class) {
                self.devices.first.load_driver(class);
            }
        }
        let store = &mut *self.connect_store()?;
        tree::write(store, domain, record, &devices)?;
        let mut servers = Vec::new();
        for device in &devices {
            let server = match device.class() {
                Class::Block => {
                    let lock = self.devices.taking_a_disk.lock();
                    let _alone = lock.unwrap_or_else(PoisonError::into_inner);
                    self.connect(store, domain, device)
                }
                Class::Network => self.connect(store, domain, device),
            }?;
            servers.push(server);
        }
        let planned = record.devices.iter_mut();
        let planned = planned.filter(|device| !device.is_connected);
        for (device, server) in planned.zip(servers) {
            device.is_connected = true;
            device.server = server;
        }
        self.table.put(record);
        Ok(())
    }

    /// The answer is the process that serves its image, if there is one.
    fn connect(
        &self,
        store: &mut dyn Nodes,
        domain: DomId,
        plugged: &Plugged,
    ) -> Result<Option<u32>, Fault> {
        let first = &*self.devices.first;
        let limit = Limit::of(self.settings().device_create_timeout());
        wait_for_driver(store, domain, plugged, &limit)?;
        if plugged.class() == Class::Network {
            let name = plugged.interface(domain);
            wait_for_interface(store, domain, plugged, &limit, || {
                first.has_interface(&name)
            })?;
        }
        let run = first.run(&call(domain, plugged, Doing::PlugIn), limit.left());
        // What the script has said counts more than how it has ended.
        let status = format!("{}/hotplug-status", plugged.backend(domain));
        if let Err(failure) = run
            && store.read(&status)?.is_none()
        {
            let mut sentence = format!("{} {failure}", plugged.script.program.display());
            if matches!(failure, ScriptFailure::TookTooLong(_)) {
                sentence.push_str(" (device-create-timeout)");
            }
            return Err(plugged.not_connected(format!("{sentence}.")));
        }
        wait_for_script(store, domain, plugged, &limit)?;
        if plugged.class() == Class::Block {
            let name = plugged.kernel_name(domain);
            wait_for_disk(store, domain, plugged, &limit, || first.has_disk(&name))?;
        }
        let server = store.read(&format!("{}/server", plugged.backend(domain)))?;
        log::info!("{plugged} of domain {} is connected", domain.0);
        Ok(server.and_then(|server| server.parse().ok()))
    }

    /// Takes devices out, whatever the guest does, connected or not. Each step is tried whatever becomes of the others.
    pub(in super::super) fn plug_out(&self, domain: DomId, uuid: Uuid, devices: &[Plugged]) {
        let devices: Vec<&Plugged> = devices.iter().filter(|one| one.has_backend()).collect();
        if devices.is_empty() {
            return;
        }
        let mut store = match self.connect_store() {
            Ok(store) => store,
            Err(fault) => {
                log::error!(
                    "domain {}: its devices are not taken out: {fault}",
                    domain.0
                );
                return;
            }
        };
        let store = &mut *store;
        let first = &*self.devices.first;
        let tell = |device: &Plugged, done: Result<(), Fault>| {
            if let Err(fault) = done {
                log::error!("{device} of domain {}: {fault}", domain.0);
            }
        };
        for &device in &devices {
            tell(device, tree::ask_to_close(store, domain, device).map(drop));
            tell(device, tree::remove_frontend(store, domain, device));
        }
        let limit = Limit::of(LETTING_GO);
        for device in &devices {
            let name = device.kernel_name(domain);
            let gone = limit.wait(|| Ok((!first.has_backend(&name)).then_some(())));
            if !matches!(gone, Ok(Some(()))) {
                log::error!(
                    "{device} of domain {}: the kernel has not let go of it after {} seconds",
                    domain.0,
                    LETTING_GO.as_secs()
                );
            }
        }
        for device in devices {
            let call = call(domain, device, Doing::PlugOut);
            if let Err(failure) = first.run(&call, self.settings().device_destroy_timeout()) {
                let program = call.program.display();
                log::error!("{device} of domain {}: {program} {failure}", domain.0);
            }
            tell(device, tree::remove(store, domain, device, uuid));
        }
    }

    /// Takes the devices out that a record tells of a domain.
    pub(in super::super) fn plug_out_all(&self, domain: DomId, uuid: Uuid) {
        let record = self.table.get(uuid);
        if let Some(mut record) = record.filter(|record| record.domid == Some(domain.0)) {
            self.plug_out(domain, uuid, &record.devices);
            if !record.devices.is_empty() {
                record.devices.clear();
                self.table.put(&record);
            }
        }
    }

    /// Ends scripts that a former daemon has left, of devices that were not connected.
    pub(in super::super) fn end_scripts(&self, domain: DomId, record: &Record) {
        for device in record.devices.iter().filter(|device| !device.is_connected) {
            let backend = device.backend_in_home(domain);
            self.devices.first.end_orphans(&backend);
        }
    }

    /// Ends what a former daemon was about to plug in, and takes it out.
    pub(in super::super) fn plug_out_unfinished(&self, domain: DomId, record: &mut Record) {
        self.end_scripts(domain, record);
        let (connected, unfinished): (Vec<_>, Vec<_>) = std::mem::take(&mut record.devices)
            .into_iter()
            .partition(|device| device.is_connected);
        for device in &unfinished {
            log::warn!(
                "{device} of domain {} was not finished, and is taken out",
                domain.0
            );
        }
        self.plug_out(domain, record.config.uuid, &unfinished);
        record.devices = connected;
        if !unfinished.is_empty() {
            self.table.put(record);
        }
    }
}
