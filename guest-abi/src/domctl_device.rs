//! Control of a domain's devices by tools: permissions and assignment.

use crate::ids::Vaddr;

abi! {
    headers ["xen/domctl.h"];

    enumeration! {
        /// [`AssignDevice::dev`].
        pub enum DeviceKind: u32 {
            /// A PCI device.
            Pci = 0 => "XEN_DOMCTL_DEV_PCI",
            /// For another architecture.
            DeviceTree = 1 => "XEN_DOMCTL_DEV_DT",
        }

        /// [`MemoryMapping::add_mapping`] and [`IoportMapping::add_mapping`].
        pub enum MappingAction: u32 {
            /// Undo.
            Remove = 0 => "DPCI_REMOVE_MAPPING",
            /// Map.
            Add = 1 => "DPCI_ADD_MAPPING",
        }
    }

    flags! {
        /// [`AssignDevice::flags`].
        pub struct AssignFlags: u32 {
            /// Memory that the device insists on may be missing.
            RDM_RELAXED = 1 << 0 => "XEN_DOMCTL_DEV_RDM_RELAXED",
        }
    }

    layout! {
        /// Whether a domain may use an interrupt.
        pub struct IrqPermission [8] "struct xen_domctl_irq_permission" {
            /// Which.
            0 pirq: u32,
            /// 0 or 1.
            4 allow_access: u8,
            /// Zero.
            5 pad: [u8; 3],
        }

        /// Whether a domain may map frames of devices.
        pub struct IomemPermission [24] "struct xen_domctl_iomem_permission" {
            /// First frame.
            0 first_mfn: u64,
            /// Frames.
            8 nr_mfns: u64,
            /// 0 or 1.
            16 allow_access: u8,
            /// Zero.
            17 pad0: [u8; 7] = _,
        }

        /// Whether a domain may use I/O ports.
        pub struct IoportPermission [12] "struct xen_domctl_ioport_permission" {
            /// First port.
            0 first_port: u32,
            /// Ports.
            4 nr_ports: u32,
            /// 0 or 1.
            8 allow_access: u8,
            /// Zero.
            9 pad0: [u8; 3] = _,
        }

        /// Gives a device to a domain, asks whether that could be, or takes it back.
        pub struct AssignDevice [24] "struct xen_domctl_assign_device" {
            /// A [`DeviceKind`].
            0 dev: u32,
            /// Flags.
            4 flags: AssignFlags,
            /// Segment, bus, device and function from the upper half to the lowest bits.
            8 machine_sbdf: u32 = "u.pci.machine_sbdf",
            /// Zero.
            12 unused0: u32 = (absent "the union's member for another architecture lies here"),
            /// Zero.
            16 unused1: u64 = (absent "the union's member for another architecture lies here"),
        }

        /// Which devices can only be assigned together.
        pub struct DeviceGroup [24] "struct xen_domctl_get_device_group" {
            /// One of them.
            0 machine_sbdf: u32,
            /// Room.
            4 max_sdevs: u32,
            /// Out: how many.
            8 num_sdevs: u32,
            /// Zero.
            12 pad0: [u8; 4] = _,
            /// Where to write them, 4 bytes each.
            16 sdev_array: Vaddr,
        }

        /// Maps frames of devices into a hardware-assisted guest.
        pub struct MemoryMapping [32] "struct xen_domctl_memory_mapping" {
            /// First frame there.
            0 first_gfn: u64,
            /// First frame here.
            8 first_mfn: u64,
            /// Frames.
            16 nr_mfns: u64,
            /// A [`MappingAction`].
            24 add_mapping: u32,
            /// Zero.
            28 padding: u32,
        }

        /// Maps I/O ports into a hardware-assisted guest.
        pub struct IoportMapping [16] "struct xen_domctl_ioport_mapping" {
            /// First port there.
            0 first_gport: u32,
            /// First port here.
            4 first_mport: u32,
            /// Ports.
            8 nr_ports: u32,
            /// A [`MappingAction`].
            12 add_mapping: u32,
        }
    }
}
