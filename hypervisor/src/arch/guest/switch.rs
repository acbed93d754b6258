//! Changing what a processor runs: a guest's kernel for its user space and back, one vCPU for another.

use super::areas;
use super::running::Running;
use crate::arch::layout::{PER_DOMAIN_START, PER_VCPU_BYTES};
use crate::arch::percpu::{self, CpuInfo};
use crate::arch::{debug, features, fpu, msr, paging, tables, timers, tlb};
use crate::cpu_policy::{GuestMode, control};
use crate::domain::context::{Context, is_canonical};
use crate::emulate::insn::Segment;
use crate::registers::Registers;
use core::arch::asm;
use features::Features;
use guest_abi::ids::{Mfn, VcpuId};

/// Loads a root. Global translations (guest user pages, the hypervisor's own) stay.
fn load_root(root: Mfn) {
    // SAFETY: a validated root of the running guest, whose slots 256 to 271 are the hypervisor's.
    unsafe { asm!("mov cr3, {}", in(reg) root.address(), options(nostack, preserves_flags)) };
}

/// Loads a root and forgets all translations.
pub(in crate::arch) fn load_root_and_flush(root: Mfn) {
    tlb::flushing(|| {
        let cr4: u64;
        // SAFETY: switching PGE off and on flushes global translations (Intel SDM volume 3, 4.10.4.1); the
        // hypervisor's are found again by a walk. The root is as in `load_root`.
        unsafe {
            asm!("mov {}, cr4", out(reg) cr4, options(nomem, nostack, preserves_flags));
            asm!(
                "mov cr4, {off}",
                "mov cr3, {root}",
                "mov cr4, {on}",
                off = in(reg) cr4 & !(1 << 7),
                root = in(reg) root.address(),
                on = in(reg) cr4,
                options(nostack, preserves_flags),
            );
        }
    });
}

/// The root that belongs to the mode that the guest is in. User mode without a user root is never entered.
fn current_root(context: &Context) -> Mfn {
    match (context.mode, context.user_root) {
        (GuestMode::User, Some(root)) => root,
        _ => context.kernel_root,
    }
}

/// User space was running: from here on the kernel is.
pub(in crate::arch) fn to_kernel(context: &mut Context) {
    debug_assert!(!context.is_kernel());
    context.mode = GuestMode::Kernel;
    // SAFETY: exchanges the two GS bases, which the guest owns both.
    unsafe { asm!("swapgs", options(nomem, nostack, preserves_flags)) };
    load_root(context.kernel_root);
}

/// The kernel was running: from here on user space is. `false` if there are no page tables for it.
pub(in crate::arch) fn to_user(context: &mut Context) -> bool {
    debug_assert!(context.is_kernel());
    let Some(root) = context.user_root else {
        return false;
    };
    context.mode = GuestMode::User;
    // SAFETY: as in `to_kernel`.
    unsafe { asm!("swapgs", options(nomem, nostack, preserves_flags)) };
    load_root(root);
    true
}

/// Loads the roots of the guest anew, after one of them changed.
pub(in crate::arch) fn reload_root(context: &Context) {
    load_root_and_flush(current_root(context));
}

/// Where the GDT of a vCPU is in its domain's address spaces.
pub(in crate::arch) fn gdt_address(vcpu: VcpuId) -> u64 {
    PER_DOMAIN_START + u64::from(vcpu.0) * PER_VCPU_BYTES
}

/// Takes the vCPU that runs, or is parked, out of the processor's registers. Its page tables and descriptors
/// stay in use until [`enter`] or [`load_nobody`], and so does the vCPU until then.
pub(in crate::arch) fn save(info: &mut CpuInfo, now_ns: u64) -> Option<Running> {
    let mut running = match info.running.take() {
        Some(running) => park(running, now_ns),
        None => info.parked.take()?,
    };
    let context = &mut *running.context;
    context.registers = info.guest;
    save_segments(context);
    fpu::save(&running.vcpu);
    debug::unload(&context.debug);
    Some(running)
}

/// The vCPU ceases to run. All of it stays in the processor's registers.
pub(in crate::arch) fn park(mut running: Running, now_ns: u64) -> Running {
    percpu::set_running(None);
    timers::stop_running(&running.vcpu);
    running.vcpu.account_as_stopped(now_ns);
    publish_areas(&mut running);
    running
}

