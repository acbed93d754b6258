//! Waiting for drivers and scripts, with a limit.

use super::tree::state;
use super::{Class, Plugged};
use crate::xend::nodes::Nodes;
use crate::xend::protocol::Fault;
use guest_abi::ids::DomId;
use std::time::{Duration, Instant};

/// Between two looks.
const GLANCE: Duration = Duration::from_millis(10);

/// How long something may take in all.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    began: Instant,
    most: Duration,
}

impl Limit {
    /// From now on.
    pub(super) fn of(most: Duration) -> Self {
        Self {
            began: Instant::now(),
            most,
        }
    }

    pub(super) fn left(&self) -> Duration {
        self.most.saturating_sub(self.began.elapsed())
    }

    /// Looks until something is seen, or until the time is over: once at least.
    pub(super) fn wait<T>(
        &self,
        mut look: impl FnMut() -> Result<Option<T>, Fault>,
    ) -> Result<Option<T>, Fault> {
        loop {
            let seen = look()?;
            if seen.is_some() || self.left().is_zero() {
                return Ok(seen);
            }
            std::thread::sleep(GLANCE.min(self.left()));
        }
    }
}

fn backend_state(store: &mut dyn Nodes, domain: DomId, plugged: &Plugged) -> Result<u32, Fault> {
    let state = store.read(&format!("{}/state", plugged.backend(domain)))?;
    Ok(state.and_then(|text| text.parse().ok()).unwrap_or(0))
}

/// What the backend's driver says is wrong.
fn complaint(
    store: &mut dyn Nodes,
    domain: DomId,
    plugged: &Plugged,
) -> Result<Option<Fault>, Fault> {
    let said = store.read(&format!("{}/error", plugged.backend_error(domain)))?;
    Ok(said.map(|said| plugged.not_connected(format!("Its backend says: {said}"))))
}

/// Waits until the backend's driver has taken the device: only then an interface is there that a script can plug.
pub(super) fn wait_for_driver(
    store: &mut dyn Nodes,
    domain: DomId,
    plugged: &Plugged,
    limit: &Limit,
) -> Result<(), Fault> {
    let taken = limit.wait(|| {
        if let Some(complaint) = complaint(store, domain, plugged)? {
            return Err(complaint);
        }
        let state = backend_state(store, domain, plugged)?;
        Ok((state >= state::INIT_WAIT).then_some(state))
    })?;
    match taken {
        Some(state) if state < state::CLOSING => Ok(()),
        Some(_) => Err(plugged.not_connected("Backend device not found.")),
        None => {
            let driver = match plugged.class() {
                Class::Block => "xen-blkback",
                Class::Network => "xen-netback",
            };
            Err(plugged.not_connected(format!(
                "Backend device not found: the kernel's driver {driver} has not taken it."
            )))
        }
    }
}

/// Waits for an interface, which comes a moment after its driver has taken the device.
pub(super) fn wait_for_interface(
    store: &mut dyn Nodes,
    domain: DomId,
    plugged: &Plugged,
    limit: &Limit,
    is_there: impl Fn() -> bool,
) -> Result<(), Fault> {
    let found = limit.wait(|| match complaint(store, domain, plugged)? {
        Some(complaint) => Err(complaint),
        None => Ok(is_there().then_some(())),
    })?;
    let name = plugged.interface(domain);
    found.ok_or_else(|| plugged.not_connected(format!("There is no interface {name}.")))
}

/// Waits for what the script says.
pub(super) fn wait_for_script(
    store: &mut dyn Nodes,
    domain: DomId,
    plugged: &Plugged,
    limit: &Limit,
) -> Result<(), Fault> {
    let backend = plugged.backend(domain);
    let status = limit.wait(|| store.read(&format!("{backend}/hotplug-status")))?;
    let why = |store: &mut dyn Nodes| -> Result<String, Fault> {
        let why = store.read(&format!("{backend}/hotplug-error"))?;
        Ok(why.unwrap_or_default())
    };
    match status.as_deref() {
        None => Err(plugged.not_connected("Hotplug scripts not working.")),
        Some("error") => Err(plugged.not_connected(why(store)?)),
        Some("busy") => Err(plugged.not_connected(format!("\n{}", why(store)?).trim_end())),
        Some(_) => Ok(()),
    }
}

/// Waits until the backend has opened its disk, or says why it can't.
pub(super) fn wait_for_disk(
    store: &mut dyn Nodes,
    domain: DomId,
    plugged: &Plugged,
    limit: &Limit,
    has_disk: impl Fn() -> bool,
) -> Result<(), Fault> {
    let opened = limit.wait(|| match complaint(store, domain, plugged)? {
        Some(complaint) => Err(complaint),
        None => Ok(has_disk().then_some(())),
    })?;
    opened.ok_or_else(|| plugged.not_connected("Its backend has not opened the disk."))
}
