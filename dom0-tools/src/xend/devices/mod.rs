//! Disks and networks of guests: plugged in when a guest is made or when an administrator asks, and out when it ends.
//!
//! A device has two ends: a driver in the guest, the frontend, and one in the first domain's kernel, the backend. They
//! meet in two directories of the store ([`tree`]), which are written in one transaction, so no driver sees half of
//! them. The backend is given its disk, or its interface a bridge, by a [`script`](scripts): ours, or an administrator's.
//! Its part of the agreement is a single node, `hotplug-status` ([`handshake`]). When it says so the device is connected.
//! [`block`] and [`network`] know what each kind has; [`running`] does what is asked of guests that run. An image that is
//! more than raw is served by a process of its own, which a script starts and ends and [`image_server`] watches.
//!
//! What is plugged in is in the domain's [`Record`](super::record::Record) before the first node is written, with all
//! that is needed to take it out again: whoever finds the record, the next daemon for one, can do so.
//!
//! The guest owns the frontend's directory, and may write there what it likes. So nothing is taken from there but what
//! is shown to people: which backend a device has, and where, is what the record says. Nobody waits for a guest
//! without a limit, and while one is waited for its domain's lock is free. A backend is let go of without its guest's help
//! by removing the frontend's directory: the kernel then ends it.

mod block;
mod configure;
pub mod first_domain;
mod handshake;
mod host_network;
mod image_server;
mod network;
pub(super) mod plug;
pub mod running;
pub mod scripts;
mod tree;

#[cfg(test)]
mod disk_tests;
#[cfg(test)]
mod tests;

use super::protocol::Fault;
use super::settings::Settings;
use super::store_tree::home;
use crate::config::devices::Device;
use crate::config::disk::Disk;
use crate::config::domain::DomainConfig;
use crate::config::file::random_uuid;
use crate::config::mac::Mac;
use crate::config::vif::Vif;
use first_domain::FirstDomain;
use guest_abi::ids::DomId;
use scripts::Script;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Kinds of devices, as the store calls them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Class {
    /// Disks.
    #[serde(rename = "vbd")]
    Block,
    /// Network interfaces.
    #[serde(rename = "vif")]
    Network,
}

impl Class {
    /// As the store says it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Block => "vbd",
            Self::Network => "vif",
        }
    }
}

/// What a device is to be, complete.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Subject {
    Disk(Disk),
    Vif(Vif),
}

/// A device that is plugged in, or on the way.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Plugged {
    subject: Subject,
    /// The number under which the guest and the store know it.
    number: u32,
    script: Script,
    /// Both directories are written, and the script has said so.
    is_connected: bool,
    /// The process that serves its image, as the script has noted it, until that is seen to have ended.
    #[serde(default)]
    server: Option<u32>,
}

impl Plugged {
    /// Nothing is done about it yet.
    const fn planned(subject: Subject, number: u32, script: Script) -> Self {
        Self {
            subject,
            number,
            script,
            is_connected: false,
            server: None,
        }
    }

    /// As it was before anything was done about it.
    fn as_planned(&self) -> Self {
        Self::planned(self.subject.clone(), self.number, self.script.clone())
    }

    /// An empty drive has none.
    const fn has_backend(&self) -> bool {
        match &self.subject {
            Subject::Disk(disk) => disk.source.is_some(),
            Subject::Vif(_) => true,
        }
    }

    /// Whether they are one, whatever has become of it.
    fn is(&self, other: &Self) -> bool {
        (&self.subject, self.number, &self.script) == (&other.subject, other.number, &other.script)
    }

    const fn class(&self) -> Class {
        match self.subject {
            Subject::Disk(_) => Class::Block,
            Subject::Vif(_) => Class::Network,
        }
    }

    /// As the configuration has it.
    fn device(&self) -> Device {
        match &self.subject {
            Subject::Disk(disk) => Device::Disk(disk.clone()),
            Subject::Vif(vif) => Device::Vif(vif.clone()),
        }
    }

    /// The backend's directory, in the first domain's home.
    fn backend_in_home(&self, domain: DomId) -> String {
        format!(
            "backend/{}/{}/{}",
            self.class().word(),
            domain.0,
            self.number
        )
    }

    fn backend(&self, domain: DomId) -> String {
        format!("{}/{}", home(DomId::DOM0), self.backend_in_home(domain))
    }

    /// Where the backend's driver says what is wrong.
    fn backend_error(&self, domain: DomId) -> String {
        let backend = self.backend_in_home(domain);
        format!("{}/error/{backend}", home(DomId::DOM0))
    }

    fn frontend(&self, domain: DomId) -> String {
        let class = self.class().word();
        format!("{}/device/{class}/{}", home(domain), self.number)
    }

    /// What the first domain's kernel calls the backend.
    fn kernel_name(&self, domain: DomId) -> String {
        format!("{}-{}-{}", self.class().word(), domain.0, self.number)
    }

    /// What the first domain's kernel calls an interface at first.
    fn interface(&self, domain: DomId) -> String {
        format!("vif{}.{}", domain.0, self.number)
    }

    /// Why it is not connected.
    fn not_connected(&self, reason: impl fmt::Display) -> Fault {
        Fault::text(format!("{self} could not be connected. {reason}"))
    }
}

impl fmt::Display for Plugged {
    /// As administrators know it from sentences.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Device {} ({})", self.number, self.class().word())
    }
}

/// Gives addresses to the interfaces that have none, which they keep from then on.
pub(super) fn complete(config: &mut DomainConfig) -> Result<(), Fault> {
    for device in &mut config.devices {
        complete_device(device)?;
    }
    Ok(())
}

fn complete_device(device: &mut Device) -> Result<(), Fault> {
    if let Device::Vif(vif) = device
        && vif.mac.is_none()
    {
        let random = random_uuid().map_err(|error| {
            Fault::text(format!("there is no address for an interface: {error}"))
        })?;
        let [first, second, third, ..] = random.0;
        vif.mac = Some(Mac::from_random([first, second, third]));
    }
    Ok(())
}

/// What becomes of the devices of a configuration; nothing is done yet.
fn plan(
    devices: &[Device],
    settings: &Settings,
    first: &dyn FirstDomain,
) -> Result<Vec<Plugged>, Fault> {
    let mut planned = Vec::new();
    for device in devices {
        let one = plan_one(device, &planned, settings, first)?;
        planned.push(one);
    }
    Ok(planned)
}

/// What becomes of a device beside others.
fn plan_one(
    device: &Device,
    others: &[Plugged],
    settings: &Settings,
    first: &dyn FirstDomain,
) -> Result<Plugged, Fault> {
    let plugged = match device {
        Device::Disk(disk) => block::plan(disk, others, first)?,
        Device::Vif(vif) => network::plan(vif, others, settings)?,
        Device::Vfb(_) | Device::Pci(_) => {
            return Err(Fault::text(format!(
                "a device of kind {} can't be connected: only disks and networks are there yet; leave out vfb and pci",
                device.kind()
            )));
        }
    };
    let program = &plugged.script.program;
    if !first.is_program(program) {
        let problem = format!("{} is no program.", program.display());
        return Err(plugged.not_connected(problem));
    }
    Ok(plugged)
}

/// Only the first domain has backends.
fn check_backend(backend: Option<&str>) -> Result<(), Fault> {
    match backend {
        None | Some("0" | "Domain-0") => Ok(()),
        Some(other) => Err(Fault::text(format!(
            "a backend in the domain '{other}' can't be used: backends in other domains than the first are not there yet"
        ))),
    }
}
