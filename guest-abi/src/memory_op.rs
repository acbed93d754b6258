//! Memory reservation: how many frames a domain has, and which.
//!
//! Maps of address ranges are in [`memory_map`](crate::memory_map).

use crate::ids::{DomId, Vaddr};

abi! {
    headers ["xen/memory.h"];

    enumeration! {
        /// The lowest six bits of the hypercall's first argument. The bits above count the extents that
        /// an interrupted call has done.
        pub enum MemoryOp: u32 {
            /// [`Reservation`]: allocate.
            IncreaseReservation = 0 => "XENMEM_increase_reservation",
            /// [`Reservation`]: free.
            DecreaseReservation = 1 => "XENMEM_decrease_reservation",
            /// Highest frame of the machine, plus 1.
            MaximumRamPage = 2 => "XENMEM_maximum_ram_page",
            /// [`MemoryDomain`]: frames that a domain has.
            CurrentReservation = 3 => "XENMEM_current_reservation",
            /// [`MemoryDomain`]: frames that a domain may have.
            MaximumReservation = 4 => "XENMEM_maximum_reservation",
            /// [`MachphysMfnList`](crate::memory_map::MachphysMfnList).
            MachphysMfnList = 5 => "XENMEM_machphys_mfn_list",
            /// [`Reservation`]: allocate and give the frames places.
            PopulatePhysmap = 6 => "XENMEM_populate_physmap",
            /// [`AddToPhysmap`]; not for paravirtualized guests.
            AddToPhysmap = 7 => "XENMEM_add_to_physmap",
            /// [`MemoryMap`](crate::memory_map::MemoryMap) of the domain.
            MemoryMap = 9 => "XENMEM_memory_map",
            /// [`MemoryMap`](crate::memory_map::MemoryMap) of the machine.
            MachineMemoryMap = 10 => "XENMEM_machine_memory_map",
            /// [`Exchange`].
            Exchange = 11 => "XENMEM_exchange",
            /// [`MachphysMapping`](crate::memory_map::MachphysMapping).
            MachphysMapping = 12 => "XENMEM_machphys_mapping",
            /// [`ForeignMemoryMap`](crate::memory_map::ForeignMemoryMap).
            SetMemoryMap = 13 => "XENMEM_set_memory_map",
            /// [`MemoryDomain`]: highest frame number in use.
            MaximumGpfn = 14 => "XENMEM_maximum_gpfn",
            /// Not for paravirtualized guests.
            RemoveFromPhysmap = 15 => "XENMEM_remove_from_physmap",
            /// Not for paravirtualized guests.
            SetPodTarget = 16 => "XENMEM_set_pod_target",
            /// Not for paravirtualized guests.
            GetPodTarget = 17 => "XENMEM_get_pod_target",
            /// Frames saved by sharing: 0.
            GetSharingFreedPages = 18 => "XENMEM_get_sharing_freed_pages",
            /// Frames that are shared: 0.
            GetSharingSharedPages = 19 => "XENMEM_get_sharing_shared_pages",
            /// Not for paravirtualized guests.
            PagingOp = 20 => "XENMEM_paging_op",
            /// Not for paravirtualized guests.
            AccessOp = 21 => "XENMEM_access_op",
            /// Not for paravirtualized guests.
            SharingOp = 22 => "XENMEM_sharing_op",
            /// Not for paravirtualized guests.
            AddToPhysmapBatch = 23 => "XENMEM_add_to_physmap_batch",
            /// [`Reservation`] without a list: set frames aside for a domain.
            ClaimPages = 24 => "XENMEM_claim_pages",
            /// For 32-bit guests.
            MachphysCompatMfnList = 25 => "XENMEM_machphys_compat_mfn_list",
            /// [`VnumaTopology`](crate::memory_map::VnumaTopology).
            GetVnumaInfo = 26 => "XENMEM_get_vnumainfo",
            /// [`ReservedDeviceMemoryMap`](crate::memory_map::ReservedDeviceMemoryMap).
            ReservedDeviceMemoryMap = 27 => "XENMEM_reserved_device_memory_map",
            /// [`AcquireResource`].
            AcquireResource = 28 => "XENMEM_acquire_resource",
        }

        /// [`AcquireResource::resource`].
        pub enum Resource: u16 {
            /// For hardware-assisted guests.
            IoreqServer = 0 => "XENMEM_resource_ioreq_server",
            /// Grant table: shared frames ([`GRANT_TABLE_SHARED`]) or status frames
            /// ([`GRANT_TABLE_STATUS`]).
            GrantTable = 1 => "XENMEM_resource_grant_table",
            /// Trace buffer of a vCPU.
            VmtraceBuffer = 2 => "XENMEM_resource_vmtrace_buf",
        }

        /// [`AddToPhysmap::space`].
        pub enum MapSpace: u32 {
            /// The shared frame.
            SharedInfo = 0 => "XENMAPSPACE_shared_info",
            /// Grant frames.
            GrantTable = 1 => "XENMAPSPACE_grant_table",
            /// The domain's own frames.
            Gmfn = 2 => "XENMAPSPACE_gmfn",
            /// A range of the domain's own frames.
            GmfnRange = 3 => "XENMAPSPACE_gmfn_range",
            /// Another domain's frames.
            GmfnForeign = 4 => "XENMAPSPACE_gmfn_foreign",
            /// Device memory.
            DevMmio = 5 => "XENMAPSPACE_dev_mmio",
        }
    }

    flags! {
        /// [`Reservation::mem_flags`]. A node number is stored plus one.
        pub struct MemFlags: u32 {
            /// Address bits that the frames may use; 0 for any.
            ADDRESS_BITS = 0xFF => "XENMEMF_get_address_bits(~0u)",
            /// NUMA node plus one; 0 for any.
            NODE = 0xFF << 8 => "XENMEMF_node(0xfe)",
            /// Only promise the frames.
            POPULATE_ON_DEMAND = 1 << 16 => "XENMEMF_populate_on_demand",
            /// From that node or not at all.
            EXACT_NODE_REQUEST = 1 << 17 => "XENMEMF_exact_node_request",
            /// The node is a virtual one.
            VNODE = 1 << 18 => "XENMEMF_vnode",
        }
    }

    numbers! {
        /// Bits of the hypercall's first argument that hold the operation.
        pub const OP_BITS: u32 = 6 => (absent "between the hypervisor and its own continuation");
        /// [`AcquireResource::id`]: entries.
        pub const GRANT_TABLE_SHARED: u32 = 0 => "XENMEM_resource_grant_table_id_shared";
        /// [`AcquireResource::id`]: status words of version 2.
        pub const GRANT_TABLE_STATUS: u32 = 1 => "XENMEM_resource_grant_table_id_status";
    }

    layout! {
        /// A list of extents, each a power of two of contiguous frames.
        pub struct Reservation [32] "struct xen_memory_reservation" {
            /// List of frame numbers, 8 bytes each.
            0 extent_start: Vaddr,
            /// Length of the list.
            8 nr_extents: u64,
            /// log2 of the frames of an extent.
            16 extent_order: u32,
            /// Which memory.
            20 mem_flags: MemFlags,
            /// Whose.
            24 domid: DomId,
            /// Zero.
            26 pad0: [u8; 6] = _,
        }

        /// Gives frames back and gets others, contiguous or with fewer address bits.
        pub struct Exchange [72] "struct xen_memory_exchange" {
            /// To give.
            0 given: Reservation = "in",
            /// To get.
            32 wanted: Reservation = "out",
            /// Out: extents of `given` that are gone.
            64 nr_exchanged: u64,
        }

        /// A domain.
        pub struct MemoryDomain [2] "struct xen_memory_domain" {
            /// Its number.
            0 domid: DomId,
        }

        /// Places a frame at a pseudo-physical address.
        pub struct AddToPhysmap [24] "struct xen_add_to_physmap" {
            /// Whose.
            0 domid: DomId,
            /// Frames of a range.
            2 size: u16,
            /// A [`MapSpace`].
            4 space: u32,
            /// Which of that space.
            8 idx: u64,
            /// The address.
            16 gpfn: u64,
        }

        /// Lists the frames of something that a domain shares with the hypervisor.
        pub struct AcquireResource [32] "struct xen_mem_acquire_resource" {
            /// Whose.
            0 domid: DomId,
            /// A [`Resource`].
            2 resource: u16 = "type",
            /// Which.
            4 id: u32,
            /// In: wanted frames. Out, without a list: how many there are.
            8 nr_frames: u32,
            /// Zero.
            12 pad: u32,
            /// First frame of the resource.
            16 frame: u64,
            /// Where to write frame numbers, 8 bytes each; 0 to ask for their number.
            24 frame_list: Vaddr,
        }
    }
}

impl MemFlags {
    /// Address bits that the frames may use; 0 for any.
    #[must_use]
    pub const fn address_bits(self) -> u32 {
        self.bits() & Self::ADDRESS_BITS.bits()
    }

    /// NUMA node, if one is asked for.
    #[must_use]
    pub const fn node(self) -> Option<u32> {
        (self.intersection(Self::NODE).bits() >> 8).checked_sub(1)
    }
}
