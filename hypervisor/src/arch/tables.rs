//! Descriptor tables: GDT, TSS and IDT.
//!
//! Guests are promised ring-3 selectors 0xe023, 0xe02b and 0xe033, so the hypervisor's descriptors sit in
//! the last two of the GDT's sixteen pages. The first fourteen belong to the guest; while none runs they
//! are simply not mapped, and nothing of ours refers to them.

use super::percpu::{self, MAX_CPUS};
use super::{paging, traps};
use core::arch::asm;
use core::cell::UnsafeCell;
use core::mem::size_of;
use guest_abi::ids::Mfn;

/// Ring-0 code, and the data selector behind it that SYSCALL loads.
pub(super) const CODE: u16 = 0xe008;
pub(super) const DATA: u16 = 0xe010;
const TASK: u16 = 0xe040;

/// First of the hypervisor's GDT entries: page 14 of 16.
const FIRST_ENTRY: u16 = 7168;
/// All entries of the GDT: up to the end of the hypervisor's first page.
pub(super) const GDT_ENTRIES: u32 = FIRST_ENTRY as u32 + 512;
/// Bytes of the GDT before that entry.
const GUEST_BYTES: u64 = FIRST_ENTRY as u64 * 8;

const CODE64: u64 = 0x00af_9b00_0000_ffff;
const DATA64: u64 = 0x00cf_9300_0000_ffff;
const USER_CODE32: u64 = 0x00cf_fb00_0000_ffff;
const USER_DATA: u64 = 0x00cf_f300_0000_ffff;
const USER_CODE64: u64 = 0x00af_fb00_0000_ffff;

/// IST slots, counted from 1 as the IDT does.
pub(super) const IST_NMI: u8 = 1;
pub(super) const IST_MACHINE_CHECK: u8 = 2;
pub(super) const IST_DOUBLE_FAULT: u8 = 3;
pub(super) const IST_DEBUG: u8 = 4;

/// 64-bit task state segment (Intel SDM volume 3, figure 8-11).
#[repr(C, packed(4))]
struct Tss {
    reserved0: u32,
    rsp: [u64; 3],
    reserved1: u64,
    ist: [u64; 7],
    reserved2: u64,
    reserved3: u16,
    /// Behind the segment's limit: no I/O bitmap, so every port access of a guest traps.
    io_bitmap: u16,
}

/// The hypervisor's part of one processor's GDT: a page that is shown writable behind guests' descriptors, because the
/// processor marks those in use. Whatever else were in it could be loaded, and marked, as a descriptor.
#[repr(C, align(4096))]
struct Descriptors([u64; 512]);

/// One processor's tables.
#[repr(C)]
struct CpuTables {
    descriptors: Descriptors,
    tss: Tss,
}

/// One processor's tables. Each is written by its own processor before it is loaded, and afterwards only
/// by the hardware (busy bit of the TSS).
struct AllTables(UnsafeCell<[CpuTables; MAX_CPUS]>);
// SAFETY: element n is touched by processor n alone.
unsafe impl Sync for AllTables {}

static TABLES: AllTables = AllTables(UnsafeCell::new(
    [const {
        CpuTables {
            descriptors: Descriptors([0; 512]),
            tss: Tss {
                reserved0: 0,
                rsp: [0; 3],
                reserved1: 0,
                ist: [0; 7],
                reserved2: 0,
                reserved3: 0,
                io_bitmap: 0,
            },
        }
    }; MAX_CPUS],
));

#[repr(C, packed)]
struct Pointer {
    limit: u16,
    base: u64,
}

