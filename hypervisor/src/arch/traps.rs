//! Exceptions and interrupts: the IDT, the frame that an entry leaves on the stack, and who handles what.

use super::entry_area::EntryData;
use super::layout::STACK_BLOCK;
use super::{
    apic, console_input, death, debug, guest, irq, percpu, scheduler, tables, tlb, watchdog,
};
use crate::registers::{entry, rflags};
use guest_abi::segment::{FLAT_RING3_CS32, FLAT_RING3_CS64, FLAT_RING3_SS};

use core::arch::{asm, global_asm};
use core::cell::UnsafeCell;
use core::mem::offset_of;
use core::mem::size_of;

pub(super) use crate::registers::Registers as TrapFrame;

/// Exception vectors that are told apart here.
mod vector {
    pub(super) const DEBUG: u32 = 1;
    pub(super) const NMI: u32 = 2;
    pub(super) const DOUBLE_FAULT: u32 = 8;
    pub(super) const INVALID_TSS: u32 = 10;
    pub(super) const PAGE_FAULT: u32 = 14;
    pub(super) const ALIGNMENT_CHECK: u32 = 17;
    pub(super) const MACHINE_CHECK: u32 = 18;
}

/// The exception by which hardware says that it is broken.
pub(super) const MACHINE_CHECK: u32 = vector::MACHINE_CHECK;

/// Interrupt vectors of the hypervisor's own.
pub(super) const VECTOR_TIMER: u8 = 0xf0;
pub(super) const VECTOR_WAKE: u8 = 0xf1;
pub(super) const VECTOR_FLUSH: u8 = 0xf2;
/// The console's serial line has received something.
pub(super) const VECTOR_SERIAL: u8 = 0xf3;
pub(super) const VECTOR_APIC_ERROR: u8 = 0xfe;
pub(super) const VECTOR_SPURIOUS: u8 = 0xff;

#[repr(C)]
#[derive(Clone, Copy)]
struct Gate {
    low: u64,
    high: u64,
}

#[repr(C, align(4096))]
struct Idt(UnsafeCell<[Gate; 256]>);
// SAFETY: written once by the first processor before any other runs; read by hardware afterwards.
unsafe impl Sync for Idt {}

#[unsafe(link_section = ".ro_after_init")]
static IDT: Idt = Idt(UnsafeCell::new([Gate { low: 0, high: 0 }; 256]));

/// Bytes in the IDT.
pub(super) const IDT_BYTES: usize = size_of::<Idt>();

/// Where the IDT is.
pub(super) fn idt_address() -> u64 {
    &raw const IDT as u64
}

global_asm!(
    include_str!("trap_entry.S"),
    trap_entry = sym trap_entry,
    guest_entry = sym guest::entry::guest_entry,
    prepare_exit = sym guest::exit::prepare_exit,
    FRAME_CS = const offset_of!(TrapFrame, cs),
    FRAME_RFLAGS = const offset_of!(TrapFrame, rflags),
    VM = const rflags::VM,
    FRAME_WORDS = const offset_of!(TrapFrame, es) / 8,
    STACK_BLOCK_MASK = const STACK_BLOCK - 1,
    GUEST_BEFORE_LAST = const percpu::CpuInfo::GUEST_BEFORE_LAST,
    RETURN_FAULT = const entry::RETURN_FAULT,
    SYSCALL = const entry::SYSCALL,
    SYSCALL32 = const entry::SYSCALL32,
    SYSENTER = const entry::SYSENTER,
    FLAGS_FIXED = const rflags::FIXED,
    HYPERVISOR_SS = const tables::DATA,
    FLAT_SS = const FLAT_RING3_SS,
    FLAT_CS32 = const FLAT_RING3_CS32,
    FLAT_CS64 = const FLAT_RING3_CS64,
    ENTRY_GUEST_RSP = const offset_of!(EntryData, guest_rsp),
    ENTRY_STACK = const offset_of!(EntryData, stack),
    ENTRY_TARGET = const offset_of!(EntryData, target),
);

unsafe extern "C" {
    /// 256 entry stubs, 16 bytes each.
    static trap_stubs: [[u8; 16]; 256];
}

/// Fills the IDT: every vector an interrupt gate.
///
/// # Safety
/// Called once, by the first processor, before the IDT is loaded and while it is still writable.
pub(super) unsafe fn fill_idt() {
    for vector in 0..256u32 {
        let ist = match vector {
            vector::DEBUG => tables::IST_DEBUG,
            vector::NMI => tables::IST_NMI,
            vector::DOUBLE_FAULT => tables::IST_DOUBLE_FAULT,
            vector::MACHINE_CHECK => tables::IST_MACHINE_CHECK,
            _ => 0,
        };
        // SAFETY: the stubs are an array of 256 code pieces of 16 bytes (trap_entry.S).
        let stub = unsafe { &raw const trap_stubs[vector as usize] } as u64;
        // Breakpoint, overflow and the old system-call gate are what user code may use; every other `INT n`
        // is refused by the processor and looked at.
        let access: u64 = if matches!(vector, 3 | 4 | 0x80) {
            0xee
        } else {
            0x8e
        };
        let gate = Gate {
            low: stub & 0xffff
                | u64::from(tables::CODE) << 16
                | u64::from(ist) << 32
                | access << 40
                | (stub >> 16 & 0xffff) << 48,
            high: stub >> 32,
        };
        // SAFETY: in bounds; nobody else looks (caller).
        unsafe { (*IDT.0.get())[vector as usize] = gate };
    }
}

