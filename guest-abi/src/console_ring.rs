//! The frame by which a guest's console and the console daemon talk.
//!
//! Indices run freely and are cut to the length of their buffer, a power of two.

abi! {
    headers ["xen/io/console.h"];

    numbers! {
        /// Bytes of input.
        pub const IN_SIZE: usize = 1024 => "sizeof(((struct xencons_interface *)0)->in)";
        /// Bytes of output.
        pub const OUT_SIZE: usize = 2048 => "sizeof(((struct xencons_interface *)0)->out)";
    }

    layout! {
        /// The frame's content. The frame's rest is unused.
        pub struct ConsoleRing [3088] "struct xencons_interface" {
            /// To the guest.
            0 input: [u8; IN_SIZE] = "in",
            /// From the guest.
            1024 output: [u8; OUT_SIZE] = "out",
            /// How far the guest has read.
            3072 in_cons: u32,
            /// How far the daemon has written.
            3076 in_prod: u32,
            /// How far the daemon has read.
            3080 out_cons: u32,
            /// How far the guest has written.
            3084 out_prod: u32,
        }
    }
}
