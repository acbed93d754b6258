//! Every case: its name, how it ends, and what it needs.

/// Which of the linked kernels a case runs in. They differ in their notes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kernel {
    /// The one without extras.
    Plain,
    /// The one with a page of hypercall stubs.
    HypercallPage,
    /// The one whose list of frames is mapped outside of the initial mapping.
    InitP2m,
}

impl Kernel {
    /// The program's name.
    #[must_use]
    pub const fn file_name(self) -> &'static str {
        match self {
            Self::Plain => "kernel",
            Self::HypercallPage => "kernel-hypercall-page",
            Self::InitP2m => "kernel-init-p2m",
        }
    }
}

/// How a case ends when all is well.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// With the verdict `PASS`.
    Verdict,
    /// With the line `EXPECT CRASH`, after which the hypervisor crashes the domain.
    DomainCrash,
    /// With the line `EXPECT POWEROFF`, after which the domain, and so the machine, is switched off.
    Poweroff,
    /// With the line `EXPECT REBOOT`, after which the machine reboots.
    Reboot,
}

/// One case.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// `group/behaviour`.
    pub name: &'static str,
    /// How it ends.
    pub ending: Ending,
    /// Where it runs.
    pub kernel: Kernel,
    /// More words for its command line.
    pub arguments: &'static str,
    #[cfg(target_os = "none")]
    pub(crate) run: fn(),
}

impl Case {
    const fn ends(mut self, ending: Ending) -> Self {
        self.ending = ending;
        self
    }

    const fn in_kernel(mut self, kernel: Kernel) -> Self {
        self.kernel = kernel;
        self
    }
}

macro_rules! cases {
    ($( $name:literal = $($path:ident)::+ $(, $what:ident $argument:tt)*; )*) => {
        /// All cases.
        pub const CASES: &[Case] = &[$(
            Case {
                name: $name,
                ending: Ending::Verdict,
                kernel: Kernel::Plain,
                arguments: "",
                #[cfg(target_os = "none")]
                run: crate::cases::$($path)::+::run,
            }
            $(.$what $argument)*
        ),*];
    };
}

cases! {
    "start/initial-state" = start::initial_state;
    "start/start-of-day" = start::start_of_day;
    "start/boot-mapping" = start::boot_mapping;
    "start/frame-list" = start::frame_list;
    "start/floating-point" = start::floating_point;
    "start/hypercall-page" = start::hypercall_page, in_kernel(Kernel::HypercallPage);
    "start/init-p2m" = start::init_p2m, in_kernel(Kernel::InitP2m);

    "trap/frame" = trap::frame;
    "trap/divide" = trap::divide;
    "trap/single-step" = trap::single_step;
    "trap/nmi" = trap::nmi;
    "trap/breakpoint" = trap::breakpoint;
    "trap/invalid-opcode" = trap::invalid_opcode;
    "trap/not-present" = trap::not_present;
    "trap/stack-segment" = trap::stack_segment;
    "trap/general-protection" = trap::general_protection;
    "trap/page-fault" = trap::page_fault;
    "trap/page-fault-in-hypervisor" = trap::page_fault_in_hypervisor;
    "trap/x87" = trap::x87;
    "trap/alignment" = trap::alignment;
    "trap/simd" = trap::simd;
    "trap/software-interrupt" = trap::software_interrupt;
    "trap/event-mask" = trap::event_mask;
    "trap/flags-cleared" = trap::flags_cleared;
    "trap/table-refusals" = trap::table_refusals, ends(Ending::DomainCrash);
    "trap/bad-stack" = trap::bad_stack, ends(Ending::DomainCrash);
    "trap/unhandled" = trap::unhandled, ends(Ending::DomainCrash);

    "user/frame" = user::frame;
    "user/divide" = user::divide;
    "user/single-step" = user::single_step;
    "user/breakpoint" = user::breakpoint;
    "user/overflow-32bit" = user::overflow_32bit;
    "user/bound-32bit" = user::bound_32bit;
    "user/invalid-opcode" = user::invalid_opcode;
    "user/task-switched" = user::task_switched;
    "user/general-protection" = user::general_protection;
    "user/page-fault" = user::page_fault;
    "user/floating-point" = user::floating_point;
    "user/software-interrupt" = user::software_interrupt;
    "user/int80-32bit" = user::int80_32bit;
    "user/syscall" = user::syscall;
    "user/syscall-event-mask" = user::syscall_event_mask;
    "user/syscall-flags" = user::syscall_flags;
    "user/syscall-without-callback" = user::syscall_without_callback;
    "user/syscall-32bit" = user::syscall_32bit;
    "user/sysenter" = user::sysenter;
    "user/segment-bases" = user::segment_bases;
    "user/upcall" = user::upcall;
    "user/bad-kernel-stack" = user::bad_kernel_stack, ends(Ending::DomainCrash);

    "emulate/cache" = emulate::cache;
    "emulate/invd" = emulate::invd;
    "emulate/clts" = emulate::clts;
    "emulate/cpuid" = emulate::cpuid;
    "emulate/cpuid-hypervisor" = emulate::cpuid_hypervisor;
    "emulate/cr0" = emulate::cr0;
    "emulate/cr2" = emulate::cr2;
    "emulate/cr3" = emulate::cr3;
    "emulate/cr4" = emulate::cr4;
    "emulate/debug-registers" = emulate::debug_registers;
    "emulate/interrupt-flag" = emulate::interrupt_flag;
    "emulate/io-privilege" = emulate::io_privilege;
    "emulate/io-bitmap" = emulate::io_bitmap;
    "emulate/io-strings" = emulate::io_strings;
    "emulate/msr-bases" = emulate::msr_bases;
    "emulate/msr-efer" = emulate::msr_efer;
    "emulate/msr-known" = emulate::msr_known;
    "emulate/msr-unknown" = emulate::msr_unknown;
    "emulate/operands" = emulate::operands;
    "emulate/refused" = emulate::refused;
    "emulate/time-stamp" = emulate::time_stamp;
    "emulate/unfetchable" = emulate::unfetchable;
    "emulate/xsetbv" = emulate::xsetbv;
}
