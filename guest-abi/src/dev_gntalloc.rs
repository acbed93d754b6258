//! The device by which processes in a Linux domain grant frames to other domains.

use crate::ids::{DomId, GrantRef};

abi! {
    headers ["xen/sys/gntalloc.h"];

    texts! {
        /// The device.
        pub const DEVICE: &str = "/dev/xen/gntalloc" => (absent "a name in the file system");
    }

    enumeration! {
        /// Request numbers of ioctl.
        pub enum GntallocIoctl: u32 {
            /// [`AllocGref`].
            AllocGref = 0x0018_4705 => "IOCTL_GNTALLOC_ALLOC_GREF",
            /// [`DeallocGref`].
            DeallocGref = 0x0010_4706 => "IOCTL_GNTALLOC_DEALLOC_GREF",
            /// [`UnmapNotify`](crate::dev_gntdev::UnmapNotify).
            SetUnmapNotify = 0x0010_4707 => "IOCTL_GNTALLOC_SET_UNMAP_NOTIFY",
        }
    }

    flags! {
        /// [`AllocGref::flags`].
        pub struct AllocFlags: u16 {
            /// The other domain may write.
            WRITABLE = 1 << 0 => "GNTALLOC_FLAG_WRITABLE",
        }
    }

    layout! {
        /// Makes frames and grants them. More references follow.
        pub struct AllocGref [24] "struct ioctl_gntalloc_alloc_gref" {
            /// To whom.
            0 domid: DomId,
            /// Flags.
            2 flags: AllocFlags,
            /// How many.
            4 count: u32,
            /// Out: offset for mmap.
            8 index: u64,
            /// Out: the first reference.
            16 gref_ids: [GrantRef; 1],
            /// Zero.
            20 pad0: [u8; 4] = _,
        }

        /// Takes them back.
        pub struct DeallocGref [16] "struct ioctl_gntalloc_dealloc_gref" {
            /// Offset for mmap.
            0 index: u64,
            /// How many.
            8 count: u32,
            /// Zero.
            12 pad0: [u8; 4] = _,
        }
    }
}
