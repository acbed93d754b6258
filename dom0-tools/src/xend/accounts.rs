//! Where the machine's memory is, as `xm info --memory` shows it.

use super::Xend;
use super::ballooning::FRAME_KIB;
use super::create::now;
use super::domains::is_former;
use super::protocol::Fault;
use super::record::Record;
use super::store_tree;
use super::view::{MemoryRow, MemoryView, Refusal};
use guest_abi::domctl_domain::DomainInfo;
use guest_abi::sysctl::PhysInfo;
use std::sync::PoisonError;

/// So often all of it is asked for, until nothing has changed from the first question to the last.
const LOOKS: u32 = 50;

impl Xend {
    /// All accounts, of one moment unless memory changes hands all the time.
    pub(super) fn memory(&self) -> Result<MemoryView, Fault> {
        let (machine, infos) = self.count()?;
        let views = self.domain_views()?;
        let records = self.table.all();
        let rows = infos.iter().map(|info| {
            let is_of =
                |record: &&Record| record.domid == Some(info.domain.0) && !is_former(info, record);
            let number = Some(info.domain.0);
            let view = views.iter().find(|view| view.domid == number);
            let name = view.map(|view| view.name.clone());
            self.row(&machine, info, name, records.iter().find(is_of))
        });
        let domains: Vec<_> = rows.collect();
        let total_kib = machine.total_pages * FRAME_KIB;
        let free_kib = machine.free_pages * FRAME_KIB;
        let domains_kib: u64 = domains.iter().map(|row| row.current_kib).sum();
        Ok(MemoryView {
            total_kib,
            hypervisor_kib: total_kib.saturating_sub(free_kib + domains_kib),
            domains_kib,
            free_kib,
            claimed_kib: machine.outstanding_pages * FRAME_KIB,
            last_refusal: self.last_refusal(),
            domains,
        })
    }

    fn row(
        &self,
        machine: &PhysInfo,
        info: &DomainInfo,
        name: Option<String>,
        record: Option<&Record>,
    ) -> MemoryRow {
        let current_kib = info.tot_pages * FRAME_KIB;
        let is_limited = info.max_pages < machine.total_pages;
        let maximum_kib = is_limited.then_some(info.max_pages * FRAME_KIB);
        // What others than this daemon have set is in the store.
        let in_store = |node| {
            let mut store = self.connect_store().ok()?;
            store_tree::kib_of(&mut *store, info.domain, node).ok()?
        };
        let target_kib = match record {
            Some(record) => record.config.memory_mib << 10,
            None => in_store(store_tree::TARGET).unwrap_or(current_kib),
        };
        // One without a limit has given up what it had at its start.
        let most_kib = maximum_kib.or_else(|| in_store(store_tree::MAXIMUM));
        MemoryRow {
            name: name.unwrap_or_else(|| format!("(unknown-{})", info.domain.0)),
            domid: info.domain.0,
            current_kib,
            target_kib,
            maximum_kib,
            ballooned_kib: most_kib.unwrap_or(0).saturating_sub(current_kib),
        }
    }

    /// The machine and its domains, with counts that belong together.
    fn count(&self) -> Result<(PhysInfo, Vec<DomainInfo>), Fault> {
        let mut looks = 0;
        loop {
            looks += 1;
            let before = self.machine.physical()?;
            let infos = self.machine.domains()?;
            let after = self.machine.physical()?;
            let is_same = |of: fn(&PhysInfo) -> u64| of(&before) == of(&after);
            let is_quiet =
                is_same(|info| info.free_pages) && is_same(|info| info.outstanding_pages);
            if is_quiet || looks == LOOKS {
                return Ok((after, infos));
            }
        }
    }

    fn last_refusal(&self) -> Option<Refusal> {
        let last = self.last_refusal.lock();
        last.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A guest was not started for want of memory.
    pub(super) fn note_refusal(&self, name: &str, why: &Fault) {
        let refusal = Refusal {
            name: name.to_owned(),
            time: now(),
            reason: why.to_string(),
        };
        let last = self.last_refusal.lock();
        *last.unwrap_or_else(PoisonError::into_inner) = Some(refusal);
    }
}
