//! Watching the processes that serve images of disks. One that has ended is not replaced: what it had not written when it
//! ended is lost, and the guest, which goes on, would take it for written. It gets errors instead, as from a disk that
//! is broken.

use super::Plugged;
use crate::xend::Xend;
use crate::xend::record::Record;
use guest_abi::ids::DomId;

impl Xend {
    fn has_lost_its_server(&self, domain: DomId, device: &Plugged) -> bool {
        let backend = device.backend_in_home(domain);
        let first = &*self.devices.first;
        device
            .server
            .is_some_and(|process| !first.serves(process, &backend))
    }

    /// Tells, once, of disks whose images nobody serves any more.
    pub(in super::super) fn look_at_servers(&self) {
        for record in self.table.all() {
            let Some(domid) = record.domid else { continue };
            let is_lost = |device: &Plugged| self.has_lost_its_server(DomId(domid), device);
            if !record.devices.iter().any(is_lost) {
                continue;
            }
            let uuid = record.config.uuid;
            let Some(lock) = self.table.lock_of(uuid) else {
                continue;
            };
            // Whoever works on the domain may just be ending it; it is looked at again.
            let Ok(_alone) = lock.try_lock() else {
                continue;
            };
            let now = self.table.get(uuid);
            if let Some(now) = now.filter(|now| now.domid == Some(domid)) {
                self.tell_of_servers(now, DomId(domid));
            }
        }
    }

    fn tell_of_servers(&self, mut record: Record, domain: DomId) {
        let mut store = self.connect_store().ok();
        let name = record.config.name.clone();
        for device in &mut record.devices {
            if !self.has_lost_its_server(domain, device) {
                continue;
            }
            let process = device.server.take().unwrap_or_default();
            let told = format!(
                "the process that served its image, {process}, has ended: the guest gets errors, until the disk is \
                 detached and attached again, or the guest is started again"
            );
            log::error!("{name}: {device} of domain {}: {told}", domain.0);
            if let Some(store) = &mut store {
                let node = format!("{}/hotplug-error", device.backend(domain));
                let _ = store.write(&node, &told);
            }
        }
        self.table.put(&record);
    }
}
