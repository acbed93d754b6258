//! Control of a domain's memory by tools: limits, types of frames, and what has been written since.

use crate::ids::Vaddr;

abi! {
    headers ["xen/domctl.h"];

    enumeration! {
        /// [`ShadowOp::op`].
        pub enum ShadowCommand: u32 {
            /// Stop.
            Off = 0 => "XEN_DOMCTL_SHADOW_OP_OFF",
            /// Start with a shadow that does nothing, for tests.
            EnableTest = 1 => "XEN_DOMCTL_SHADOW_OP_ENABLE_TEST",
            /// Start to note what is written.
            EnableLogDirty = 2 => "XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY",
            /// Read the notes and clear them.
            Clean = 11 => "XEN_DOMCTL_SHADOW_OP_CLEAN",
            /// Read the notes.
            Peek = 12 => "XEN_DOMCTL_SHADOW_OP_PEEK",
            /// Read the room for shadow tables.
            GetAllocation = 30 => "XEN_DOMCTL_SHADOW_OP_GET_ALLOCATION",
            /// Set the room for shadow tables.
            SetAllocation = 31 => "XEN_DOMCTL_SHADOW_OP_SET_ALLOCATION",
            /// Start what [`ShadowOp::mode`] says.
            Enable = 32 => "XEN_DOMCTL_SHADOW_OP_ENABLE",
        }

        /// Upper four bits of a 32-bit [`PageFrameInfo`] entry, which is 8 bytes wide.
        pub enum PageFrameType: u32 {
            /// No page table.
            NoTable = 0x0000_0000 => "XEN_DOMCTL_PFINFO_NOTAB",
            /// Level-1 table.
            L1 = 0x1000_0000 => "XEN_DOMCTL_PFINFO_L1TAB",
            /// Level-2 table.
            L2 = 0x2000_0000 => "XEN_DOMCTL_PFINFO_L2TAB",
            /// Level-3 table.
            L3 = 0x3000_0000 => "XEN_DOMCTL_PFINFO_L3TAB",
            /// Level-4 table.
            L4 = 0x4000_0000 => "XEN_DOMCTL_PFINFO_L4TAB",
            /// Pinned level-1 table.
            PinnedL1 = 0x9000_0000 => "XEN_DOMCTL_PFINFO_L1TAB | XEN_DOMCTL_PFINFO_LPINTAB",
            /// Pinned level-2 table.
            PinnedL2 = 0xA000_0000 => "XEN_DOMCTL_PFINFO_L2TAB | XEN_DOMCTL_PFINFO_LPINTAB",
            /// Pinned level-3 table.
            PinnedL3 = 0xB000_0000 => "XEN_DOMCTL_PFINFO_L3TAB | XEN_DOMCTL_PFINFO_LPINTAB",
            /// Pinned level-4 table.
            PinnedL4 = 0xC000_0000 => "XEN_DOMCTL_PFINFO_L4TAB | XEN_DOMCTL_PFINFO_LPINTAB",
            /// Memory that is broken.
            Broken = 0xD000_0000 => "XEN_DOMCTL_PFINFO_BROKEN",
            /// Memory without content.
            AllocatedOnly = 0xE000_0000 => "XEN_DOMCTL_PFINFO_XALLOC",
            /// No memory of the domain.
            Invalid = 0xF000_0000 => "XEN_DOMCTL_PFINFO_XTAB",
        }
    }

    flags! {
        /// [`ShadowOp::mode`] of [`ShadowCommand::Enable`].
        pub struct ShadowMode: u32 {
            /// The hypervisor counts references by itself.
            REFCOUNT = 1 << 1 => "XEN_DOMCTL_SHADOW_ENABLE_REFCOUNT",
            /// Note what is written.
            LOG_DIRTY = 1 << 2 => "XEN_DOMCTL_SHADOW_ENABLE_LOG_DIRTY",
            /// The guest works with pseudo-physical frame numbers.
            TRANSLATE = 1 << 3 => "XEN_DOMCTL_SHADOW_ENABLE_TRANSLATE",
            /// The hypervisor is not in the guest's address space.
            EXTERNAL = 1 << 4 => "XEN_DOMCTL_SHADOW_ENABLE_EXTERNAL",
        }

        /// [`ShadowOp::mode`] of [`ShadowCommand::Clean`] and [`ShadowCommand::Peek`].
        pub struct LogDirtyMode: u32 {
            /// The last time: devices may have written behind the hypervisor's back.
            FINAL = 1 << 0 => "XEN_DOMCTL_SHADOW_LOGDIRTY_FINAL",
        }
    }

    numbers! {
        /// Bits of a [`PageFrameInfo`] entry that hold a [`PageFrameType`].
        pub const PAGE_FRAME_TYPE_MASK: u32 = 0xF000_0000 => "XEN_DOMCTL_PFINFO_LTAB_MASK";
        /// Where those bits start.
        pub const PAGE_FRAME_TYPE_SHIFT: u32 = 28 => "XEN_DOMCTL_PFINFO_LTAB_SHIFT";
        /// Set in the types of pinned page tables.
        pub const PAGE_FRAME_PINNED: u32 = 0x8000_0000 => "XEN_DOMCTL_PFINFO_LPINTAB";
        /// Most frames of one [`PageFrameInfo`].
        pub const MAX_PAGE_FRAMES: u64 = 1024 => (absent "a limit of the hypervisor");
    }

    layout! {
        /// Asks for the types of frames.
        pub struct PageFrameInfo [16] "struct xen_domctl_getpageframeinfo3" {
            /// How many.
            0 num: u64,
            /// In: frame numbers, 8 bytes each. Out: types.
            8 array: Vaddr,
        }

        /// Notes what a domain writes.
        pub struct ShadowOp [40] "struct xen_domctl_shadow_op" {
            /// A [`ShadowCommand`].
            0 op: u32,
            /// A [`ShadowMode`] or a [`LogDirtyMode`].
            4 mode: u32,
            /// Room for shadow tables, in MiB.
            8 mb: u32,
            /// Zero.
            12 pad0: [u8; 4] = _,
            /// Where to write a bit for each frame of the guest; 0 for nowhere.
            16 dirty_bitmap: Vaddr,
            /// In: bits. Out: bits written.
            24 pages: u64,
            /// Out: statistics.
            32 stats: ShadowStats,
        }

        /// Counts since the notes were cleared.
        pub struct ShadowStats [8] "struct xen_domctl_shadow_op_stats" {
            /// Page faults.
            0 fault_count: u32,
            /// Frames that were written.
            4 dirty_count: u32,
        }

        /// Limits a domain's memory.
        pub struct MaxMem [8] "struct xen_domctl_max_mem" {
            /// KiB.
            0 max_memkb: u64,
        }

        /// Fills a hypercall page.
        pub struct HypercallInit [8] "struct xen_domctl_hypercall_init" {
            /// Its frame.
            0 gmfn: u64,
        }

        /// Width of a guest's addresses.
        pub struct AddressSize [4] "struct xen_domctl_address_size" {
            /// 64.
            0 size: u32,
        }

        /// Room for shadow tables.
        pub struct PagingMempool [8] "struct xen_domctl_paging_mempool" {
            /// Bytes.
            0 size: u64,
        }

        /// What NUMA topology a guest sees.
        pub struct VirtualNuma [48] "struct xen_domctl_vnuma" {
            /// Nodes.
            0 nr_vnodes: u32,
            /// Ranges.
            4 nr_vmemranges: u32,
            /// vCPUs.
            8 nr_vcpus: u32,
            /// Zero.
            12 pad: u32,
            /// Distances, 4 bytes each, of every node to every node.
            16 vdistance: Vaddr,
            /// Node of each vCPU, 4 bytes each.
            24 vcpu_to_vnode: Vaddr,
            /// Machine's node of each node, 4 bytes each.
            32 vnode_to_pnode: Vaddr,
            /// [`VmemRange`](crate::memory_map::VmemRange) list.
            40 vmemrange: Vaddr,
        }
    }
}