/// The faulting address of the last page fault.
pub(super) fn cr2() -> u64 {
    let value: u64;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, cr2", out(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

/// Everything arrives here, interrupts off.
extern "C" fn trap_entry(frame: &mut TrapFrame) {
    match frame.vector {
        vector::NMI => nmi(frame),
        vector::DEBUG => debug::raised_by_guest(frame),
        vector if vector < 32 => exception(frame),
        vector => interrupt(vector as u8),
    }
}

fn nmi(frame: &TrapFrame) {
    #[cfg(feature = "planted-faults")]
    super::planted::in_nmi(percpu::current_cpu());
    death::stop_if_dying();
    if watchdog::accepts_nmi(frame) {
        return;
    }
    death::die(
        format_args!("NMI (parity error, bus error or a pressed button)"),
        Some(frame),
    );
}

/// Whether an instruction itself can be to blame for exception `vector`: a fault on what it was given. A machine check
/// or a double fault is none of its doing, wherever it comes.
fn has_fixups(vector: u32) -> bool {
    matches!(
        vector,
        vector::INVALID_TSS..=vector::PAGE_FAULT | vector::ALIGNMENT_CHECK
    )
}

fn exception(frame: &mut TrapFrame) {
    if has_fixups(frame.vector)
        && let Some(fixup) = fixup(frame.rip)
    {
        guest::exit::note_fault(frame.rip, frame.vector, frame.error_code);
        if frame.vector == vector::PAGE_FAULT {
            guest::access::note_fault(cr2(), frame.error_code);
        }
        frame.rip = fixup;
        return;
    }
    let address = cr2();
    match frame.vector {
        vector::PAGE_FAULT => death::die(
            format_args!(
                "page fault: {} {address:#x} ({})",
                access(frame.error_code),
                cause(frame.error_code)
            ),
            Some(frame),
        ),
        vector::DOUBLE_FAULT if percpu::is_guard_address(address) => death::die(
            format_args!(
                "double fault: stack overflow: the guard page at {:#x} was touched",
                address & !4095
            ),
            Some(frame),
        ),
        vector::DOUBLE_FAULT => death::die(
            format_args!("double fault (last faulting address {address:#x})"),
            Some(frame),
        ),
        vector => death::die(
            format_args!(
                "{} (vector {vector}, error code {:#x})",
                name(vector),
                frame.error_code
            ),
            Some(frame),
        ),
    }
}

fn access(error_code: u32) -> &'static str {
    match error_code {
        code if code & 0x10 != 0 => "instruction fetch from",
        code if code & 2 != 0 => "write to",
        _ => "read of",
    }
}

fn cause(error_code: u32) -> &'static str {
    match error_code {
        code if code & 8 != 0 => "reserved bit set in a page table",
        code if code & 1 != 0 => "not permitted",
        _ => "not present",
    }
}

/// Names from the Intel SDM, volume 3, table 6-1.
fn name(vector: u32) -> &'static str {
    match vector {
        0 => "divide error",
        1 => "debug exception",
        3 => "breakpoint",
        4 => "overflow",
        5 => "bound range exceeded",
        6 => "invalid opcode",
        7 => "device not available",
        10 => "invalid TSS",
        11 => "segment not present",
        12 => "stack segment fault",
        13 => "general protection fault",
        16 => "x87 floating-point error",
        17 => "alignment check",
        18 => "machine check",
        19 => "SIMD floating-point exception",
        20 => "virtualization exception",
        21 => "control protection exception",
        _ => "unknown exception",
    }
}

pub(super) fn interrupt(vector: u8) {
    match vector {
        // Its effect is the way back through the exit path.
        VECTOR_WAKE => apic::end_of_interrupt(),
        VECTOR_FLUSH => {
            tlb::flush_asked();
            apic::end_of_interrupt();
        }
        VECTOR_TIMER => {
            watchdog::heartbeat();
            scheduler::timer_fired();
            apic::end_of_interrupt();
        }
        VECTOR_SERIAL => {
            console_input::interrupt();
            apic::end_of_interrupt();
        }
        VECTOR_APIC_ERROR => {
            let status = apic::error_status();
            apic::end_of_interrupt();
            log::warn!("CPU{}: local APIC error {status:#x}", percpu::current_cpu());
        }
        VECTOR_SPURIOUS => {}
        vector => irq::arrived(vector),
    }
}

#[repr(C)]
struct ExtableEntry {
    /// Distance from this field to the instruction that may fault.
    fault: i32,
    /// Distance from this field to where execution goes on if it does.
    fixup: i32,
}

/// Where to go on when the instruction at `rip` faults, if it is one that may.
fn fixup(rip: u64) -> Option<u64> {
    unsafe extern "C" {
        static __extable_start: ExtableEntry;
        static __extable_end: ExtableEntry;
    }
    let first = &raw const __extable_start;
    let last = &raw const __extable_end;
    let count = (last as usize - first as usize) / size_of::<ExtableEntry>();
    // SAFETY: the linker script puts exactly the entries between the two symbols, in constant memory.
    let entries = unsafe { core::slice::from_raw_parts(first, count) };
    entries.iter().find_map(|entry| {
        let at = |field: &i32| (&raw const *field as u64).wrapping_add_signed(i64::from(*field));
        (at(&entry.fault) == rip).then(|| at(&entry.fixup))
    })
}
