//! Selectors, descriptor tables and segment bases.

abi! {
    headers ["xen/xen.h"];

    numbers! {
        /// Selector of a flat 32-bit code segment in ring 3.
        pub const FLAT_RING3_CS32: u16 = 0xE023 => "FLAT_RING3_CS32";
        /// Selector of a flat data and stack segment in ring 3.
        pub const FLAT_RING3_SS: u16 = 0xE02B => "FLAT_RING3_SS64";
        /// Selector of a flat 64-bit code segment in ring 3.
        pub const FLAT_RING3_CS64: u16 = 0xE033 => "FLAT_RING3_CS64";
        /// Data selectors in 64-bit mode.
        pub const FLAT_RING3_DS64: u16 = 0 => "FLAT_RING3_DS64";
        /// Pages of the global descriptor table that a guest may fill.
        pub const FIRST_RESERVED_GDT_PAGE: usize = 14 => "FIRST_RESERVED_GDT_PAGE";
        /// Entries of the global descriptor table that a guest may fill.
        pub const FIRST_RESERVED_GDT_ENTRY: usize = 7168 => "FIRST_RESERVED_GDT_ENTRY";
        /// Most entries of a local descriptor table.
        pub const MAX_LDT_ENTRIES: u32 = 8192 => (absent "a property of the processor");
    }

    enumeration! {
        /// First argument of `set_segment_base`.
        pub enum SegmentBase: u32 {
            /// FS base.
            Fs = 0 => "SEGBASE_FS",
            /// GS base of guest user mode.
            GsUser = 1 => "SEGBASE_GS_USER",
            /// GS base of guest kernel mode.
            GsKernel = 2 => "SEGBASE_GS_KERNEL",
            /// GS selector of guest user mode.
            GsUserSelector = 3 => "SEGBASE_GS_USER_SEL",
        }
    }
}
