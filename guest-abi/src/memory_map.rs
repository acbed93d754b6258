//! Memory maps, and where the machine-to-physical table is.

use zerocopy::little_endian::{U32, U64};

use crate::ids::{DomId, Vaddr};

abi! {
    headers ["xen/memory.h", "xenctrl.h"];

    enumeration! {
        /// Type of an [`E820Entry`].
        pub enum E820Type: u32 {
            /// Usable memory.
            Ram = 1 => "E820_RAM",
            /// Not to be used.
            Reserved = 2 => "E820_RESERVED",
            /// Usable once the ACPI tables have been read.
            Acpi = 3 => "E820_ACPI",
            /// To be kept over sleep.
            Nvs = 4 => "E820_NVS",
            /// Broken.
            Unusable = 5 => "E820_UNUSABLE",
            /// Keeps its content over power loss.
            PersistentMemory = 7 => (absent "newer than the tools' copy of the list"),
        }
    }

    numbers! {
        /// Most entries of a map that tools set for a domain.
        pub const MAX_E820_ENTRIES: u32 = 128 => "E820MAX";
    }

    layout! {
        /// One range. Packed: entries follow each other every 20 bytes.
        pub struct E820Entry [20] "struct e820entry" {
            /// First byte.
            0 addr: U64,
            /// Bytes.
            8 size: U64,
            /// An [`E820Type`].
            16 range_type: U32 = "type",
        }

        /// Where to write a map.
        pub struct MemoryMap [16] "struct xen_memory_map" {
            /// In: room. Out: entries.
            0 nr_entries: u32,
            /// Zero.
            4 pad0: [u8; 4] = _,
            /// [`E820Entry`] list.
            8 buffer: Vaddr,
        }

        /// A map for a domain.
        pub struct ForeignMemoryMap [24] "struct xen_foreign_memory_map" {
            /// Whose.
            0 domid: DomId,
            /// Zero.
            2 pad0: [u8; 6] = _,
            /// The map.
            8 map: MemoryMap,
        }

        /// Where guests see the machine-to-physical table.
        pub struct MachphysMapping [24] "struct xen_machphys_mapping" {
            /// Its first byte.
            0 v_start: Vaddr,
            /// Behind its last byte.
            8 v_end: Vaddr,
            /// Highest frame number that it covers.
            16 max_mfn: u64,
        }

        /// Lists the frames of the machine-to-physical table, one for each 2 MiB of it.
        pub struct MachphysMfnList [24] "struct xen_machphys_mfn_list" {
            /// Room.
            0 max_extents: u32,
            /// Zero.
            4 pad0: [u8; 4] = _,
            /// Where to write frame numbers, 8 bytes each.
            8 extent_start: Vaddr,
            /// Out: entries.
            16 nr_extents: u32,
            /// Zero.
            20 pad1: [u8; 4] = _,
        }

        /// One range that devices insist on.
        pub struct ReservedDeviceMemory [16] "struct xen_reserved_device_memory" {
            /// First frame.
            0 start_pfn: u64,
            /// Frames.
            8 nr_pages: u64,
        }

        /// Lists the ranges that devices insist on.
        pub struct ReservedDeviceMemoryMap [24] "struct xen_reserved_device_memory_map" {
            /// 1: of all devices.
            0 flags: u32,
            /// In: room. Out: entries.
            4 nr_entries: u32,
            /// [`ReservedDeviceMemory`] list.
            8 buffer: Vaddr,
            /// Segment of the device.
            16 seg: u16 = "dev.pci.seg",
            /// Bus of the device.
            18 bus: u8 = "dev.pci.bus",
            /// Device and function.
            19 devfn: u8 = "dev.pci.devfn",
            /// Zero.
            20 pad0: [u8; 4] = _,
        }

        /// One range of memory in a virtual NUMA node.
        pub struct VmemRange [24] "struct xen_vmemrange" {
            /// First byte.
            0 start: u64,
            /// Behind the last byte.
            8 end: u64,
            /// Zero.
            16 flags: u32,
            /// Node.
            20 nid: u32,
        }

        /// Asks what NUMA topology a domain sees.
        pub struct VnumaTopology [40] "struct xen_vnuma_topology_info" {
            /// Whose.
            0 domid: DomId,
            /// Zero.
            2 pad0: u16 = "pad",
            /// In: room. Out: nodes.
            4 nr_vnodes: u32,
            /// In: room. Out: vCPUs.
            8 nr_vcpus: u32,
            /// In: room. Out: ranges.
            12 nr_vmemranges: u32,
            /// Distances, 4 bytes each, of every node to every node.
            16 vdistance: Vaddr = "vdistance.h",
            /// Node of each vCPU, 4 bytes each.
            24 vcpu_to_vnode: Vaddr = "vcpu_to_vnode.h",
            /// [`VmemRange`] list.
            32 vmemrange: Vaddr = "vmemrange.h",
        }
    }
}
