//! How processes in a Linux domain reach the store, and how the store daemon reaches the kernel of the
//! domain that it runs in.
//!
//! The devices carry [messages](crate::store_wire) as they are. The files below `/proc/xen` need their
//! file system to be mounted.

abi! {
    headers ["xen/sys/xenbus_dev.h"];

    texts! {
        /// Messages to the store and from it.
        pub const DEVICE: &str = "/dev/xen/xenbus" => (absent "a name in the file system");
        /// Requests of the store daemon, see [`BackendIoctl`].
        pub const BACKEND_DEVICE: &str = "/dev/xen/xenbus_backend" => (absent "a name in the file system");
        /// Type of the file system below `/proc/xen`.
        pub const FILE_SYSTEM: &str = "xenfs" => (absent "a name in the kernel");
        /// Port of the kernel's connection, as a decimal text.
        pub const KERNEL_PORT_FILE: &str = "/proc/xen/xsd_port" => (absent "a name in the file system");
        /// Ring of the kernel's connection: mmap of one frame at offset 0.
        pub const KERNEL_RING_FILE: &str = "/proc/xen/xsd_kva" => (absent "a name in the file system");
        /// What the domain can do, as words.
        pub const CAPABILITIES_FILE: &str = "/proc/xen/capabilities" => (absent "a name in the file system");
        /// Word in [`CAPABILITIES_FILE`] of the domain that controls others.
        pub const CAPABILITY_CONTROL: &str = "control_d" => (absent "text of the kernel");
    }

    enumeration! {
        /// Request numbers of ioctl on [`BACKEND_DEVICE`].
        pub enum BackendIoctl: u32 {
            /// Returns the port of the kernel's connection.
            EventChannel = 0x0000_4200 => "IOCTL_XENBUS_BACKEND_EVTCHN",
            /// The argument is the number of the domain where the store runs; returns the port to use.
            Setup = 0x0000_4201 => "IOCTL_XENBUS_BACKEND_SETUP",
        }
    }
}
