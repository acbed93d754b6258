//! What is asked of the devices of guests that run.

use super::handshake::Limit;
use super::{Class, Plugged, Subject, complete_device, plan_one, tree};
use crate::config::device_number::VirtualDevice;
use crate::config::devices::Device;
use crate::config::mac::Mac;
use crate::xend::Xend;
use crate::xend::domains::known;
use crate::xend::nodes::Nodes;
use crate::xend::protocol::{Fault, Response};
use crate::xend::record::Record;
use crate::xend::store_tree::home;
use guest_abi::ids::DomId;
use serde::{Deserialize, Serialize};

/// So many nodes of a frontend's directory are shown: guests write what they like there.
const MOST_NODES: usize = 64;
/// So many characters of each.
const MOST_CHARACTERS: usize = 200;

/// A device of a guest that runs, as clients are shown it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DeviceView {
    /// The number under which the guest knows it.
    pub number: u32,
    /// Where its backend is.
    pub backend: String,
    /// The address of an interface.
    pub mac: Option<String>,
    /// The frontend's directory, as the guest has it.
    pub frontend: Vec<(String, String)>,
}

impl DeviceView {
    /// A number that the guest has written.
    #[must_use]
    pub fn number_of(&self, name: &str) -> Option<u32> {
        let found = self.frontend.iter().find(|(found, _)| found == name);
        found.and_then(|(_, value)| value.parse().ok())
    }
}

/// Whether the guest is asked before it loses a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Detach {
    /// It closes the device.
    Asking,
    /// It is not asked.
    Forced,
}

