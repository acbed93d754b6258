//! PCI devices in guests: the frame that front end and back end share.

abi! {
    headers ["xen/io/pciif.h"];

    enumeration! {
        /// [`PciOperation::cmd`] and [`AerOperation::cmd`].
        pub enum PciOp: u32 {
            /// Read configuration space.
            ConfRead = 0 => "XEN_PCI_OP_conf_read",
            /// Write configuration space.
            ConfWrite = 1 => "XEN_PCI_OP_conf_write",
            /// Use a message-signalled interrupt.
            EnableMsi = 2 => "XEN_PCI_OP_enable_msi",
            /// Do not use it.
            DisableMsi = 3 => "XEN_PCI_OP_disable_msi",
            /// Use a table of message-signalled interrupts.
            EnableMsix = 4 => "XEN_PCI_OP_enable_msix",
            /// Do not use it.
            DisableMsix = 5 => "XEN_PCI_OP_disable_msix",
            /// An error was detected.
            AerDetected = 6 => "XEN_PCI_OP_aer_detected",
            /// Go on.
            AerResume = 7 => "XEN_PCI_OP_aer_resume",
            /// Memory-mapped access works again.
            AerMmio = 8 => "XEN_PCI_OP_aer_mmio",
            /// The slot was reset.
            AerSlotreset = 9 => "XEN_PCI_OP_aer_slotreset",
            /// Use several message-signalled interrupts.
            EnableMultiMsi = 10 => "XEN_PCI_OP_enable_multi_msi",
        }

        /// [`PciOperation::err`].
        pub enum PciError: i32 {
            /// Done.
            Success = 0 => "XEN_PCI_ERR_success",
            /// No such device.
            DeviceNotFound = -1 => "XEN_PCI_ERR_dev_not_found",
            /// No such register.
            InvalidOffset = -2 => "XEN_PCI_ERR_invalid_offset",
            /// Not allowed.
            AccessDenied = -3 => "XEN_PCI_ERR_access_denied",
            /// Not offered.
            NotImplemented = -4 => "XEN_PCI_ERR_not_implemented",
            /// Failed.
            OpFailed = -5 => "XEN_PCI_ERR_op_failed",
        }
    }

    numbers! {
        /// Entries of [`PciOperation::msix_entries`].
        pub const MAX_MSIX_ENTRIES: usize = 128 => "SH_INFO_MAX_VEC";
    }

    texts! {
        /// The `magic` key.
        pub const MAGIC: &str = "7" => "XEN_PCI_MAGIC";
    }

    flags! {
        /// [`PciSharedInfo::flags`].
        pub struct PciFlags: u32 {
            /// The front end has a request.
            FRONTEND_ACTIVE = 1 << 0 => "XEN_PCIF_active",
            /// The front end handles errors.
            AER_HANDLER = 1 << 1 => "XEN_PCIB_AERHANDLER",
            /// The back end has a request.
            BACKEND_ACTIVE = 1 << 2 => "XEN_PCIB_active",
        }
    }

    layout! {
        /// The frame's content. The frame's rest is unused.
        pub struct PciSharedInfo [572] "struct xen_pci_sharedinfo" {
            /// Flags.
            0 flags: PciFlags,
            /// The front end's request.
            4 op: PciOperation,
            /// The back end's request.
            552 aer_op: AerOperation,
        }

        /// A request of the front end.
        pub struct PciOperation [548] "struct xen_pci_op" {
            /// A [`PciOp`].
            0 cmd: u32,
            /// Out: a [`PciError`].
            4 err: i32,
            /// Segment.
            8 domain: u32,
            /// Bus.
            12 bus: u32,
            /// Device and function.
            16 devfn: u32,
            /// First byte of the register.
            20 offset: i32,
            /// Its bytes.
            24 size: i32,
            /// Its content, in or out.
            28 value: u32,
            /// Entries of the table. Out: how it went.
            32 info: u32,
            /// The table.
            36 msix_entries: [MsixEntry; MAX_MSIX_ENTRIES],
        }

        /// One message-signalled interrupt.
        pub struct MsixEntry [4] "struct xen_msix_entry" {
            /// Out: interrupt number.
            0 vector: u16,
            /// Which.
            2 entry: u16,
        }

        /// A request of the back end.
        pub struct AerOperation [20] "struct xen_pcie_aer_op" {
            /// A [`PciOp`].
            0 cmd: u32,
            /// Out: how it went.
            4 err: i32,
            /// Segment.
            8 domain: u32,
            /// Bus.
            12 bus: u32,
            /// Device and function.
            16 devfn: u32,
        }
    }
}
