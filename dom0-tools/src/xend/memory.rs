//! What domains should have of the memory, and may have: `xm mem-set` and `xm mem-max`.

use super::Xend;
use super::ballooning::FRAME_KIB;
use super::protocol::{Fault, Response};
use super::record::Record;
use super::store_tree::{self, TARGET};
use guest_abi::ids::DomId;

/// More than any machine has.
const MOST_MIB: u64 = 1 << 32;

fn too_much() -> Fault {
    Fault::text("memory_dynamic_max must be less than or equal to memory_static_max")
}

fn check(mib: u64) -> Result<(), Fault> {
    match mib {
        0 => Err(Fault::text("a domain has 1 MiB of memory at least")),
        1..=MOST_MIB => Ok(()),
        _ => Err(Fault::text(format!(
            "{mib} MiB are more than any machine has; the most is {MOST_MIB} MiB"
        ))),
    }
}

impl Xend {
    /// Says what a domain should have. Its kernel follows, or does not.
    pub(super) fn set_memory(&self, domain: &str, mib: u64) -> Result<Response, Fault> {
        let (view, number) = self.running(domain)?;
        check(mib)?;
        if number == DomId::DOM0 {
            return self.set_first_memory(mib);
        }
        self.alone(&view, |domain, record| {
            let info = self.machine.domain(domain)?;
            let info = info.ok_or_else(|| Fault::NoDomain(view.name.clone()))?;
            let limit = (info.max_pages * FRAME_KIB) >> 10;
            if mib
                > record
                    .as_ref()
                    .map_or(limit, |record| record.config.maxmem_mib)
            {
                return Err(too_much());
            }
            let more_kib = (mib << 10).saturating_sub(info.tot_pages * FRAME_KIB);
            let room = match more_kib {
                0 => None,
                more => Some(self.make_room(more)?),
            };
            let given_kib = room.as_ref().map_or(0, |room| room.given_kib);
            let uuid = record.as_ref().map(|record| record.config.uuid);
            let written = self
                .connect_store()
                .and_then(|mut store| store_tree::set_target(&mut *store, domain, uuid, mib));
            drop(room);
            if written.is_err() {
                self.first_takes_back(given_kib);
            }
            written?;
            log::info!("{}: its target is {mib} MiB now", view.name);
            self.remember(record, |record| record.config.memory_mib = mib);
            Ok(Response::Done)
        })
    }

    fn remember(&self, record: Option<Record>, change: impl FnOnce(&mut Record)) {
        if let Some(mut record) = record {
            change(&mut record);
            self.table.put(&record);
        }
    }

    fn set_first_memory(&self, mib: u64) -> Result<Response, Fault> {
        let _alone = self.lock_memory();
        let info = self.first_info()?;
        let (kib, has_kib) = (mib << 10, info.tot_pages * FRAME_KIB);
        if kib < self.settings().first_least_kib() {
            return Err(Fault::text("memory_dynamic_max too small"));
        }
        let machine_pages = self.machine.physical()?.total_pages;
        if kib > info.max_pages.min(machine_pages) * FRAME_KIB {
            return Err(too_much());
        }
        let (more_kib, free_kib) = (kib.saturating_sub(has_kib), self.free_kib()?);
        if more_kib > free_kib {
            return Err(Fault::text(format!(
                "Not enough free memory: I need {more_kib} KiB but only have {free_kib}."
            )));
        }
        store_tree::set_first_target(&mut *self.connect_store()?, kib)?;
        log::info!("Domain-0: its target is {mib} MiB now");
        Ok(Response::Done)
    }

    /// Says what a domain may have at most, which the hypervisor sees to.
    pub(super) fn limit_memory(&self, domain: &str, mib: u64) -> Result<Response, Fault> {
        let (view, number) = self.running(domain)?;
        check(mib)?;
        if number == DomId::DOM0 {
            let _alone = self.lock_memory();
            let target = store_tree::kib_of(&mut *self.connect_store()?, number, TARGET)?;
            let has_kib = self.first_info()?.tot_pages * FRAME_KIB;
            if mib << 10 < target.unwrap_or(has_kib) {
                return Err(too_much());
            }
            self.machine.limit_memory(number, mib << 10)?;
            log::info!("Domain-0: it may have {mib} MiB from now on");
            return Ok(Response::Done);
        }
        self.alone(&view, |domain, record| {
            if mib < view_target(&record, view.memory_mib) {
                return Err(too_much());
            }
            let info = self.machine.domain(domain)?;
            let before = info.ok_or_else(|| Fault::NoDomain(view.name.clone()))?;
            self.machine.limit_memory(domain, mib << 10)?;
            let uuid = record.as_ref().map(|record| record.config.uuid);
            let written = self
                .connect_store()
                .and_then(|mut store| store_tree::set_maximum(&mut *store, domain, uuid, mib));
            if written.is_err() {
                let before = before.max_pages.saturating_mul(FRAME_KIB);
                self.machine.limit_memory(domain, before)?;
            }
            written?;
            log::info!("{}: it may have {mib} MiB from now on", view.name);
            self.remember(record, |record| record.config.maxmem_mib = mib);
            Ok(Response::Done)
        })
    }
}

/// What a domain should have by its record, which may be newer than what was seen of it before.
fn view_target(record: &Option<Record>, seen_mib: u64) -> u64 {
    record
        .as_ref()
        .map_or(seen_mib, |record| record.config.memory_mib)
}
