//! How a guest finds the hypervisor: CPUID leaves, and the prefix that makes CPUID trap.

abi! {
    headers ["xen/arch-x86/cpuid.h"];

    numbers! {
        /// First leaf.
        pub const FIRST_LEAF: u32 = 0x4000_0000 => "XEN_CPUID_FIRST_LEAF";
        /// Number of the last leaf, counted from the first.
        pub const MAX_NUM_LEAVES: u32 = 5 => "XEN_CPUID_MAX_NUM_LEAVES";
        /// Leaf 0, EBX.
        pub const SIGNATURE_EBX: u32 = 0x566E_6558 => "XEN_CPUID_SIGNATURE_EBX";
        /// Leaf 0, ECX.
        pub const SIGNATURE_ECX: u32 = 0x6558_4D4D => "XEN_CPUID_SIGNATURE_ECX";
        /// Leaf 0, EDX.
        pub const SIGNATURE_EDX: u32 = 0x4D4D_566E => "XEN_CPUID_SIGNATURE_EDX";
        /// Leaf 1, counted from the first: version, as [`VersionOp::Version`](crate::version::VersionOp).
        pub const LEAF_VERSION: u32 = 1 => (absent "text of the ABI");
        /// Leaf 2: EAX hypercall pages, EBX their MSR, ECX [`LeafFeatures`].
        pub const LEAF_HYPERCALL: u32 = 2 => (absent "text of the ABI");
        /// Leaf 3: time, in sub-leaves 0 ([`TimeFlags`]), 1 (offset and scale) and 2 (host frequency).
        pub const LEAF_TIME: u32 = 3 => (absent "text of the ABI");
        /// Leaf 4: for hardware-assisted guests.
        pub const LEAF_HVM: u32 = 4 => (absent "text of the ABI");
        /// Leaf 5: EBX machine address width in [`ADDRESS_WIDTH_MASK`].
        pub const LEAF_PV: u32 = 5 => (absent "text of the ABI");
        /// Leaf 5, EBX: bits of a machine address.
        pub const ADDRESS_WIDTH_MASK: u32 = 0xFF => "XEN_CPUID_MACHINE_ADDRESS_WIDTH_MASK";
        /// A guest that is told of wider machine addresses insists on grant tables of version 2.
        pub const MAX_ADDRESS_WIDTH_FOR_GRANT_V1: u32 = 44 => (absent "32-bit frame numbers");
        /// Leaf 2, EBX: writing an address to this MSR fills a hypercall page there.
        pub const MSR_HYPERCALL_PAGE: u32 = 0x4000_0000 => (absent "a choice that leaf 2 announces");
        /// Five bytes, lowest first, that make the CPUID behind them trap: UD2 and "xen".
        pub const EMULATE_PREFIX: u64 = 0x6E_6578_0B0F => (absent "the headers have it as assembly text");
    }

    flags! {
        /// Leaf 2, ECX.
        pub struct LeafFeatures: u32 {
            /// `mmu_update` can keep the accessed and dirty bits.
            MMU_PT_UPDATE_PRESERVE_AD = 1 << 0 => "XEN_CPUID_FEAT1_MMU_PT_UPDATE_PRESERVE_AD",
        }

        /// Leaf 3, sub-leaf 0, EAX.
        pub struct TimeFlags: u32 {
            /// The time stamp counter is emulated.
            VTSC = 1 << 0 => (absent "text of the ABI"),
            /// The machine's time stamp counter is reliable.
            HOST_TSC_SAFE = 1 << 1 => (absent "text of the ABI"),
            /// RDTSCP is there.
            RDTSCP = 1 << 2 => (absent "text of the ABI"),
        }
    }

    enumeration! {
        /// How a domain sees the time stamp counter.
        pub enum TscMode: u32 {
            /// Native where that is safe.
            Default = 0 => (absent "known to tools by text"),
            /// Emulated.
            AlwaysEmulate = 1 => (absent "known to tools by text"),
            /// Native.
            Native = 2 => (absent "known to tools by text"),
            /// Withdrawn.
            NativeWithAux = 3 => (absent "known to tools by text"),
        }
    }
}

/// [`EMULATE_PREFIX`] as bytes.
#[must_use]
pub const fn emulate_prefix() -> [u8; 5] {
    let [a, b, c, d, e, ..] = EMULATE_PREFIX.to_le_bytes();
    [a, b, c, d, e]
}
