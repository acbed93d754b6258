//! What the hypervisor's own page tables promise, looked up in the tables themselves. In test images only.

use super::layout::{self, HYPERVISOR_START, table_index};
use super::paging;
use super::percpu::{self, BLOCK_PAGES};
use super::{boot_stack, smp};
use crate::console;

const PRESENT: u64 = 1 << 0;
const WRITABLE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const LARGE: u64 = 1 << 7;
const NO_EXECUTE: u64 = 1 << 63;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
/// Bits by which addresses of the upper half are extended.
const UPPER_HALF: u64 = 0xffff_0000_0000_0000;

/// What is wrong, and how much was looked at.
#[derive(Default)]
struct Findings {
    nr_entries: u64,
    nr_executable: u64,
    nr_faults: u64,
}

impl Findings {
    fn fault(&mut self, what: &str, address: u64) {
        self.nr_faults += 1;
        console::line(format_args!("audit: {what} at {address:#x}"));
    }

    /// Looks at every entry of the table of `level` at machine address `table`, which maps from `start` on.
    fn walk(&mut self, table: u64, level: u32, start: u64) {
        for index in 0..512u64 {
            let address = start | index << (12 + 9 * (level - 1));
            let address = if level == 4 && index >= 256 {
                address | UPPER_HALF
            } else {
                address
            };
            // SAFETY: a page table of ours, which the direct map shows; present entries never change.
            let entry = unsafe {
                paging::direct::<u64>(table)
                    .add(index as usize)
                    .read_volatile()
            };
            if entry & PRESENT == 0 {
                continue;
            }
            if level > 1 && entry & LARGE == 0 {
                self.walk(entry & ADDRESS, level - 1, address);
            } else {
                self.leaf(entry, address);
            }
        }
    }

    fn leaf(&mut self, entry: u64, address: u64) {
        self.nr_entries += 1;
        if entry & NO_EXECUTE == 0 {
            self.nr_executable += 1;
            if entry & WRITABLE != 0 {
                self.fault("writable and executable memory", address);
            }
        }
        if address < HYPERVISOR_START {
            self.fault("a mapping outside of the hypervisor's part", address);
        }
        let is_for_guests = (layout::M2P_START..layout::M2P_END).contains(&address);
        if entry & USER != 0 && (!is_for_guests || entry & WRITABLE != 0) {
            self.fault("memory that guests reach", address);
        }
    }

    /// Every page of a stack block is mapped, but for its guards.
    fn block(&mut self, block: u64) {
        for page in 0..BLOCK_PAGES {
            let address = block + page * 4096;
            if is_mapped(address) == percpu::is_guard_page(page) {
                self.fault(
                    "a guard page that is mapped, or a stack that is not,",
                    address,
                );
            }
        }
    }
}

/// Whether the hypervisor's page tables map `address`.
fn is_mapped(address: u64) -> bool {
    let mut table = paging::root();
    for level in (1..=4).rev() {
        // SAFETY: as in `walk`.
        let entry = unsafe {
            paging::direct::<u64>(table)
                .add(table_index(address, level))
                .read_volatile()
        };
        if entry & PRESENT == 0 {
            return false;
        }
        if level > 1 && entry & LARGE != 0 {
            return true;
        }
        table = entry & ADDRESS;
    }
    true
}

/// Says what is not as it must be, and sums up.
pub(super) fn run() {
    let mut findings = Findings::default();
    findings.walk(paging::root(), 4, 0);
    findings.block(boot_stack::top() - layout::STACK_BLOCK);
    let mut nr_blocks = 1;
    for (cpu, _) in smp::online() {
        findings.block(percpu::stack_block(cpu));
        nr_blocks += 1;
    }
    console::line(format_args!(
        "audit: {} mappings ({} executable), {nr_blocks} stack blocks: {} faults",
        findings.nr_entries, findings.nr_executable, findings.nr_faults
    ));
}
