//! What a vCPU's processor state is, beyond what fits into real registers: everything that the guest ABI
//! lets a guest kernel set for itself.
//!
//! A context belongs to one holder at a time: the processor that runs the vCPU, or whoever has stopped it
//! (see `Vcpu::context`). So nothing in here is atomic.

#![forbid(unsafe_code)]

use crate::cpu_policy::GuestMode;
use crate::cpu_policy::debug::DebugRegisters;
use crate::cpu_policy::iopl::Iopl;
use crate::registers::{Registers, rflags};
use guest_abi::ids::{Mfn, Vaddr};
use guest_abi::segment::{FLAT_RING3_CS64, FLAT_RING3_SS};

/// What happens to the event mask when an entry point starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum EventMask {
    /// It stays as it is.
    #[default]
    Keep,
    /// Events are masked.
    Mask,
}

/// An entry point of the guest kernel; address 0 is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Callback {
    /// Where.
    pub address: Vaddr,
    /// What happens to events.
    pub mask: EventMask,
}

impl Callback {
    /// Not registered.
    pub const NONE: Self = Self {
        address: Vaddr(0),
        mask: EventMask::Keep,
    };

    /// Whether the guest has registered it.
    #[must_use]
    pub const fn is_set(&self) -> bool {
        self.address.0 != 0
    }
}

/// The entry points that are not exceptions.
#[derive(Clone, Copy, Debug)]
pub struct Callbacks {
    /// Events. Always masks them.
    pub event: Callback,
    /// Segments that can't be loaded.
    pub failsafe: Callback,
    /// SYSCALL of 64-bit user code.
    pub syscall: Callback,
    /// SYSCALL of 32-bit user code.
    pub syscall32: Callback,
    /// SYSENTER.
    pub sysenter: Callback,
}

/// One entry of the virtual interrupt descriptor table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TrapHandler {
    /// Where; 0 for no handler.
    pub address: Vaddr,
    /// Code selector as registered. Not loaded: handlers run on the flat one.
    pub cs: u16,
    /// Privilege level from which `INT n` may be used, 0 to 3.
    pub dpl: u8,
    /// What happens to events.
    pub mask: EventMask,
}

impl TrapHandler {
    /// No handler.
    pub const NONE: Self = Self {
        address: Vaddr(0),
        cs: 0,
        dpl: 0,
        mask: EventMask::Keep,
    };
}

/// Bases of FS and GS. `gs_kernel` is loaded in guest-kernel mode, `gs_user` in user mode.
#[derive(Clone, Copy, Debug, Default)]
pub struct SegmentBases {
    /// FS, both modes.
    pub fs: u64,
    /// GS of the kernel.
    pub gs_kernel: u64,
    /// GS of user space.
    pub gs_user: u64,
}

/// Bytes that FXSAVE writes.
pub const FXSAVE_BYTES: usize = 512;

/// Frames of the guest's part of the GDT.
pub const GDT_PAGES: usize = 14;

/// The descriptor tables.
#[derive(Clone, Copy, Debug)]
pub struct DescriptorTables {
    /// Frames of the GDT, as many as its entries need.
    pub gdt: [Mfn; GDT_PAGES],
    /// Entries of the GDT.
    pub gdt_entries: u32,
    /// Where the LDT is in the guest's address space.
    pub ldt_base: Vaddr,
    /// Entries of the LDT, 0 for none.
    pub ldt_entries: u32,
}

impl DescriptorTables {
    /// The frames of the GDT that are in use. The vCPU holds a reference on each.
    #[must_use]
    pub fn gdt_frames(&self) -> &[Mfn] {
        let count = (self.gdt_entries as usize).div_ceil(guest_abi::ids::PAGE_SIZE / 8);
        self.gdt.get(..count).unwrap_or(&self.gdt)
    }
}

/// Why the last return to the guest failed: the exception that the processor raised.
#[derive(Clone, Copy, Debug)]
pub struct ReturnFault {
    /// Its vector.
    pub vector: u8,
    /// Its error code.
    pub error_code: u32,
}

