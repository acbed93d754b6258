//! Changing the disk in a drive of a guest that runs.
//!
//! Linux's drivers know no such thing: a backend opens one disk and keeps it. So the guest is asked to close the drive,
//! and gets it anew with what is in it then. An empty drive is in the domain's record alone: a frontend without a disk
//! behind it is one that kernels wait for when they boot, for minutes.

use super::{Plugged, Subject, plan_one, tree};
use crate::config::devices::Device;
use crate::config::disk::{Disk, DriveKind};
use crate::xend::Xend;
use crate::xend::domains::known;
use crate::xend::protocol::{Fault, Response};
use crate::xend::record::Record;
use guest_abi::ids::DomId;

/// The drive of a domain that is to get another disk, and what becomes of it.
fn find(record: &Record, disk: &Disk) -> Result<(Plugged, Disk), Fault> {
    let number = disk.device.number;
    let old = record
        .devices
        .iter()
        .find_map(|device| match &device.subject {
            Subject::Disk(old) if device.number == number => Some((device.clone(), old)),
            _ => None,
        });
    let (plugged, old) =
        old.ok_or_else(|| Fault::text(format!("Device {} not connected", disk.device)))?;
    if old.kind != DriveKind::Cdrom {
        return Err(Fault::text(format!(
            "Refusing to reconfigure device vbd:{number} to {disk}: only the disk in a drive (VDEV:cdrom) can be changed"
        )));
    }
    // It stays the drive that it is.
    let disk = Disk {
        source: disk.source.clone(),
        backend: disk.backend.clone(),
        ..old.clone()
    };
    Ok((plugged, disk))
}

impl Xend {
    pub(in super::super) fn configure(&self, domain: &str, disk: &Disk) -> Result<Response, Fault> {
        let view = self.guest(domain, "Cannot change a device of")?;
        if view.state.contains(['s', 'c', 'd']) {
            return Err(Fault::text("Domain is not running"));
        }
        let (domain, old) = self.alone(&view, |domain, record| {
            let record = known(record, &view.name)?;
            let (old, disk) = find(&record, disk)?;
            // Before the guest loses anything.
            self.plan_instead(&record, &old, &disk)?;
            if old.has_backend() {
                tree::ask_to_close(&mut *self.connect_store()?, domain, &old)?;
            }
            Ok((domain, old))
        })?;
        // Others may work on the domain, and end it, meanwhile.
        self.wait_for_guest(domain, &old)?;
        self.alone(&view, |domain, record| {
            let mut record = known(record, &view.name)?;
            let (now, disk) = find(&record, disk)?;
            if !now.is(&old) {
                return Err(Fault::text(format!(
                    "{old} was changed by somebody else meanwhile"
                )));
            }
            let new = self.plan_instead(&record, &old, &disk)?;
            let fault = match self.replace(domain, &mut record, &old, new) {
                Ok(()) => return Ok(Response::Done),
                Err(fault) => fault,
            };
            log::warn!("{}: {fault}", view.name);
            // What was in it is put back.
            let before = old.as_planned();
            if let Err(fault) = self.replace(domain, &mut record, &old, before) {
                log::error!("{}: {old} is lost: {fault}", view.name);
            }
            Err(fault)
        })
    }

    fn plan_instead(&self, record: &Record, old: &Plugged, disk: &Disk) -> Result<Plugged, Fault> {
        let others = record.devices.iter().filter(|device| !device.is(old));
        let others: Vec<Plugged> = others.cloned().collect();
        let device = Device::Disk(disk.clone());
        plan_one(&device, &others, &self.settings(), &*self.devices.first)
    }

    /// Plugs a disk in where another of this number is or was; if that fails, there is none.
    fn replace(
        &self,
        domain: DomId,
        record: &mut Record,
        old: &Plugged,
        new: Plugged,
    ) -> Result<(), Fault> {
        let uuid = record.config.uuid;
        let is_it = |device: &Plugged| device.class() == old.class() && device.number == old.number;
        if let Some(index) = record.devices.iter().position(is_it) {
            let there = record.devices.remove(index);
            self.plug_out(domain, uuid, &[there]);
        }
        record.devices.push(new.clone());
        self.table.put(record);
        if let Err(fault) = self.plug_in(domain, record) {
            self.plug_out(domain, uuid, &[new]);
            record.devices.pop();
            self.table.put(record);
            return Err(fault);
        }
        let drive = record.config.devices.iter_mut().find(
            |device| matches!(device, Device::Disk(disk) if disk.device.number == old.number),
        );
        if let Some(drive) = drive {
            *drive = new.device();
        }
        self.table.put(record);
        Ok(())
    }
}