/// The parked vCPU runs again.
pub(in crate::arch) fn unpark(info: &mut CpuInfo, mut running: Running, now_ns: u64) {
    begin(&mut running, now_ns);
    info.running = Some(running);
}

/// Leaves the page tables and descriptors of the vCPU that ran, for the hypervisor's own.
pub(in crate::arch) fn load_nobody(info: &CpuInfo) {
    // SAFETY: nothing of the guest is in use any more; the hypervisor's root maps all that is.
    unsafe {
        tables::load_hypervisor_gdt(info.cpu);
        paging::load_root();
    }
    tlb::flush_local();
    tlb::leave_guest();
}

/// Starts running a vCPU, on a processor from which `before` was [saved](save).
pub(in crate::arch) fn enter(
    info: &mut CpuInfo,
    before: Option<&Running>,
    mut running: Running,
    now_ns: u64,
) {
    if before.is_some_and(|before| before.domain.id() != running.domain.id()) {
        // The descriptors in use are mapped by that domain's roots only.
        // SAFETY: `save` has taken the guest's selectors away.
        unsafe { tables::load_hypervisor_gdt(info.cpu) };
    }
    info.guest = running.context.registers;
    // Before the root is loaded: who changes its tables looks here whom to ask for a flush.
    running.vcpu.set_processor(info.cpu);
    running
        .domain
        .per_domain()
        .show_tables(running.vcpu.id(), info.cpu);
    tlb::enter_guest(running.domain.id());
    load_root_and_flush(current_root(&running.context));
    tlb::left_guest();
    // SAFETY: the area of this vCPU is mapped by every root of its domain, its last two pages are this
    // processor's descriptors (`show_tables`).
    unsafe {
        tables::load_guest_gdt(
            gdt_address(running.vcpu.id()),
            running.context.tables.ldt_entries,
        )
    };
    load_control_registers(&running.context);
    load_segments(&mut info.guest, &mut running.context);
    fpu::restore(&running.vcpu, &mut running.context);
    debug::load(&running.context.debug);
    running.vcpu.publish_clock();
    begin(&mut running, now_ns);
    info.running = Some(running);
}

/// What begins with a turn of a vCPU.
fn begin(running: &mut Running, now_ns: u64) {
    percpu::set_running(Some(&running.vcpu));
    running.vcpu.account(now_ns);
    publish_areas(running);
    timers::begin_running(&running.vcpu, now_ns);
}

/// Writes the areas that the guest's kernel has named, or remembers that they are out of date.
fn publish_areas(running: &mut Running) {
    if running.context.is_kernel() {
        areas::publish_runstate(&running.domain, &running.vcpu);
        if core::mem::take(&mut running.context.is_area_due) {
            areas::publish_clock(&running.vcpu);
        }
    } else {
        running.context.is_area_due = true;
    }
}

/// CR4 of the guest in the processor's.
pub(in crate::arch) fn load_control_registers(context: &Context) {
    use x86_64::registers::control::Cr4;
    let hypervisor = features::hypervisor_cr4();
    let wanted = control::hardware_cr4(hypervisor, context.cr4, control::TscAccess::Native);
    if Cr4::read_raw() != wanted {
        // SAFETY: differs from the hypervisor's own only in what a guest may choose.
        unsafe { Cr4::write_raw(wanted) };
    }
}

/// Bases as the hardware holds them: FS, GS of the current mode, GS of the other.
fn save_segments(context: &mut Context) {
    let registers = &mut context.registers;
    let (ds, es, fs, gs): (u16, u16, u16, u16);
    // SAFETY: reads selectors.
    unsafe {
        asm!("mov {0:x}, ds", "mov {1:x}, es", "mov {2:x}, fs", "mov {3:x}, gs",
             out(reg) ds, out(reg) es, out(reg) fs, out(reg) gs, options(nomem, nostack, preserves_flags));
    }
    (registers.ds, registers.es) = (ds.into(), es.into());
    (registers.fs, registers.gs) = (fs.into(), gs.into());
    // SAFETY: the registers exist in long mode.
    let (fs_base, inner, outer) = unsafe {
        (
            msr::read(msr::FS_BASE),
            msr::read(msr::GS_BASE),
            msr::read(msr::KERNEL_GS_BASE),
        )
    };
    context.bases.fs = fs_base;
    (context.bases.gs_kernel, context.bases.gs_user) = if context.is_kernel() {
        (inner, outer)
    } else {
        (outer, inner)
    };
    // SAFETY: null selectors: no guest descriptor stays loaded.
    unsafe {
        asm!("mov ds, {0:x}", "mov es, {0:x}", "mov fs, {0:x}", "mov gs, {0:x}", in(reg) 0u32,
             options(nostack, preserves_flags));
    }
}

