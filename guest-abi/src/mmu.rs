//! Page-table updates.

use crate::ids::{Mfn, Vaddr};

abi! {
    headers ["xen/xen.h"];

    enumeration! {
        /// The two lowest bits of [`MmuUpdate::ptr`].
        pub enum MmuUpdateType: u64 {
            /// Store an entry after validation.
            NormalPtUpdate = 0 => "MMU_NORMAL_PT_UPDATE",
            /// Store into the machine-to-physical table.
            MachphysUpdate = 1 => "MMU_MACHPHYS_UPDATE",
            /// Store an entry and keep the accessed and dirty bits that the old one has.
            PtUpdatePreserveAd = 2 => "MMU_PT_UPDATE_PRESERVE_AD",
            /// As normal, for guests that work with machine frame numbers.
            PtUpdateNoTranslate = 3 => "MMU_PT_UPDATE_NO_TRANSLATE",
        }

        /// [`MmuextOperation::cmd`].
        pub enum MmuextOp: u32 {
            /// Validate and pin a level-1 table.
            PinL1Table = 0 => "MMUEXT_PIN_L1_TABLE",
            /// Validate and pin a level-2 table.
            PinL2Table = 1 => "MMUEXT_PIN_L2_TABLE",
            /// Validate and pin a level-3 table.
            PinL3Table = 2 => "MMUEXT_PIN_L3_TABLE",
            /// Validate and pin a level-4 table.
            PinL4Table = 3 => "MMUEXT_PIN_L4_TABLE",
            /// Undo a pin.
            UnpinTable = 4 => "MMUEXT_UNPIN_TABLE",
            /// Load the kernel root.
            NewBaseptr = 5 => "MMUEXT_NEW_BASEPTR",
            /// Flush the TLB of this vCPU.
            TlbFlushLocal = 6 => "MMUEXT_TLB_FLUSH_LOCAL",
            /// Flush one address from the TLB of this vCPU.
            InvlpgLocal = 7 => "MMUEXT_INVLPG_LOCAL",
            /// Flush the TLB of some vCPUs.
            TlbFlushMulti = 8 => "MMUEXT_TLB_FLUSH_MULTI",
            /// Flush one address from the TLB of some vCPUs.
            InvlpgMulti = 9 => "MMUEXT_INVLPG_MULTI",
            /// Flush the TLB of all vCPUs.
            TlbFlushAll = 10 => "MMUEXT_TLB_FLUSH_ALL",
            /// Flush one address from the TLB of all vCPUs.
            InvlpgAll = 11 => "MMUEXT_INVLPG_ALL",
            /// Write back and invalidate the caches of this processor.
            FlushCache = 12 => "MMUEXT_FLUSH_CACHE",
            /// Set the local descriptor table.
            SetLdt = 13 => "MMUEXT_SET_LDT",
            /// Set the user root; frame 0 for none.
            NewUserBaseptr = 15 => "MMUEXT_NEW_USER_BASEPTR",
            /// Zero a frame.
            ClearPage = 16 => "MMUEXT_CLEAR_PAGE",
            /// Copy a frame.
            CopyPage = 17 => "MMUEXT_COPY_PAGE",
            /// Write back and invalidate the caches of all processors.
            FlushCacheGlobal = 18 => "MMUEXT_FLUSH_CACHE_GLOBAL",
            /// Withdrawn.
            MarkSuper = 19 => "MMUEXT_MARK_SUPER",
            /// Withdrawn.
            UnmarkSuper = 20 => "MMUEXT_UNMARK_SUPER",
        }
    }

    numbers! {
        /// The bits of [`MmuUpdate::ptr`] that hold an [`MmuUpdateType`].
        pub const UPDATE_TYPE_MASK: u64 = 3 => (absent "follows from the types");
        /// Set in the count of `mmu_update` and `mmuext_op` when a call goes on that was interrupted.
        pub const UPDATE_PREEMPTED: u32 = 1 << 31 => (absent "between the hypervisor and its own continuation");
        /// The bits of `mmu_update`'s domain argument that name the owner of the mapped frames.
        pub const MAPPED_DOMAIN_MASK: u32 = 0xFFFF => (absent "text of the ABI");
        /// Where in `mmu_update`'s domain argument the owner of the page tables is named: its number plus
        /// one, or 0 for the caller.
        pub const TABLE_DOMAIN_SHIFT: u32 = 16 => (absent "text of the ABI");

        /// Flags of `update_va_mapping`: no flush.
        pub const UVMF_NONE: u64 = 0 => "UVMF_NONE";
        /// Flags of `update_va_mapping`: flush the TLB.
        pub const UVMF_TLB_FLUSH: u64 = 1 => "UVMF_TLB_FLUSH";
        /// Flags of `update_va_mapping`: flush the one address.
        pub const UVMF_INVLPG: u64 = 2 => "UVMF_INVLPG";
        /// Flags of `update_va_mapping`: which flush.
        pub const UVMF_FLUSHTYPE_MASK: u64 = 3 => "UVMF_FLUSHTYPE_MASK";
        /// Flags of `update_va_mapping`: flush on this vCPU.
        pub const UVMF_LOCAL: u64 = 0 => "UVMF_LOCAL";
        /// Flags of `update_va_mapping`: the bits above the type are a pointer to a vCPU bitmap.
        pub const UVMF_MULTI: u64 = 0 => "UVMF_MULTI";
        /// Flags of `update_va_mapping`: flush on all vCPUs.
        pub const UVMF_ALL: u64 = 4 => "UVMF_ALL";
    }

    layout! {
        /// One update.
        pub struct MmuUpdate [16] "struct mmu_update" {
            /// Machine address of the entry, with an [`MmuUpdateType`] in its lowest bits.
            0 ptr: u64,
            /// New entry, or frame number.
            8 val: u64,
        }

        /// One extended operation.
        pub struct MmuextOperation [24] "struct mmuext_op" {
            /// An [`MmuextOp`].
            0 cmd: u32,
            /// Zero.
            4 pad0: [u8; 4] = _,
            /// A frame number ([`mfn`](MmuextOperation::mfn)) or an address
            /// ([`linear_addr`](MmuextOperation::linear_addr)).
            8 arg1: u64 = "arg1.mfn",
            /// A count ([`nr_ents`](MmuextOperation::nr_ents)), a pointer
            /// ([`vcpu_mask`](MmuextOperation::vcpu_mask)) or a frame number
            /// ([`src_mfn`](MmuextOperation::src_mfn)).
            16 arg2: u64 = "arg2.src_mfn",
        }
    }
}

impl MmuextOperation {
    /// The frame of pin, unpin, root, clear and copy (its destination).
    #[must_use]
    pub const fn mfn(&self) -> Mfn {
        Mfn(self.arg1)
    }

    /// The address of single-address flushes and of the local descriptor table.
    #[must_use]
    pub const fn linear_addr(&self) -> Vaddr {
        Vaddr(self.arg1)
    }

    /// The entries of the local descriptor table.
    #[must_use]
    pub const fn nr_ents(&self) -> u32 {
        self.arg2 as u32
    }

    /// Where the bitmap of vCPUs to flush lies.
    #[must_use]
    pub const fn vcpu_mask(&self) -> Vaddr {
        Vaddr(self.arg2)
    }

    /// The frame to copy from.
    #[must_use]
    pub const fn src_mfn(&self) -> Mfn {
        Mfn(self.arg2)
    }
}