/// Loads GDT, TSS and IDT on the calling processor.
///
/// `entry_stack` is where entries from guests start; `interrupt_stacks` are the tops of the NMI,
/// machine-check, double-fault and debug-exception stacks.
///
/// # Safety
/// `cpu` is the calling processor's number; interrupts are off; the stacks are mapped and stay so.
pub(super) unsafe fn load(cpu: u32, entry_stack: u64, interrupt_stacks: [u64; 4]) {
    // SAFETY: in bounds (callers number processors below MAX_CPUS) and ours alone (see `AllTables`).
    let tables = unsafe { &raw mut (*TABLES.0.get())[cpu as usize] };
    let tss = tables as u64 + core::mem::offset_of!(CpuTables, tss) as u64;
    let mut descriptors = [0u64; 512];
    let mut set = |selector: u16, value: u64| {
        descriptors[usize::from((selector >> 3) - FIRST_ENTRY)] = value;
    };
    set(CODE, CODE64);
    set(DATA, DATA64);
    set(0xe023, USER_CODE32);
    set(0xe02b, USER_DATA);
    set(0xe033, USER_CODE64);
    let limit = size_of::<Tss>() as u64 - 1;
    set(
        TASK,
        limit | (tss & 0xff_ffff) << 16 | 0x89 << 40 | (tss >> 24 & 0xff) << 56,
    );
    set(TASK + 8, tss >> 32);
    let gdt = Pointer {
        limit: GDT_ENTRIES as u16 * 8 - 1,
        base: (tables as u64).wrapping_sub(GUEST_BYTES),
    };
    let idt = Pointer {
        limit: traps::IDT_BYTES as u16 - 1,
        base: traps::idt_address(),
    };
    // SAFETY: the tables are ours and complete before they are loaded. The code segment changes to an
    // equal one by the far return; SS is flat (trap_entry.S, load_flat_ss), the other data selectors are null.
    unsafe {
        (*tables).descriptors.0 = descriptors;
        (*tables).tss.io_bitmap = size_of::<Tss>() as u16;
        (*tables).tss.rsp[0] = entry_stack;
        for (slot, top) in interrupt_stacks.into_iter().enumerate() {
            (*tables).tss.ist[slot] = top;
        }
        asm!(
            "lgdt [{gdt}]",
            "push {code}",
            "lea {scratch}, [rip + 2f]",
            "push {scratch}",
            "retfq",
            "2:",
            "mov ss, {data:e}",
            "mov ds, {zero:e}",
            "mov es, {zero:e}",
            "mov fs, {zero:e}",
            "mov gs, {zero:e}",
            "ltr {task:x}",
            "lidt [{idt}]",
            gdt = in(reg) &gdt,
            idt = in(reg) &idt,
            code = in(reg) u64::from(CODE),
            task = in(reg) TASK,
            data = in(reg) u32::from(DATA),
            zero = in(reg) 0u32,
            scratch = out(reg) _,
        );
    }
}

/// [`load`] with the processor's own stack block.
///
/// # Safety
/// As [`load`]; the block of `cpu` is mapped.
pub(super) unsafe fn load_own(cpu: u32) {
    // SAFETY: caller.
    unsafe {
        load(
            cpu,
            percpu::entry_stack(cpu),
            percpu::interrupt_stack_tops(cpu),
        )
    };
}

/// Selector of the LDT descriptor.
const LDT: u16 = 0xe050;

/// The frame that holds the hypervisor's GDT entries of processor `cpu`.
pub(super) fn frame(cpu: u32) -> Mfn {
    // SAFETY: only the address is taken; in bounds, as everywhere.
    let tables = unsafe { &raw const (*TABLES.0.get())[cpu as usize] };
    Mfn::of_address(paging::image_address(tables as u64))
}

/// Uses the processor's own GDT, which has no guest's entries.
///
/// # Safety
/// `cpu` is the calling processor; no guest selector is loaded.
pub(super) unsafe fn load_hypervisor_gdt(cpu: u32) {
    // SAFETY: as in `frame`.
    let tables = unsafe { &raw const (*TABLES.0.get())[cpu as usize] };
    let gdt = Pointer {
        limit: GDT_ENTRIES as u16 * 8 - 1,
        base: (tables as u64).wrapping_sub(GUEST_BYTES),
    };
    // SAFETY: the same descriptors as those in use, at another address; no LDT.
    unsafe {
        asm!("lgdt [{}]", "lldt {:x}", in(reg) &gdt, in(reg) 0u32, options(nostack, preserves_flags))
    };
}

/// Uses the GDT at `address`, whose last pages are those of the calling processor, and an LDT behind it.
///
/// # Safety
/// `address` is the area of vCPU `vcpu`, mapped by the root in use.
pub(super) unsafe fn load_guest_gdt(address: u64, ldt_entries: u32) {
    let gdt = Pointer {
        limit: GDT_ENTRIES as u16 * 8 - 1,
        base: address,
    };
    // SAFETY: caller; the descriptors in use are the same as before.
    unsafe { asm!("lgdt [{}]", in(reg) &gdt, options(nostack, preserves_flags)) };
    // SAFETY: as above.
    unsafe { load_ldt(address, ldt_entries) };
}

/// Loads the LDT of the vCPU whose GDT is at `gdt_address`: `entries` entries, 0 for none.
///
/// # Safety
/// As [`load_guest_gdt`], with the GDT loaded.
pub(super) unsafe fn load_ldt(gdt_address: u64, entries: u32) {
    if entries == 0 {
        // SAFETY: a null LDT makes every LDT selector invalid.
        unsafe { asm!("lldt {:x}", in(reg) 0u32, options(nostack, preserves_flags)) };
        return;
    }
    let base = gdt_address + 16 * 4096;
    let limit = u64::from(entries.min(8192)) * 8 - 1;
    let low = limit & 0xffff | (base & 0xff_ffff) << 16 | 0x82 << 40 | (base >> 24 & 0xff) << 56;
    let slot = (gdt_address + u64::from(LDT)) as *mut u64;
    // SAFETY: the slot is in the hypervisor's page of this processor's GDT (caller).
    unsafe {
        slot.write_volatile(low);
        slot.add(1).write_volatile(base >> 32);
        asm!("lldt {:x}", in(reg) LDT, options(nostack, preserves_flags));
    }
}
