//! What a processor knows of itself, and the stacks it runs on.
//!
//! One block of [`STACK_BLOCK`] bytes for each processor, aligned to its size, low to high:
//!
//! ```text
//!  page  0      unmapped
//!        1.. 4  NMI stack
//!        5      unmapped
//!        6.. 9  machine-check stack
//!       10      unmapped
//!       11..14  double-fault stack
//!       15      unmapped
//!       16..19  debug-exception stack
//!       20..47  unmapped
//!       48..63  the stack; its last bytes are `CpuInfo`
//! ```
//!
//! An overflow of any of them meets an unmapped page: a page fault becomes a double fault, which has a
//! stack of its own, and the processor can still say what happened.

use super::boot_stack;
use super::guest::running::Running;
use super::layout::{STACK_BLOCK, STACKS_START};
use super::scheduler;
use crate::domain::Vcpu;
use crate::registers::Registers;
use crate::sched::attention::Attention;
use alloc::sync::Arc;
use core::arch::asm;
use core::mem::{offset_of, size_of};
use core::sync::atomic::{AtomicPtr, Ordering};

/// The most processors that this image drives.
pub(super) const MAX_CPUS: usize = 256;

/// Pages of an interrupt stack.
const INTERRUPT_STACK_PAGES: u64 = 4;
/// First pages of the NMI, machine-check, double-fault and debug-exception stacks.
const INTERRUPT_STACKS: [u64; 4] = [1, 6, 11, 16];
/// Pages in a block.
pub(super) const BLOCK_PAGES: u64 = STACK_BLOCK / 4096;

/// The last bytes of every processor's stack.
#[repr(C, align(16))]
pub(super) struct CpuInfo {
    /// Puts the end of the hardware frame below on a 16-byte boundary, where the processor wants it.
    align: u64,
    /// Registers of the guest while the hypervisor works for it.
    pub(super) guest: Registers,
    /// Number of this processor, from 0 in the order in which they were started.
    pub(super) cpu: u32,
    /// What this processor is asked to look at: known here, because it looks on every way to a guest.
    attention: &'static Attention,
    /// The vCPU that this processor runs.
    pub(super) running: Option<Running>,
    /// The vCPU that waits in this processor's registers for its next event. Not while one runs.
    pub(super) parked: Option<Running>,
}

impl CpuInfo {
    /// The block that `frame` is the guest frame of.
    ///
    /// # Safety
    /// `frame` is `CpuInfo.guest` of the calling processor, and there is no other reference to the block
    /// while the result is used. The entry code calls into Rust with it once at a time.
    pub(super) unsafe fn of_frame<'a>(frame: *mut Registers) -> &'a mut Self {
        // SAFETY: the frame is inside a CpuInfo (caller).
        unsafe { &mut *frame.byte_sub(offset_of!(CpuInfo, guest)).cast::<Self>() }
    }

    /// Distance from the last byte of a stack block back to `guest`.
    pub(super) const GUEST_BEFORE_LAST: u64 =
        (size_of::<Self>() - offset_of!(Self, guest)) as u64 - 1;

    /// Whether something waits to be done before the guest goes on.
    pub(super) fn has_work(&self) -> bool {
        self.attention.is_asked()
    }
}

const _: () = {
    assert!((offset_of!(CpuInfo, guest) + offset_of!(Registers, es)) % 16 == 0);
    assert!(size_of::<CpuInfo>().is_multiple_of(16));
};

/// First byte of the stack block of processor `cpu`.
pub(super) const fn stack_block(cpu: u32) -> u64 {
    STACKS_START + cpu as u64 * STACK_BLOCK
}

/// Whether page `index` of a stack block stays unmapped.
pub(super) fn is_guard_page(index: u64) -> bool {
    matches!(index, 0 | 5 | 10 | 15 | 20..=47)
}

/// The pages of a stack block that stay unmapped, by index, in ascending order.
pub(super) fn guard_page_indices() -> impl Iterator<Item = u64> {
    (0..BLOCK_PAGES).filter(|&page| is_guard_page(page))
}

