//! Feature flags: what the hypervisor offers, and what a kernel says that it can do without.

abi! {
    headers ["xen/features.h"];

    numbers! {
        /// Words of features; there is one, see [`Features`].
        pub const NR_SUBMAPS: u32 = 1 => "XENFEAT_NR_SUBMAPS";
    }

    flags! {
        /// The only word of features.
        pub struct Features: u32 {
            /// Page tables need not be read-only.
            WRITABLE_PAGE_TABLES = 1 << 0 => "1u << XENFEAT_writable_page_tables",
            /// Descriptor tables need not be read-only.
            WRITABLE_DESCRIPTOR_TABLES = 1 << 1 => "1u << XENFEAT_writable_descriptor_tables",
            /// The guest works with pseudo-physical frame numbers.
            AUTO_TRANSLATED_PHYSMAP = 1 << 2 => "1u << XENFEAT_auto_translated_physmap",
            /// The guest kernel runs in ring 0.
            SUPERVISOR_MODE_KERNEL = 1 << 3 => "1u << XENFEAT_supervisor_mode_kernel",
            /// Roots may lie above 4 GiB.
            PAE_PGDIR_ABOVE_4GB = 1 << 4 => "1u << XENFEAT_pae_pgdir_above_4gb",
            /// `mmu_update` can keep the accessed and dirty bits. Guests insist.
            MMU_PT_UPDATE_PRESERVE_AD = 1 << 5 => "1u << XENFEAT_mmu_pt_update_preserve_ad",
            /// Clear and copy of pages by `mmuext_op`.
            HIGHMEM_ASSIST = 1 << 6 => "1u << XENFEAT_highmem_assist",
            /// Grant mappings can set the available bits. Guests insist.
            GNTTAB_MAP_AVAIL_BITS = 1 << 7 => "1u << XENFEAT_gnttab_map_avail_bits",
            /// For hardware-assisted guests.
            HVM_CALLBACK_VECTOR = 1 << 8 => "1u << XENFEAT_hvm_callback_vector",
            /// For hardware-assisted guests.
            HVM_SAFE_PVCLOCK = 1 << 9 => "1u << XENFEAT_hvm_safe_pvclock",
            /// For hardware-assisted guests.
            HVM_PIRQS = 1 << 10 => "1u << XENFEAT_hvm_pirqs",
            /// This is the hardware domain. (In a kernel's note: it can be.)
            DOM0 = 1 << 11 => "1u << XENFEAT_dom0",
            /// Memory operations know virtual NUMA nodes.
            MEMORY_OP_VNODE_SUPPORTED = 1 << 13 => "1u << XENFEAT_memory_op_vnode_supported",
            /// For another architecture.
            ARM_SMCCC_SUPPORTED = 1 << 14 => "1u << XENFEAT_ARM_SMCCC_supported",
            /// In a kernel's note: the ACPI root pointer may be anywhere.
            LINUX_RSDP_UNRESTRICTED = 1 << 15 => "1u << XENFEAT_linux_rsdp_unrestricted",
            /// The guest's frame numbers are not machine frame numbers.
            NOT_DIRECT_MAPPED = 1 << 16 => "1u << XENFEAT_not_direct_mapped",
            /// The guest's frame numbers in hypercalls are machine frame numbers.
            DIRECT_MAPPED = 1 << 17 => "1u << XENFEAT_direct_mapped",
        }
    }
}
