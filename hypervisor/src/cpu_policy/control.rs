//! CR0, CR4 and EFER as a guest sees and sets them.

/// CR0: task switched.
pub const CR0_TS: u64 = 1 << 3;

/// CR4: only the kernel may read the time stamp.
pub const CR4_TSD: u64 = 1 << 2;
/// CR4: debugging extensions.
pub const CR4_DE: u64 = 1 << 3;
/// CR4: physical address extension.
pub const CR4_PAE: u64 = 1 << 5;
/// CR4: machine checks.
pub const CR4_MCE: u64 = 1 << 6;
/// CR4: FXSAVE and FXRSTOR.
pub const CR4_OSFXSR: u64 = 1 << 9;
/// CR4: SIMD floating-point exceptions.
pub const CR4_OSXMMEXCPT: u64 = 1 << 10;
/// CR4: user code can't read the addresses of descriptor tables.
pub const CR4_UMIP: u64 = 1 << 11;
/// CR4: `RDFSBASE` and its kin.
pub const CR4_FSGSBASE: u64 = 1 << 16;
/// CR4: XSAVE and XCR0.
pub const CR4_OSXSAVE: u64 = 1 << 18;

/// Bits that the guest sees as the hypervisor has set them.
const CR4_HOST_VIEW: u64 = CR4_PAE | CR4_MCE | CR4_OSFXSR | CR4_OSXMMEXCPT;
/// Bits of the guest's that are in force in the processor while the guest runs. (OSXSAVE is always on there, because
/// the hypervisor switches XSAVE state with it.)
const CR4_GUEST_HARDWARE: u64 = CR4_TSD | CR4_DE | CR4_FSGSBASE;

/// EFER: `SYSCALL` is on.
pub const EFER_SCE: u64 = 1 << 0;
/// EFER: long mode is on.
pub const EFER_LME: u64 = 1 << 8;
/// EFER: long mode is active.
pub const EFER_LMA: u64 = 1 << 10;
/// EFER: page entries can forbid execution.
pub const EFER_NXE: u64 = 1 << 11;
const EFER_GUEST_VIEW: u64 = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;

/// The write is refused; the guest gets #GP(0).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refused;

/// The guest's CR0.TS. The hardware's belongs to the hypervisor's lazy switching.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TaskSwitched {
    /// The next floating-point instruction raises #NM in the guest.
    Set,
    /// Floating point runs.
    Clear,
}

impl TaskSwitched {
    const fn of(cr0: u64) -> Self {
        if cr0 & CR0_TS != 0 {
            Self::Set
        } else {
            Self::Clear
        }
    }
}

/// CR0 as the guest reads it: the hardware's with the guest's own TS.
#[must_use]
pub const fn read_cr0(hardware: u64, ts: TaskSwitched) -> u64 {
    match ts {
        TaskSwitched::Set => hardware | CR0_TS,
        TaskSwitched::Clear => hardware & !CR0_TS,
    }
}

/// Writes CR0.
///
/// # Errors
///
/// If `value` differs from what the guest reads in more than TS.
pub const fn write_cr0(hardware: u64, value: u64) -> Result<TaskSwitched, Refused> {
    if (hardware ^ value) & !CR0_TS != 0 {
        return Err(Refused);
    }
    Ok(TaskSwitched::of(value))
}

/// CR4 bits that a guest may set, by what its CPUID shows.
#[must_use]
pub const fn cr4_permitted(policy: &super::Policy) -> u64 {
    let mut permitted = CR4_TSD | CR4_DE;
    if policy.xcr0_permitted != 0 {
        permitted |= CR4_OSXSAVE;
    }
    if policy.has_fsgsbase {
        permitted |= CR4_FSGSBASE;
    }
    permitted
}

/// CR4 as the guest reads it. `guest` is what [`write_cr4`] returned last, 0 at first.
#[must_use]
pub const fn read_cr4(hardware: u64, guest: u64) -> u64 {
    (hardware & CR4_HOST_VIEW) | guest
}

/// The guest's own CR4 bits after it wrote `value`. Bits that it may not set are dropped without a word: kernels set
/// them by habit.
#[must_use]
pub const fn write_cr4(policy: &super::Policy, value: u64) -> u64 {
    value & cr4_permitted(policy)
}

/// CR4 for the processor while the guest runs.
///
/// UMIP is lifted: a guest kernel is user code to the processor, and the guest ABI promises it that
/// SGDT, SIDT, SLDT, STR and SMSW execute. An emulated time stamp traps whatever the guest has set.
#[must_use]
pub const fn hardware_cr4(hypervisor: u64, guest: u64, tsc: TscAccess) -> u64 {
    let forced = match tsc {
        TscAccess::Native => 0,
        TscAccess::Emulated => CR4_TSD,
    };
    (hypervisor & !(CR4_GUEST_HARDWARE | CR4_UMIP)) | (guest & CR4_GUEST_HARDWARE) | forced
}

/// Whether a guest's `RDTSC` executes or traps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TscAccess {
    /// It executes, unless the guest's own CR4.TSD forbids it.
    Native,
    /// It traps and is emulated.
    Emulated,
}

/// EFER as the guest reads it.
#[must_use]
pub const fn read_efer(hardware: u64) -> u64 {
    hardware & EFER_GUEST_VIEW
}

/// Writes EFER, which changes nothing.
///
/// # Errors
///
/// If `value` isn't what the guest reads.
pub const fn write_efer(hardware: u64, value: u64) -> Result<(), Refused> {
    if value == read_efer(hardware) {
        Ok(())
    } else {
        Err(Refused)
    }
}
