//! Page faults of a guest: a store to a page table or to a device's registers that are not the guest's to write, a
//! descriptor of an LDT that was not looked at yet, a fault that is over already, or the guest's own business.

use super::bounce::CannotDeliver;
use super::emulation::{self, Trapped};
use super::entry::{deliver_exception, deliver_page_fault, vector};
use super::running::Guest;
use super::switch;
use crate::arch::layout::{HYPERVISOR_END, HYPERVISOR_START, PER_VCPU_BYTES};
use crate::arch::memory::{Machine, mm};
use crate::domain::Domain;
use crate::domain::context::is_canonical;
use crate::emulate::machine::{Exchange, Stop};
use crate::emulate::pte_write::{self, EntryIndex, PageTable};
use crate::hypercall::descriptors::{self, LdtPage};
use crate::mm::emulate::{EntryPart, Exchange as EntryExchange};
use crate::mm::error;
use crate::mm::platform::{Device, IoRights, Slot};
use crate::mm::pte;
use guest_abi::ids::{Mfn, PAGE_SIZE, Vaddr};
use guest_abi::vm_assist::VmAssist;

/// Error-code bits.
const PRESENT: u32 = 1 << 0;
const WRITE: u32 = 1 << 1;
const RESERVED: u32 = 1 << 3;
const FETCH: u32 = 1 << 4;

/// A page fault at `address`: the hypervisor's to mend, or the guest's own.
pub(in crate::arch) fn handle(
    guest: &mut Guest<'_>,
    address: u64,
    error_code: u32,
) -> Result<(), CannotDeliver> {
    if (HYPERVISOR_START..HYPERVISOR_END).contains(&address) {
        // The processor that looks at a descriptor misses a page that is not there. What is there and may not
        // be used is what the guest itself has tried. (Not all processors tell the two apart by the right
        // with which they looked, and a guest that tries a page has it mapped, once.)
        if error_code & (PRESENT | RESERVED | FETCH) == 0
            && let Some(result) = ldt_fault(guest, address)
        {
            return result;
        }
        return deliver_page_fault(guest, address, error_code);
    }
    let is_store = error_code & (PRESENT | WRITE | RESERVED | FETCH) == PRESENT | WRITE;
    if is_store && guest.context.is_kernel() {
        match table_at(guest, address) {
            Found::Table(place) => {
                if has_stores_emulated(guest)
                    && let Some(result) = store(guest, address, place)
                {
                    return result;
                }
            }
            // Another processor has made the page writable meanwhile.
            Found::Writable => return Ok(()),
            Found::Device => {
                if let Some(result) = drop_store(guest, address) {
                    return result;
                }
            }
            Found::Other => {}
        }
    }
    deliver_page_fault(guest, address, error_code)
}

/// Whether the domain's stores into its page tables are carried out: a matter of its choice. The first domain's always are,
/// as on the reference hypervisor, which has to look at its stores anyway: they may be to devices.
#[inline(always)]
fn has_stores_emulated(guest: &Guest<'_>) -> bool {
    guest.domain.is_hardware_domain() || guest.domain.has_assist(VmAssist::WritablePagetables)
}

enum Found {
    /// Mapped read-only, and an L1 table in force.
    Table(Mfn),
    /// Mapped writable.
    Writable,
    /// Mapped read-only: a device's registers that the domain may read.
    Device,
    Other,
}

/// What the guest kernel's tables map at `address`.
fn table_at(guest: &Guest<'_>, address: u64) -> Found {
    let root = guest.context.kernel_root;
    guest.domain.with_tables(|lock| {
        let Ok(entry) = mm().entry_for(lock, root, Vaddr(address)) else {
            return Found::Other;
        };
        if !pte::is_present(entry) {
            Found::Other
        } else if pte::is_writable(entry) {
            // A table on the way may forbid it all the same.
            match mm().is_way_writable(lock, root, Vaddr(address)) {
                Ok(true) => Found::Writable,
                _ => Found::Other,
            }
        } else if mm().is_l1_table(lock, pte::mfn(entry)) {
            Found::Table(pte::mfn(entry))
        } else if Machine.device(guest.domain.id(), pte::mfn(entry)) == Device::ReadOnly {
            Found::Device
        } else {
            Found::Other
        }
    })
}

