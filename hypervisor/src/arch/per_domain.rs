//! The part of the address space that differs from domain to domain: L4 slot 257, with the descriptor
//! tables of each vCPU.
//!
//! A vCPU has 32 pages there: 16 of GDT, of which the guest fills 14 and the last two are those of the
//! processor that runs the vCPU, and 16 of LDT, filled as they are touched. All of it is supervisor
//! memory; nothing is global.

use super::layout::{PER_DOMAIN_START, PER_VCPU_BYTES, table_index};
use super::{frames, paging, tables};
use crate::lock::IrqLock;
use alloc::vec::Vec;
use guest_abi::ids::{Mfn, PAGE_SIZE, VcpuId};

const PRESENT: u64 = 1 << 0;
const WRITABLE: u64 = 1 << 1;
const ACCESSED_DIRTY: u64 = 1 << 5 | 1 << 6;
const NO_EXECUTE: u64 = 1 << 63;
const TABLE: u64 = PRESENT | WRITABLE | ACCESSED_DIRTY;
const DATA: u64 = PRESENT | WRITABLE | ACCESSED_DIRTY | NO_EXECUTE;
/// vCPUs whose areas one L1 table maps.
const VCPUS_PER_TABLE: u32 = (512 * 4096 / PER_VCPU_BYTES) as u32;
/// First page of the hypervisor's part of a GDT.
const HYPERVISOR_PAGE: usize = 14;

/// Page tables of one domain's area.
pub(crate) struct PerDomainArea {
    /// Third-level table: what slot 257 of each of the domain's roots points to.
    l3: Mfn,
    /// All frames that the area is made of, for when it ends.
    _frames: OwnFrames,
    /// First-level tables, by vCPU. The lock serialises changes.
    l1: IrqLock<Vec<Mfn>>,
    /// A frame of zeroes, for the GDT pages that the guest has not filled.
    zero: Mfn,
}

/// Frames of the hypervisor's own, which go back when nobody needs them any more.
struct OwnFrames(Vec<Mfn>);

impl OwnFrames {
    /// One more, zeroed. There is room for it in the list.
    fn take(&mut self) -> Option<Mfn> {
        let frame = frames::zeroed_frame()?;
        self.0.push(frame);
        Some(frame)
    }
}

impl Drop for OwnFrames {
    fn drop(&mut self) {
        // No root points here any more: those of the domain are gone with the domain.
        for &frame in &self.0 {
            frames::unkeep(frame, PAGE_SIZE);
        }
    }
}

fn set(table: Mfn, index: usize, value: u64) {
    debug_assert!(index < 512);
    // SAFETY: our own tables, shown by the direct map; `index` is inside.
    unsafe {
        paging::direct::<u64>(table.address())
            .add(index)
            .write_volatile(value)
    };
}

impl PerDomainArea {
    /// An area for `vcpus` vCPUs. `None`: there is no memory for it.
    pub(crate) fn new(vcpus: u32) -> Option<Self> {
        let tables = vcpus.div_ceil(VCPUS_PER_TABLE);
        let mut frames = OwnFrames(Vec::new());
        frames.0.try_reserve_exact(tables as usize + 3).ok()?;
        let (l3, l2, zero) = (frames.take()?, frames.take()?, frames.take()?);
        set(l3, table_index(PER_DOMAIN_START, 3), l2.address() | TABLE);
        let mut l1 = Vec::new();
        l1.try_reserve_exact(tables as usize).ok()?;
        for index in 0..tables {
            let table = frames.take()?;
            set(l2, index as usize, table.address() | TABLE);
            l1.push(table);
        }
        let area = Self {
            l3,
            _frames: frames,
            l1: IrqLock::new(l1),
            zero,
        };
        for vcpu in 0..vcpus {
            for page in 0..HYPERVISOR_PAGE {
                area.set_page(VcpuId(vcpu), page, zero.address() | (DATA & !WRITABLE));
            }
            area.set_page(
                VcpuId(vcpu),
                HYPERVISOR_PAGE + 1,
                zero.address() | (DATA & !WRITABLE),
            );
        }
        Some(area)
    }

    /// The entry for slot 257 of the domain's roots.
    pub(crate) const fn root_entry(&self) -> u64 {
        self.l3.address() | TABLE
    }

    fn set_page(&self, vcpu: VcpuId, page: usize, entry: u64) {
        let l1 = self.l1.lock();
        let Some(&table) = l1.get((vcpu.0 / VCPUS_PER_TABLE) as usize) else {
            return;
        };
        set(
            table,
            (vcpu.0 % VCPUS_PER_TABLE) as usize * 32 + page,
            entry,
        );
    }

    /// Makes the last pages of the vCPU's GDT those of processor `cpu`, which is about to run it.
    pub(crate) fn show_tables(&self, vcpu: VcpuId, cpu: u32) {
        self.set_page(vcpu, HYPERVISOR_PAGE, tables::frame(cpu).address() | DATA);
    }

    /// Shows `frame` as page `page` (0 to 13) of the vCPU's GDT; none shows zeroes. The caller holds a
    /// descriptor-table reference on the frame, and flushes.
    pub(crate) fn set_gdt_page(&self, vcpu: VcpuId, page: usize, frame: Option<Mfn>) {
        if page < HYPERVISOR_PAGE {
            let entry = frame.map_or(self.zero.address() | (DATA & !WRITABLE), |frame| {
                frame.address() | DATA
            });
            self.set_page(vcpu, page, entry);
        }
    }

    /// Shows `frame` as page `page` (0 to 15) of the vCPU's LDT, or nothing there. As [`Self::set_gdt_page`].
    pub(crate) fn set_ldt_page(&self, vcpu: VcpuId, page: usize, frame: Option<Mfn>) {
        if page < 16 {
            self.set_page(
                vcpu,
                16 + page,
                frame.map_or(0, |frame| frame.address() | DATA),
            );
        }
    }
}
