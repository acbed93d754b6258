//! Processor policies: lists of CPUID leaves and MSRs.

abi! {
    headers ["xen/xen.h"];

    numbers! {
        /// [`CpuidLeaf::subleaf`] of a leaf without sub-leaves.
        pub const NO_SUBLEAF: u32 = 0xFFFF_FFFF => "XEN_CPUID_NO_SUBLEAF";
    }

    layout! {
        /// One CPUID leaf.
        pub struct CpuidLeaf [24] "xen_cpuid_leaf_t" {
            /// EAX before.
            0 leaf: u32,
            /// ECX before, or [`NO_SUBLEAF`].
            4 subleaf: u32,
            /// EAX after.
            8 a: u32,
            /// EBX after.
            12 b: u32,
            /// ECX after.
            16 c: u32,
            /// EDX after.
            20 d: u32,
        }

        /// One MSR.
        pub struct MsrEntry [16] "xen_msr_entry_t" {
            /// Which.
            0 idx: u32,
            /// Zero.
            4 flags: u32,
            /// Content.
            8 val: u64,
        }
    }
}
