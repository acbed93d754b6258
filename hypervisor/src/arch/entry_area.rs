//! The entry area: for each processor one page of code, the SYSCALL and SYSENTER stubs, and one page of
//! data, the words that the stubs use before they are on the hypervisor's stack. The code is the same page
//! of the image for all; the data page behind it is what differs.
//!
//! Nothing else of the hypervisor is touched on the way in, so that a later mode may map little more than
//! this area while a guest runs.

use super::layout::ENTRY_AREA_START;
use super::paging::{self, Access};
use super::percpu::{self, MAX_CPUS};
use super::{boot_memory, msr};
use core::mem::{offset_of, size_of};

/// What the stubs in trap_entry.S find in the page behind them.
#[repr(C)]
pub(super) struct EntryData {
    /// Where a stub keeps the guest's RSP for a moment.
    pub(super) guest_rsp: u64,
    /// Where the hypervisor's stack starts.
    pub(super) stack: u64,
    /// Where a stub goes on.
    pub(super) target: u64,
}

unsafe extern "C" {
    static entry_stubs_start: u8;
    static entry_stubs_syscall: u8;
    static entry_stubs_syscall32: u8;
    static entry_stubs_sysenter: u8;
    fn system_call_common();
}

const _: () = assert!(offset_of!(EntryData, target) + 8 == size_of::<EntryData>());

/// Address of the code page of processor `cpu`.
const fn code_page(cpu: u32) -> u64 {
    ENTRY_AREA_START + cpu as u64 * 8192
}

/// Maps and fills the entry area of processor `cpu`.
pub(super) fn map(cpu: u32) {
    debug_assert!((cpu as usize) < MAX_CPUS);
    let data = boot_memory::zeroed_frames(1);
    let code = paging::image_address(&raw const entry_stubs_start as u64);
    // SAFETY: the data frame is new and ours alone; the stubs have a page of the image for themselves.
    unsafe {
        paging::direct::<EntryData>(data.address()).write(EntryData {
            guest_rsp: 0,
            stack: percpu::entry_stack(cpu),
            target: system_call_common as *const () as u64,
        });
        paging::map_table(code_page(cpu), code, 4096, Access::Code);
        paging::map_table(code_page(cpu) + 4096, data.address(), 4096, Access::Data);
    }
}

/// Tells this processor where system calls enter.
///
/// # Safety
/// `cpu` is the calling processor; its entry area is mapped.
pub(super) unsafe fn load(cpu: u32) {
    let start = &raw const entry_stubs_start as u64;
    let at = |stub: *const u8| code_page(cpu) + (stub as u64 - start);
    // SYSCALL: CS 0xe008, SS 0xe010; SYSRET: CS 0xe023 (32 bits) or 0xe033, SS 0xe02b.
    let star = u64::from(super::tables::CODE) << 32 | 0xe023 << 48;
    // Flags that SYSCALL clears: TF, IF, DF, IOPL, NT, RF, VM, AC.
    const CLEARED: u64 = 0x7_7700;
    // SAFETY: the registers exist in long mode; the stubs are mapped (caller).
    unsafe {
        msr::write(msr::STAR, star);
        msr::write(msr::LSTAR, at(&raw const entry_stubs_syscall));
        msr::write(msr::CSTAR, at(&raw const entry_stubs_syscall32));
        msr::write(msr::FMASK, CLEARED);
        msr::write(msr::SYSENTER_CS, u64::from(super::tables::CODE));
        msr::write(msr::SYSENTER_ESP, percpu::entry_stack(cpu));
        msr::write(msr::SYSENTER_EIP, at(&raw const entry_stubs_sysenter));
    }
}
