//! Newtypes for the numbers that hypervisor and guests exchange. Mixing two of them up is a compile
//! error; none of them says that its number is valid.

use core::fmt;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

abi! {
    headers ["xen/xen.h"];

    numbers! {
        /// Bytes in a frame.
        pub const PAGE_SIZE: usize = 4096 => (absent "a property of the processor");
        /// log2 of [`PAGE_SIZE`].
        pub const PAGE_SHIFT: u32 = 12 => (absent "a property of the processor");
    }

    associated! {
        impl DomId: u16 {
            /// The first domain, which owns the hardware and the tools.
            pub const DOM0 = 0 => (absent "known by everybody, named by nobody");
            /// The lowest reserved number; real domains are below it.
            pub const FIRST_RESERVED = 0x7FF0 => "DOMID_FIRST_RESERVED";
            /// The calling domain itself.
            pub const SELF = 0x7FF0 => "DOMID_SELF";
            /// Owner of memory-mapped I/O.
            pub const IO = 0x7FF1 => "DOMID_IO";
            /// Owner of frames that the hypervisor shares with guests.
            pub const XEN = 0x7FF2 => "DOMID_XEN";
            /// Owner of copy-on-write frames (not offered).
            pub const COW = 0x7FF3 => "DOMID_COW";
            /// No domain.
            pub const INVALID = 0x7FF4 => "DOMID_INVALID";
            /// The domain of idle virtual processors.
            pub const IDLE = 0x7FFF => "DOMID_IDLE";
        }

        impl Mfn: u64 {
            /// A frame number that no machine has; guests write it for "none".
            pub const INVALID = u64::MAX => (absent "the convention is in guests, not in the headers");
        }
    }
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty), $prefix:literal) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, FromBytes, IntoBytes, Immutable, KnownLayout,
        )]
        #[repr(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{:#x}"), self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self, f)
            }
        }
    };
}

number!(
    /// Machine frame number: a machine address divided by [`PAGE_SIZE`].
    Mfn(u64),
    "mfn "
);
number!(
    /// A guest's own pseudo-physical frame number, 0 to its number of pages.
    Pfn(u64),
    "pfn "
);
number!(
    /// Event-channel port of one domain. Port 0 is never valid.
    Port(u32),
    "port "
);
number!(
    /// Index into a domain's grant table.
    GrantRef(u32),
    "gref "
);
number!(
    /// Virtual address in some guest's or in the hypervisor's address space.
    Vaddr(u64),
    "va "
);

/// A virtual processor's number within its domain, from 0.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Debug,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
)]
#[repr(transparent)]
pub struct VcpuId(pub u32);

/// Domain identifier as guests write it: a real domain or one of the reserved names.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(transparent)]
pub struct DomId(pub u16);

impl DomId {
    /// Whether this can be the number of a real domain.
    #[must_use]
    pub const fn is_real(self) -> bool {
        self.0 < Self::FIRST_RESERVED.0
    }
}

impl fmt::Debug for DomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "d{}", self.0)
    }
}

impl fmt::Display for DomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl Mfn {
    /// The machine address of the frame's first byte.
    ///
    /// Callers hold a frame number below 2^52 (anything the frame table knows); larger ones lose bits.
    #[must_use]
    pub const fn address(self) -> u64 {
        self.0 << PAGE_SHIFT
    }

    /// The frame that holds the machine address `address`.
    #[must_use]
    pub const fn of_address(address: u64) -> Self {
        Self(address >> PAGE_SHIFT)
    }
}
