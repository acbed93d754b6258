//! Why a domain cannot be laid out, in sentences.

use crate::image::pfns::Pfns;
use core::fmt;
use guest_abi::ids::Vaddr;

/// Why a domain cannot be laid out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LayoutError {
    /// The kernel wants its mapping where none can be.
    VirtBase(Vaddr),
    /// The kernel's frame numbers are not all RAM in the machine.
    KernelOnHole {
        /// Where the kernel wants to be.
        kernel: Pfns,
        /// What is there.
        hole: Pfns,
    },
    /// Kernel, list of frames and the rest do not fit into the initial mapping.
    ExceedsMapping {
        /// Bytes needed, before padding.
        needed: u64,
        /// Bytes that the mapping can have.
        limit: u64,
    },
    /// The domain has not the frames for what it starts with.
    TooFewPages {
        /// Frames needed.
        needed: u64,
        /// Frames given.
        nr_pages: u64,
    },
}

impl fmt::Display for LayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::VirtBase(base) => write!(
                f,
                "the kernel's ELF note VIRT_BASE is {:#x}, which is not the start of a page in the guest's \
                 part of the address space; use another kernel",
                base.0
            ),
            Self::KernelOnHole { kernel, hole } => write!(
                f,
                "the kernel must be at frames {kernel}, but this machine has no RAM at frames {hole}; use a \
                 kernel that is built for another address (CONFIG_PHYSICAL_START)"
            ),
            Self::ExceedsMapping { needed, limit } => write!(
                f,
                "the kernel and what it starts with take {} MiB; the initial mapping holds {} MiB with its \
                 padding; give the domain less memory or a smaller initial RAM disk",
                needed.div_ceil(1 << 20),
                limit >> 20
            ),
            Self::TooFewPages { needed, nr_pages } => write!(
                f,
                "the kernel and what it starts with take {} MiB; the domain has {} MiB; give it more memory \
                 (dom0_mem for the first domain)",
                needed.div_ceil(1 << 8),
                nr_pages >> 8
            ),
        }
    }
}