/// A vCPU's state.
pub struct Context {
    /// General registers while it does not run.
    pub registers: Registers,
    /// Which half of the guest is to run.
    pub mode: GuestMode,
    /// Stack of the kernel for entries from user space.
    pub kernel_stack: (u16, Vaddr),
    /// Root of the kernel's page tables; the vCPU holds a reference on it.
    pub kernel_root: Mfn,
    /// Root of user space's, if there is one; the vCPU holds a reference on it.
    pub user_root: Option<Mfn>,
    /// Entry points.
    pub callbacks: Callbacks,
    /// Exception handlers.
    pub traps: [TrapHandler; 256],
    /// Bases of FS and GS while it does not run.
    pub bases: SegmentBases,
    /// Selector of GS in user mode while the kernel runs.
    pub gs_user_selector: u16,
    /// GDT and LDT.
    pub tables: DescriptorTables,
    /// Frames of the LDT that are mapped for the processor; the vCPU holds a reference on each.
    pub ldt_pages: [Option<Mfn>; 16],
    /// Virtual CR0.TS.
    pub is_task_switched: bool,
    /// The CR4 bits that the guest has set.
    pub cr4: u64,
    /// XCR0.
    pub xcr0: u64,
    /// Virtual I/O privilege level.
    pub iopl: Iopl,
    /// Permission bitmap for I/O ports: where it is, and how many ports it covers.
    pub io_bitmap: (Vaddr, u32),
    /// Debug registers.
    pub debug: DebugRegisters,
    /// An NMI is being handled: the next waits.
    pub is_nmi_masked: bool,
    /// TSC_AUX.
    pub tsc_aux: u32,
    /// Set when the last return to the guest failed.
    pub return_fault: Option<ReturnFault>,
    /// DS, ES, FS and GS, if the guest's tables did not allow all of them when the vCPU was last switched to.
    pub refused_selectors: Option<[u64; 4]>,
    /// Floating-point state to start from, in the format of FXSAVE; taken when the vCPU next runs.
    pub initial_fpu: Option<[u8; FXSAVE_BYTES]>,
    /// An area that the guest has named by an address of its kernel is out of date. Written when the
    /// kernel's page tables are next in use.
    pub is_area_due: bool,
}

// A guest sets up all its vCPUs and lets none run: what a context takes is had once, where its caller can be told that there
// is none, and nothing behind it on the heap, which is for small things of all domains.
const _: () = assert!(!core::mem::needs_drop::<Context>());

impl Context {
    /// The state of a vCPU that nobody has initialised, with page tables at `kernel_root`.
    #[must_use]
    pub fn new(kernel_root: Mfn) -> Self {
        let mut registers = Registers::ZERO;
        registers.cs = u64::from(FLAT_RING3_CS64);
        registers.ss = u64::from(FLAT_RING3_SS);
        registers.rflags = rflags::FIXED | rflags::INTERRUPT;
        Self {
            registers,
            mode: GuestMode::Kernel,
            kernel_stack: (FLAT_RING3_SS, Vaddr(0)),
            kernel_root,
            user_root: None,
            callbacks: Callbacks {
                event: Callback::NONE,
                failsafe: Callback::NONE,
                syscall: Callback::NONE,
                syscall32: Callback::NONE,
                sysenter: Callback::NONE,
            },
            traps: [TrapHandler::NONE; 256],
            bases: SegmentBases::default(),
            gs_user_selector: 0,
            tables: DescriptorTables {
                gdt: [Mfn(0); GDT_PAGES],
                gdt_entries: 0,
                ldt_base: Vaddr(0),
                ldt_entries: 0,
            },
            ldt_pages: [None; 16],
            is_task_switched: false,
            cr4: 0,
            xcr0: 1,
            iopl: Iopl::NONE,
            io_bitmap: (Vaddr(0), 0),
            debug: DebugRegisters::default(),
            is_nmi_masked: false,
            tsc_aux: 0,
            return_fault: None,
            refused_selectors: None,
            initial_fpu: None,
            is_area_due: false,
        }
    }

    /// Whether guest-kernel mode is what is to run.
    #[must_use]
    pub const fn is_kernel(&self) -> bool {
        matches!(self.mode, GuestMode::Kernel)
    }
}

/// Whether `address` is one that a processor with 48-bit addresses can use.
#[must_use]
pub const fn is_canonical(address: u64) -> bool {
    ((address as i64) << 16 >> 16) as u64 == address
}