/// What a guest has written, for people.
fn shown(text: &str) -> String {
    let text = text.chars().take(MOST_CHARACTERS);
    text.map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// The device that an administrator means: `51728`, `xvdb`, `/dev/xvdb`, `vbd/51728`, `0`, `00:16:3e:00:00:11`.
fn find(record: &Record, class: Class, named: &str) -> Result<Plugged, Fault> {
    let unknown = || Fault::text(format!("Device {named} not connected"));
    let mut devices = record
        .devices
        .iter()
        .filter(|device| device.class() == class);
    if let (Class::Network, Ok(mac)) = (class, named.parse::<Mac>()) {
        let is_it = |device: &&Plugged| matches!(&device.subject, Subject::Vif(vif) if vif.mac == Some(mac));
        let absent = || {
            let name = &record.config.name;
            Fault::text(format!("Cannot find device '{named}' in domain '{name}'"))
        };
        return devices.find(is_it).cloned().ok_or_else(absent);
    }
    let prefix = format!("{}/", class.word());
    let plain = named.strip_prefix(&prefix).unwrap_or(named);
    let number = match class {
        Class::Block => VirtualDevice::parse(plain).ok().map(|device| device.number),
        Class::Network => plain.parse().ok(),
    };
    let number = number.ok_or_else(unknown)?;
    devices
        .find(|device| device.number == number)
        .cloned()
        .ok_or_else(unknown)
}

impl Xend {
    pub(in super::super) fn attach(
        &self,
        domain: &str,
        mut device: Device,
    ) -> Result<Response, Fault> {
        let view = self.guest(domain, "Cannot attach a device to")?;
        if view.state.contains(['s', 'c', 'd']) {
            return Err(Fault::text("Domain is not running"));
        }
        complete_device(&mut device)?;
        self.alone(&view, |domain, record| {
            let mut record = known(record, &view.name)?;
            let first = &*self.devices.first;
            let plugged = plan_one(&device, &record.devices, &self.settings(), first)?;
            record.devices.push(plugged.clone());
            self.table.put(&record);
            if let Err(fault) = self.plug_in(domain, &mut record) {
                log::warn!("{}: {fault}", view.name);
                self.plug_out(domain, record.config.uuid, &[plugged]);
                record.devices.pop();
                self.table.put(&record);
                return Err(fault);
            }
            // It is there again after a reboot.
            record.config.devices.push(device);
            self.table.put(&record);
            Ok(Response::Done)
        })
    }

    pub(in super::super) fn detach(
        &self,
        domain: &str,
        class: Class,
        named: &str,
        how: Detach,
    ) -> Result<Response, Fault> {
        let view = self.guest(domain, "Cannot detach a device from")?;
        let (domain, plugged) = self.alone(&view, |domain, record| {
            let plugged = find(&known(record, &view.name)?, class, named)?;
            if how == Detach::Asking {
                tree::ask_to_close(&mut *self.connect_store()?, domain, &plugged)?;
            }
            Ok((domain, plugged))
        })?;
        if how == Detach::Asking {
            // Others may work on the domain, and end it, meanwhile.
            self.wait_for_guest(domain, &plugged)?;
        }
        self.alone(&view, |domain, record| {
            let mut record = known(record, &view.name)?;
            let Some(index) = record.devices.iter().position(|other| other.is(&plugged)) else {
                // Somebody else has done it.
                return Ok(Response::Done);
            };
            self.plug_out(domain, record.config.uuid, std::slice::from_ref(&plugged));
            record.devices.remove(index);
            let device = plugged.device();
            let mut devices = record.config.devices.iter();
            if let Some(index) = devices.position(|other| *other == device) {
                record.config.devices.remove(index);
            }
            self.table.put(&record);
            log::info!("{plugged} of domain {} is disconnected", domain.0);
            Ok(Response::Done)
        })
    }

    pub(super) fn wait_for_guest(&self, domain: DomId, plugged: &Plugged) -> Result<(), Fault> {
        let most = self.settings().device_destroy_timeout();
        let name = plugged.kernel_name(domain);
        let first = &*self.devices.first;
        let closed = Limit::of(most).wait(|| Ok((!first.has_backend(&name)).then_some(())))?;
        if closed.is_some() {
            return Ok(());
        }
        let class = plugged.class().word();
        let node = format!(
            "{}/error/device/{class}/{}/error",
            home(domain),
            plugged.number
        );
        let said = self.connect_store()?.read(&node)?.map(|said| shown(&said));
        let why = match said.filter(|said| !said.is_empty()) {
            Some(said) => format!("The guest says: {said}"),
            None => format!(
                "The guest has not closed it within {} seconds; --force does not ask it.",
                most.as_secs()
            ),
        };
        Err(Fault::text(format!(
            "{plugged} could not be disconnected. {why}"
        )))
    }

    /// The devices of a domain, as its guest has them now.
    pub(in super::super) fn devices_of(
        &self,
        domain: &str,
        class: Class,
    ) -> Result<Response, Fault> {
        let (view, domain) = self.running(domain)?;
        let records = self.table.all().into_iter();
        let is_it =
            |record: &Record| record.domid == Some(domain.0) && record.config.name == view.name;
        let devices = records.filter(is_it).flat_map(|record| record.devices);
        let devices = devices.filter(|device| device.class() == class);
        let store = &mut *self.connect_store()?;
        let views = devices.map(|device| view_of(store, domain, &device));
        views.collect::<Result<_, _>>().map(Response::Devices)
    }
}

fn view_of(store: &mut dyn Nodes, domain: DomId, device: &Plugged) -> Result<DeviceView, Fault> {
    let directory = device.frontend(domain);
    let mut frontend = Vec::new();
    for name in store.children(&directory)?.into_iter().take(MOST_NODES) {
        // Directories are queues of a device with several.
        let value = store
            .read(&format!("{directory}/{name}"))?
            .unwrap_or_default();
        frontend.push((shown(&name), shown(&value)));
    }
    let mac = match &device.subject {
        Subject::Vif(vif) => vif.mac.map(|mac| mac.to_string()),
        Subject::Disk(_) => None,
    };
    Ok(DeviceView {
        number: device.number,
        backend: device.backend(domain),
        mac,
        frontend,
    })
}
