//! Physical interrupts, I/O privilege and PCI devices, mostly for the hardware domain.

use crate::ids::{DomId, Mfn, Vaddr};

abi! {
    headers ["xen/physdev.h"];

    enumeration! {
        /// First argument of the hypercall; the second points to the structure named.
        pub enum PhysdevOp: u32 {
            /// Form of before 2006, refused: end of an interrupt, without a structure.
            IrqUnmaskNotify = 4 => "PHYSDEVOP_IRQ_UNMASK_NOTIFY",
            /// [`IrqStatusQuery`].
            IrqStatusQuery = 5 => "PHYSDEVOP_irq_status_query",
            /// [`SetIopl`].
            SetIopl = 6 => "PHYSDEVOP_set_iopl",
            /// [`SetIobitmap`].
            SetIobitmap = 7 => "PHYSDEVOP_set_iobitmap",
            /// [`Apic`]: read a register of an I/O APIC.
            ApicRead = 8 => "PHYSDEVOP_apic_read",
            /// [`Apic`]: write a register of an I/O APIC.
            ApicWrite = 9 => "PHYSDEVOP_apic_write",
            /// [`IrqVector`].
            AllocIrqVector = 10 => "PHYSDEVOP_alloc_irq_vector",
            /// [`IrqVector`].
            FreeIrqVector = 11 => "PHYSDEVOP_free_irq_vector",
            /// [`Eoi`].
            Eoi = 12 => "PHYSDEVOP_eoi",
            /// [`MapPirq`].
            MapPirq = 13 => "PHYSDEVOP_map_pirq",
            /// [`UnmapPirq`].
            UnmapPirq = 14 => "PHYSDEVOP_unmap_pirq",
            /// [`ManagePci`]: old form of [`PciDeviceAdd`](Self::PciDeviceAdd).
            ManagePciAdd = 15 => "PHYSDEVOP_manage_pci_add",
            /// [`ManagePci`]: old form of [`PciDeviceRemove`](Self::PciDeviceRemove).
            ManagePciRemove = 16 => "PHYSDEVOP_manage_pci_remove",
            /// [`PirqEoiGmfn`], and the guest's unmasking of a port ends the interrupt.
            PirqEoiGmfnV1 = 17 => "PHYSDEVOP_pirq_eoi_gmfn_v1",
            /// [`ManagePci`]: old form of [`RestoreMsiExt`](Self::RestoreMsiExt).
            RestoreMsi = 19 => "PHYSDEVOP_restore_msi",
            /// [`ManagePciExt`]: old form of [`PciDeviceAdd`](Self::PciDeviceAdd).
            ManagePciAddExt = 20 => "PHYSDEVOP_manage_pci_add_ext",
            /// [`SetupGsi`].
            SetupGsi = 21 => "PHYSDEVOP_setup_gsi",
            /// [`GetFreePirq`].
            GetFreePirq = 23 => "PHYSDEVOP_get_free_pirq",
            /// [`PciMmcfgReserved`].
            PciMmcfgReserved = 24 => "PHYSDEVOP_pci_mmcfg_reserved",
            /// [`PciDeviceAdd`].
            PciDeviceAdd = 25 => "PHYSDEVOP_pci_device_add",
            /// [`PciDevice`].
            PciDeviceRemove = 26 => "PHYSDEVOP_pci_device_remove",
            /// [`PciDevice`]: program the message-signalled interrupts again.
            RestoreMsiExt = 27 => "PHYSDEVOP_restore_msi_ext",
            /// [`PirqEoiGmfn`].
            PirqEoiGmfnV2 = 28 => "PHYSDEVOP_pirq_eoi_gmfn_v2",
            /// [`DebugPort`].
            DebugPortOp = 29 => "PHYSDEVOP_dbgp_op",
            /// [`PciDevice`]: protect the MSI-X table before another domain gets the device.
            PrepareMsix = 30 => "PHYSDEVOP_prepare_msix",
            /// [`PciDevice`]: undo that.
            ReleaseMsix = 31 => "PHYSDEVOP_release_msix",
        }

        /// [`MapPirq::map_type`].
        pub enum MapPirqType: i32 {
            /// One message of a device in segment 0.
            Msi = 0 => "MAP_PIRQ_TYPE_MSI",
            /// A line of an I/O APIC.
            Gsi = 1 => "MAP_PIRQ_TYPE_GSI",
            /// Nothing.
            Unknown = 2 => "MAP_PIRQ_TYPE_UNKNOWN",
            /// One message of a device in any segment.
            MsiSeg = 3 => "MAP_PIRQ_TYPE_MSI_SEG",
            /// [`MapPirq::entry_nr`] consecutive messages of a device.
            MultiMsi = 4 => "MAP_PIRQ_TYPE_MULTI_MSI",
        }

        /// [`DebugPort::op`].
        pub enum DebugPortAction: u8 {
            /// The controller is about to be reset.
            ResetPrepare = 1 => "PHYSDEVOP_DBGP_RESET_PREPARE",
            /// The controller has been reset.
            ResetDone = 2 => "PHYSDEVOP_DBGP_RESET_DONE",
        }

        /// [`DebugPort::bus`].
        pub enum DebugPortBus: u8 {
            /// Not known.
            Unknown = 0 => "PHYSDEVOP_DBGP_BUS_UNKNOWN",
            /// [`DebugPort::device`] says where.
            Pci = 1 => "PHYSDEVOP_DBGP_BUS_PCI",
        }
    }

    flags! {
        /// [`IrqStatusQuery::flags`].
        pub struct IrqStatus: u32 {
            /// The guest must end each interrupt with [`PhysdevOp::Eoi`].
            NEEDS_EOI = 1 << 0 => "XENIRQSTAT_needs_eoi",
            /// The interrupt is shared.
            SHARED = 1 << 1 => "XENIRQSTAT_shared",
        }

        /// [`PciMmcfgReserved::flags`].
        pub struct MmcfgFlags: u32 {
            /// Firmware has reserved the range.
            RESERVED = 1 << 0 => "XEN_PCI_MMCFG_RESERVED",
        }

        /// [`PciDeviceAdd::flags`].
        pub struct PciDeviceFlags: u32 {
            /// An extended function.
            EXTENDED_FUNCTION = 1 << 0 => "XEN_PCI_DEV_EXTFN",
            /// A virtual function; the physical one is named.
            VIRTUAL_FUNCTION = 1 << 1 => "XEN_PCI_DEV_VIRTFN",
            /// A proximity domain follows, a `u32`.
            PROXIMITY = 1 << 2 => "XEN_PCI_DEV_PXM",
        }
    }

    layout! {
        /// Ends an interrupt.
        pub struct Eoi [4] "struct physdev_eoi" {
            /// Which.
            0 irq: u32,
        }

        /// Shares a frame with one bit for each interrupt that must be ended by hypercall.
        pub struct PirqEoiGmfn [8] "struct physdev_pirq_eoi_gmfn" {
            /// The frame.
            0 gmfn: Mfn,
        }

        /// Asks how an interrupt is to be handled.
        pub struct IrqStatusQuery [8] "struct physdev_irq_status_query" {
            /// Which.
            0 irq: u32,
            /// Out: flags.
            4 flags: IrqStatus,
        }

        /// Sets the virtual I/O privilege level.
        pub struct SetIopl [4] "struct physdev_set_iopl" {
            /// 0 to 3.
            0 iopl: u32,
        }

        /// Sets the I/O permission bitmap of guest user mode.
        pub struct SetIobitmap [16] "struct physdev_set_iobitmap" {
            /// The bitmap. A zero bit permits.
            0 bitmap: Vaddr,
            /// Bits, at most 65536.
            8 nr_ports: u32,
            /// Zero.
            12 pad0: [u8; 4] = _,
        }

        /// A register of an I/O APIC.
        pub struct Apic [16] "struct physdev_apic" {
            /// The I/O APIC's physical address.
            0 apic_physbase: u64,
            /// Register number.
            8 reg: u32,
            /// Value, in or out.
            12 value: u32,
        }

        /// Gives an interrupt a vector. The guest's number is any; nothing depends on it.
        pub struct IrqVector [8] "struct physdev_irq" {
            /// The guest's number.
            0 irq: u32,
            /// Out: the vector.
            4 vector: u32,
        }

        /// Makes an interrupt source a numbered interrupt of a domain.
        pub struct MapPirq [40] "struct physdev_map_pirq" {
            /// Whose.
            0 domid: DomId,
            /// Zero.
            2 pad0: [u8; 2] = _,
            /// A [`MapPirqType`].
            4 map_type: i32 = "type",
            /// Line number; -1 for messages.
            8 index: i32,
            /// In: wanted number, or -1. Out: the number.
            12 pirq: i32,
            /// Bus, in its upper half the segment.
            16 bus: i32,
            /// Device and function.
            20 devfn: i32,
            /// MSI-X entry. In and out: number of messages of a [`MapPirqType::MultiMsi`].
            24 entry_nr: i32,
            /// Zero.
            28 pad1: [u8; 4] = _,
            /// Physical address of the MSI-X table's region; 0 for plain messages.
            32 table_base: u64,
        }

        /// Undoes [`MapPirq`].
        pub struct UnmapPirq [8] "struct physdev_unmap_pirq" {
            /// Whose.
            0 domid: DomId,
            /// Zero.
            2 pad0: [u8; 2] = _,
            /// Which.
            4 pirq: i32,
        }

        /// A device in segment 0.
        pub struct ManagePci [2] "struct physdev_manage_pci" {
            /// Bus.
            0 bus: u8,
            /// Device and function.
            1 devfn: u8,
        }

        /// A device in segment 0 and what kind of function it is.
        pub struct ManagePciExt [16] "struct physdev_manage_pci_ext" {
            /// Bus.
            0 bus: u8,
            /// Device and function.
            1 devfn: u8,
            /// Zero.
            2 pad0: [u8; 2] = _,
            /// Non-zero: an extended function.
            4 is_extfn: u32,
            /// Non-zero: a virtual function.
            8 is_virtfn: u32,
            /// Bus of the physical function.
            12 physfn_bus: u8 = "physfn.bus",
            /// Device and function of the physical function.
            13 physfn_devfn: u8 = "physfn.devfn",
            /// Zero.
            14 pad1: [u8; 2] = _,
        }

        /// How a line of an I/O APIC signals.
        pub struct SetupGsi [8] "struct physdev_setup_gsi" {
            /// Which.
            0 gsi: i32,
            /// 0: edge; 1: level.
            4 triggering: u8,
            /// 0: active high; 1: active low.
            5 polarity: u8,
            /// Zero.
            6 pad0: [u8; 2] = _,
        }

        /// Asks for an unused number.
        pub struct GetFreePirq [8] "struct physdev_get_free_pirq" {
            /// A [`MapPirqType`].
            0 map_type: i32 = "type",
            /// Out: the number.
            4 pirq: u32,
        }

        /// A range of memory-mapped configuration space.
        pub struct PciMmcfgReserved [16] "struct physdev_pci_mmcfg_reserved" {
            /// Its first byte.
            0 address: u64,
            /// Segment.
            8 segment: u16,
            /// First bus.
            10 start_bus: u8,
            /// Last bus.
            11 end_bus: u8,
            /// Flags.
            12 flags: MmcfgFlags,
        }

        /// Announces a device. Optional words follow.
        pub struct PciDeviceAdd [12] "struct physdev_pci_device_add" {
            /// Segment.
            0 seg: u16,
            /// Bus.
            2 bus: u8,
            /// Device and function.
            3 devfn: u8,
            /// Flags.
            4 flags: PciDeviceFlags,
            /// Bus of the physical function.
            8 physfn_bus: u8 = "physfn.bus",
            /// Device and function of the physical function.
            9 physfn_devfn: u8 = "physfn.devfn",
            /// Zero.
            10 pad0: [u8; 2] = (absent "C has no word on padding before an array without a length"),
        }

        /// A device.
        pub struct PciDevice [4] "struct physdev_pci_device" {
            /// Segment.
            0 seg: u16,
            /// Bus.
            2 bus: u8,
            /// Device and function.
            3 devfn: u8,
        }

        /// Tells that a controller with a debug port is reset.
        pub struct DebugPort [6] "struct physdev_dbgp_op" {
            /// A [`DebugPortAction`].
            0 op: u8,
            /// A [`DebugPortBus`].
            1 bus: u8,
            /// The controller.
            2 device: PciDevice = "u.pci",
        }
    }

    numbers! {
        /// Ports that an I/O bitmap can cover.
        pub const MAX_IO_PORTS: u32 = 65536 => (absent "a property of the processor");
    }
}