/// The selector that the guest that runs has in DS, ES, FS or GS. (Of CS and SS it is in the frame of its entry.)
pub(in crate::arch) fn data_selector(segment: Segment) -> u16 {
    let selector: u16;
    // SAFETY: reads a selector.
    unsafe {
        match segment {
            Segment::Es => {
                asm!("mov {:x}, es", out(reg) selector, options(nomem, nostack, preserves_flags))
            }
            Segment::Fs => {
                asm!("mov {:x}, fs", out(reg) selector, options(nomem, nostack, preserves_flags))
            }
            Segment::Gs => {
                asm!("mov {:x}, gs", out(reg) selector, options(nomem, nostack, preserves_flags))
            }
            _ => asm!("mov {:x}, ds", out(reg) selector, options(nomem, nostack, preserves_flags)),
        }
    }
    selector
}

/// Loads a selector into `$segment`; one that the guest's tables do not allow becomes null. Says which it is
/// then.
macro_rules! load_selector {
    ($segment:literal, $selector:expr) => {{
        let selector: u64 = $selector;
        let loaded: u64;
        // SAFETY: a selector that faults is replaced by the null one (exception table).
        unsafe {
            asm!(
                "2:",
                concat!("mov ", $segment, ", {selector:x}"),
                "jmp 4f",
                "3:",
                "xor {selector:e}, {selector:e}",
                "jmp 2b",
                "4:",
                ".pushsection .extable, \"a\", @progbits",
                ".balign 4",
                ".long 2b - .",
                ".long 3b - .",
                ".popsection",
                selector = inout(reg) selector => loaded,
                options(nostack),
            );
        }
        loaded
    }};
}

fn load_segments(registers: &mut Registers, context: &mut Context) {
    let wanted = [registers.ds, registers.es, registers.fs, registers.gs];
    let loaded = [
        load_selector!("ds", registers.ds),
        load_selector!("es", registers.es),
        load_selector!("fs", registers.fs),
        load_selector!("gs", registers.gs),
    ];
    context.refused_selectors = (loaded != wanted).then_some(wanted);
    let (inner, outer) = if context.is_kernel() {
        (context.bases.gs_kernel, context.bases.gs_user)
    } else {
        (context.bases.gs_user, context.bases.gs_kernel)
    };
    // A base is canonical when the guest sets it, by us or by its own WRFSBASE; what a processor let
    // through all the same must not hurt us here.
    let sound = |base| if is_canonical(base) { base } else { 0 };
    // SAFETY: canonical bases, registers that exist.
    unsafe {
        msr::write(msr::FS_BASE, sound(context.bases.fs));
        msr::write(msr::GS_BASE, sound(inner));
        msr::write(msr::KERNEL_GS_BASE, sound(outer));
        if features::get().contains(Features::RDTSCP) {
            msr::write(msr::TSC_AUX, u64::from(context.tsc_aux));
        }
    }
}

/// Loads the user GS selector, of the guest kernel that asks: the base that comes with it goes to the
/// inactive base, the active one stays. A selector that can't be loaded becomes null.
pub(in crate::arch) fn load_user_gs(context: &mut Context, selector: u16) {
    let _off = crate::lock::InterruptsOff::new();
    // SAFETY: brings the user base to the front, and the kernel's back below; interrupts are off.
    unsafe { asm!("swapgs", options(nomem, nostack, preserves_flags)) };
    let _ = load_selector!("gs", u64::from(selector));
    // SAFETY: as above. The fence waits for the load (AMD erratum 88).
    unsafe { asm!("mfence", "swapgs", options(nostack, preserves_flags)) };
    context.gs_user_selector = selector;
}
