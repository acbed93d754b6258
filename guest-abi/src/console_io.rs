//! The hypervisor's console, for the hardware domain. Arguments are the operation, a byte count and a
//! buffer.

abi! {
    headers ["xen/xen.h"];

    enumeration! {
        /// First argument of the hypercall.
        pub enum ConsoleIo: u32 {
            /// Write; returns 0.
            Write = 0 => "CONSOLEIO_write",
            /// Read; returns the bytes read.
            Read = 1 => "CONSOLEIO_read",
        }
    }
}
