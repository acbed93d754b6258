//! Who owns which virtual addresses, and the table that everybody may read there.

use crate::ids::Vaddr;

abi! {
    headers ["xen/xen.h"];

    associated! {
        impl Vaddr: u64 {
            /// First address of the hypervisor's range.
            pub const HYPERVISOR_START = 0xFFFF_8000_0000_0000 => "HYPERVISOR_VIRT_START";
            /// First address behind the hypervisor's range.
            pub const HYPERVISOR_END = 0xFFFF_8800_0000_0000 => "HYPERVISOR_VIRT_END";
            /// The machine-to-physical table: for each machine frame its owner's number, 8 bytes each.
            pub const M2P_START = 0xFFFF_8000_0000_0000 => "MACH2PHYS_VIRT_START";
            /// First address behind the machine-to-physical table's range.
            pub const M2P_END = 0xFFFF_8040_0000_0000 => "MACH2PHYS_VIRT_END";
        }
    }

    numbers! {
        /// Entries for which the machine-to-physical table has room.
        pub const M2P_MAX_ENTRIES: u64 = 1 << 35 => "MACH2PHYS_NR_ENTRIES";
        /// What the table says of frames that are no guest's memory.
        pub const M2P_INVALID: u64 = u64::MAX => (absent "text of the ABI");
        /// First root slot of the hypervisor.
        pub const FIRST_HYPERVISOR_SLOT: usize = 256 => "(HYPERVISOR_VIRT_START >> 39) & 511";
        /// First root slot behind the hypervisor's.
        pub const END_OF_HYPERVISOR_SLOTS: usize = 272 => "(HYPERVISOR_VIRT_END >> 39) & 511";
        /// A list of frames tells a foreign frame by this bit. Private to guests; tools meet it.
        pub const FOREIGN_FRAME_BIT: u64 = 1 << 63 => (absent "private to guests");
        /// A list of frames tells an identity-mapped frame by this bit. Private to guests; tools meet it.
        pub const IDENTITY_FRAME_BIT: u64 = 1 << 62 => (absent "private to guests");
    }
}
