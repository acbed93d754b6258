//! Bitmaps of processors, nodes or vCPUs that tools pass to control operations.

use crate::ids::Vaddr;

abi! {
    headers ["xen/xen.h"];

    layout! {
        /// Where a bitmap lies. Bit 0 is the lowest bit of the first byte. The hypervisor leaves bytes
        /// behind the last bit alone, and reads bits that it has no use for as zero.
        pub struct Bitmap [16] "struct xenctl_bitmap" {
            /// First byte.
            0 bitmap: Vaddr,
            /// Bits.
            8 nr_bits: u32,
            /// Zero.
            12 pad0: [u8; 4] = _,
        }
    }
}