/// An L1 table of a domain, as the emulator sees it.
struct Entries<'d> {
    domain: &'d Domain,
    table: Mfn,
}

impl PageTable for Entries<'_> {
    fn entry(&mut self, index: EntryIndex) -> Result<u64, Stop> {
        let slot = Slot::new(index.get() as u64).ok_or(Stop::Unhandleable)?;
        self.domain
            .with_tables(|lock| mm().l1_entry(lock, self.table, slot))
            .map_err(|_| Stop::Unhandleable)
    }

    fn update(&mut self, index: EntryIndex, old: u64, new: u64) -> Result<Exchange, Stop> {
        let part = EntryPart::new(8 * index.get() as u64, 8).ok_or(Stop::Unhandleable)?;
        let result = self
            .domain
            .with_tables(|lock| mm().emulate_compare_exchange(lock, self.table, part, old, new));
        match result {
            Ok(EntryExchange::Done) => Ok(Exchange::Written),
            Ok(EntryExchange::Differs(_)) => Ok(Exchange::Changed),
            Err(error::Stop::Preempted) => Err(Stop::Retry),
            Err(error::Stop::Failed(_)) => Err(Stop::Unhandleable),
        }
    }
}

/// Emulates a store to the page table `table`, mapped at `address`. `None` if it is not one that is emulated.
fn store(guest: &mut Guest<'_>, address: u64, table: Mfn) -> Option<Result<(), CannotDeliver>> {
    let domain = guest.domain.clone();
    let mut entries = Entries {
        domain: &domain,
        table,
    };
    let outcome = pte_write::emulate(&mut Trapped(guest), Vaddr(address), &mut entries);
    match emulation::settle(guest, outcome) {
        Ok(true) => Some(Ok(())),
        Ok(false) => None,
        Err(error) => Some(Err(error)),
    }
}

/// A page whose stores vanish: registers that are the hypervisor's to write. A driver may not know that it need not, and
/// must not fail over it. An instruction that also reads finds zeros: none that drives a device does.
struct Nowhere;

impl PageTable for Nowhere {
    fn entry(&mut self, _: EntryIndex) -> Result<u64, Stop> {
        Ok(0)
    }

    fn update(&mut self, _: EntryIndex, _: u64, _: u64) -> Result<Exchange, Stop> {
        Ok(Exchange::Written)
    }
}

/// Steps over a store to registers that the domain may only read. `None` if the instruction is not one that is emulated.
fn drop_store(guest: &mut Guest<'_>, address: u64) -> Option<Result<(), CannotDeliver>> {
    let outcome = pte_write::emulate(&mut Trapped(guest), Vaddr(address), &mut Nowhere);
    match emulation::settle(guest, outcome) {
        Ok(true) => Some(Ok(())),
        Ok(false) => None,
        Err(error) => Some(Err(error)),
    }
}

/// A fault in the LDT area of the vCPU: the page is mapped if the guest has one there. `None` if the address is
/// somewhere else.
fn ldt_fault(guest: &mut Guest<'_>, address: u64) -> Option<Result<(), CannotDeliver>> {
    let ldt = switch::gdt_address(guest.vcpu.id()) + PER_VCPU_BYTES / 2;
    let offset = address
        .checked_sub(ldt)
        .filter(|&offset| offset < PER_VCPU_BYTES / 2)?;
    let page = offset as usize / PAGE_SIZE;
    if descriptors::map_ldt_page(guest, page) != LdtPage::Refused {
        return Some(Ok(()));
    }
    // As if the guest's own LDT had been read.
    let at = guest.context.tables.ldt_base.0.wrapping_add(offset);
    if guest.context.tables.ldt_entries == 0 || !is_canonical(at) {
        let selector = (offset as u32 & !7) | 4;
        return Some(deliver_exception(
            guest,
            vector::GENERAL_PROTECTION,
            selector,
        ));
    }
    Some(deliver_page_fault(guest, at, 0))
}
