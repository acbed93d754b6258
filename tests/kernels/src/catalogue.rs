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
    "start/hypercall-page" = start::hypercall_page, in_kernel(Kernel::HypercallPage);
    "start/init-p2m" = start::init_p2m, in_kernel(Kernel::InitP2m);
    "trap/unhandled" = trap::unhandled, ends(Ending::DomainCrash);
}