/// Whether `address` lies in a guard page of some stack.
pub(super) fn is_guard_address(address: u64) -> bool {
    if boot_stack::is_guard_address(address) {
        return true;
    }
    let Some(offset) = address.checked_sub(STACKS_START) else {
        return false;
    };
    offset < MAX_CPUS as u64 * STACK_BLOCK && is_guard_page(offset % STACK_BLOCK / 4096)
}

/// Tops of the NMI, machine-check, double-fault and debug-exception stacks of processor `cpu`.
pub(super) fn interrupt_stack_tops(cpu: u32) -> [u64; 4] {
    interrupt_stack_tops_of(stack_block(cpu))
}

/// Tops of the NMI, machine-check, double-fault and debug-exception stacks of the stack block at `block`.
pub(super) fn interrupt_stack_tops_of(block: u64) -> [u64; 4] {
    INTERRUPT_STACKS.map(|page| block + (page + INTERRUPT_STACK_PAGES) * 4096)
}

/// Address of the [`CpuInfo`] of processor `cpu`, which is also where its stack starts (growing down).
pub(super) const fn info_address(cpu: u32) -> u64 {
    stack_block(cpu) + STACK_BLOCK - size_of::<CpuInfo>() as u64
}

/// What the processor loads into RSP when it enters from a guest: just above the hardware frame.
pub(super) const fn entry_stack(cpu: u32) -> u64 {
    info_address(cpu) + offset_of!(CpuInfo, guest) as u64 + offset_of!(Registers, es) as u64
}

/// Writes the [`CpuInfo`] of processor `cpu`.
///
/// # Safety
/// The block is mapped and the processor does not run on it yet.
pub(super) unsafe fn install(cpu: u32) {
    let info = info_address(cpu) as *mut CpuInfo;
    // SAFETY: mapped, writable, aligned (block end minus a multiple of 16), used by nobody (caller).
    unsafe {
        info.write(CpuInfo {
            align: 0,
            guest: Registers::ZERO,
            cpu,
            attention: scheduler::attention(cpu),
            running: None,
            parked: None,
        });
    }
}

/// The stack pointer.
#[inline(always)]
fn stack_pointer() -> u64 {
    let stack: u64;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, rsp", out(reg) stack, options(nomem, nostack, preserves_flags)) };
    stack
}

/// As [`current_cpu`], in fewer instructions, for whoever asks often and on a stack of its processor's own: on another one
/// the number is that of any processor.
#[inline(always)]
pub(super) fn cpu_of_stack() -> usize {
    (stack_pointer().wrapping_sub(STACKS_START) / STACK_BLOCK) as usize % MAX_CPUS
}

/// Number of the processor that asks; 0 before the first one has its own stack.
#[inline(always)]
pub(super) fn current_cpu() -> u32 {
    // Below the first block, it is a very large number.
    let block = stack_pointer().wrapping_sub(STACKS_START) / STACK_BLOCK;
    if block < MAX_CPUS as u64 {
        block as u32
    } else {
        0
    }
}

/// The vCPU that each processor runs, to be compared with and not to be followed.
static RUNNING: [AtomicPtr<Vcpu>; MAX_CPUS] =
    [const { AtomicPtr::new(core::ptr::null_mut()) }; MAX_CPUS];

/// Notes what the calling processor runs from here on.
pub(super) fn set_running(vcpu: Option<&Arc<Vcpu>>) {
    if let Some(running) = RUNNING.get(current_cpu() as usize) {
        let vcpu = vcpu.map_or(core::ptr::null(), Arc::as_ptr);
        running.store(vcpu.cast_mut(), Ordering::Relaxed);
    }
}

/// Whether the calling processor runs `vcpu`. Preempted by nothing that would make the answer wrong: what a
/// processor runs changes only on its way to a guest.
pub(crate) fn runs_here(vcpu: &Vcpu) -> bool {
    RUNNING
        .get(current_cpu() as usize)
        .is_some_and(|running| core::ptr::eq(running.load(Ordering::Relaxed), vcpu))
}

/// Address of the guest frame of processor `cpu`.
pub(super) const fn guest_frame(cpu: u32) -> u64 {
    info_address(cpu) + offset_of!(CpuInfo, guest) as u64
}
