//! The directories of a device in the store.

use super::{Plugged, Subject, block, network};
use crate::config::domain::Uuid;
use crate::config::file::random_uuid;
use crate::xend::nodes::{NewNode, Nodes};
use crate::xend::protocol::Fault;
use crate::xend::record::Record;
use crate::xend::store_tree::vm;
use guest_abi::ids::DomId;

/// States in which a driver says how far it is.
pub(super) mod state {
    pub(in super::super) const INITIALISING: u32 = 1;
    pub(in super::super) const INIT_WAIT: u32 = 2;
    pub(in super::super) const CLOSING: u32 = 5;
}

/// Where tools find a device of a domain, whatever its number is now.
fn of_identity(plugged: &Plugged, uuid: Uuid) -> String {
    let class = plugged.class().word();
    format!("{}/device/{class}/{}", vm(uuid), plugged.number)
}

/// Writes all directories of some devices, all at once.
pub(super) fn write(
    store: &mut dyn Nodes,
    domain: DomId,
    record: &Record,
    devices: &[Plugged],
) -> Result<(), Fault> {
    let mut nodes = Vec::new();
    for plugged in devices {
        // What was there before is not this device's.
        store.remove(&plugged.frontend(domain))?;
        store.remove(&plugged.backend(domain))?;
        store.remove(&plugged.backend_error(domain))?;
        nodes.extend(nodes_of(plugged, domain, record)?);
    }
    store.write_together(&nodes)
}

fn nodes_of(plugged: &Plugged, domain: DomId, record: &Record) -> Result<Vec<NewNode>, Fault> {
    let (frontend, backend) = (plugged.frontend(domain), plugged.backend(domain));
    let identity = random_uuid()
        .map_err(|error| Fault::text(format!("there is no identity for {plugged}: {error}")))?;
    let first = record
        .devices
        .iter()
        .find(|other| other.class() == plugged.class());
    let is_first = first.is_some_and(|first| first.number == plugged.number);
    let (of_frontend, of_backend) = match &plugged.subject {
        Subject::Disk(disk) => (
            block::frontend_nodes(disk),
            block::backend_nodes(disk, is_first),
        ),
        Subject::Vif(vif) => (
            network::frontend_nodes(vif, plugged.number),
            network::backend_nodes(vif, plugged),
        ),
    };
    let begins = ("state", state::INITIALISING.to_string());
    let to_backend = [
        ("backend", backend.clone()),
        ("backend-id", DomId::DOM0.0.to_string()),
    ];
    let to_frontend = [
        ("frontend", frontend.clone()),
        ("frontend-id", domain.0.to_string()),
    ];
    let mut nodes = Vec::new();
    let mut directory =
        |path: &str,
         perms: Option<Vec<String>>,
         pairs: &mut dyn Iterator<Item = (&'static str, String)>| {
            nodes.push(NewNode {
                path: path.to_owned(),
                value: String::new(),
                perms: perms.clone(),
            });
            nodes.extend(pairs.map(|(name, value)| NewNode {
                path: format!("{path}/{name}"),
                value,
                perms: perms.clone(),
            }));
        };
    // The guest's directory, which the backend reads.
    let owned_by_guest = vec![format!("n{}", domain.0), format!("r{}", DomId::DOM0.0)];
    let pairs = to_backend.clone().into_iter().chain(of_frontend);
    directory(
        &frontend,
        Some(owned_by_guest),
        &mut pairs.chain([begins.clone()]),
    );
    // The backend's, which the guest reads. Its state is what its driver waits for, so it comes last.
    let owned_by_first = vec![format!("n{}", DomId::DOM0.0), format!("r{}", domain.0)];
    let pairs = [("domain", record.config.name.clone())]
        .into_iter()
        .chain(to_frontend.clone())
        .chain(of_backend)
        .chain([
            ("uuid", identity.to_string()),
            ("online", "1".to_owned()),
            begins,
        ]);
    directory(&backend, Some(owned_by_first), &mut { pairs });
    let of_identity = of_identity(plugged, record.config.uuid);
    directory(
        &of_identity,
        None,
        &mut to_backend.into_iter().chain(to_frontend),
    );
    Ok(nodes)
}

/// Asks both ends of a device to close. `false`: there is no such device in the store.
pub(super) fn ask_to_close(
    store: &mut dyn Nodes,
    domain: DomId,
    plugged: &Plugged,
) -> Result<bool, Fault> {
    let backend = plugged.backend(domain);
    if store.read(&format!("{backend}/frontend-id"))?.is_none() {
        return Ok(false);
    }
    store.write(&format!("{backend}/online"), "0")?;
    store.write(&format!("{backend}/state"), &state::CLOSING.to_string())?;
    Ok(true)
}

/// Takes the frontend away, on which the backend ends.
pub(super) fn remove_frontend(
    store: &mut dyn Nodes,
    domain: DomId,
    plugged: &Plugged,
) -> Result<(), Fault> {
    store.remove(&plugged.frontend(domain))
}

/// Removes what is left of a device.
pub(super) fn remove(
    store: &mut dyn Nodes,
    domain: DomId,
    plugged: &Plugged,
    uuid: Uuid,
) -> Result<(), Fault> {
    store.remove(&plugged.frontend(domain))?;
    store.remove(&plugged.backend(domain))?;
    store.remove(&plugged.backend_error(domain))?;
    store.remove(&of_identity(plugged, uuid))
}
