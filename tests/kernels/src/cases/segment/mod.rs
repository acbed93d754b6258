//! Descriptor tables, selectors and segment bases.

pub(crate) mod bases;
pub(crate) mod call_gates;
pub(crate) mod descriptor_refusals;
pub(crate) mod failsafe;
pub(crate) mod fsgsbase;
pub(crate) mod gdt;
pub(crate) mod gdt_refusals;
pub(crate) mod ldt;
pub(crate) mod ldt_absent_page;
pub(crate) mod ldt_bad_page;
pub(crate) mod ldt_refusals;
pub(crate) mod ldt_window;
pub(crate) mod nmi_return;
pub(crate) mod selectors_survive;
pub(crate) mod stack_switch;
pub(crate) mod table_of_tasks;
pub(crate) mod update_descriptor;
pub(crate) mod user_gs_selector;

use guest_abi::ids::Mfn;

use crate::hypercall::{Outcome, hypercall};

/// Loads a table of 512 entries from one frame.
fn load_gdt(frame: Mfn) -> Outcome {
    hypercall!(SetGdt, &[frame][..], 512u64)
}

/// A present data segment, writable, of a privilege level and a base below 4 GiB.
pub(crate) const fn data(base: u64, level: u64) -> u64 {
    let base = (base & 0xff_ffff) << 16 | (base >> 24 & 0xff) << 56;
    0x00cf_9200_0000_ffff | level << 45 | base
}
