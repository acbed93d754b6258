//! The device by which processes in a Linux domain map and copy other domains' granted frames.
//!
//! Mapping is done in two steps: the request returns an index, which is the offset for mmap.

use crate::ids::{DomId, GrantRef, Port, Vaddr};

abi! {
    headers ["xen/sys/gntdev.h"];

    texts! {
        /// The device.
        pub const DEVICE: &str = "/dev/xen/gntdev" => (absent "a name in the file system");
    }

    enumeration! {
        /// Request numbers of ioctl.
        pub enum GntdevIoctl: u32 {
            /// [`MapGrantRef`].
            MapGrantRef = 0x0018_4700 => "IOCTL_GNTDEV_MAP_GRANT_REF",
            /// [`UnmapGrantRef`].
            UnmapGrantRef = 0x0010_4701 => "IOCTL_GNTDEV_UNMAP_GRANT_REF",
            /// [`GetOffsetForVaddr`].
            GetOffsetForVaddr = 0x0018_4702 => "IOCTL_GNTDEV_GET_OFFSET_FOR_VADDR",
            /// [`SetMaxGrants`].
            SetMaxGrants = 0x0004_4703 => "IOCTL_GNTDEV_SET_MAX_GRANTS",
            /// [`UnmapNotify`].
            SetUnmapNotify = 0x0010_4707 => "IOCTL_GNTDEV_SET_UNMAP_NOTIFY",
            /// [`GrantCopy`].
            GrantCopy = 0x0010_4708 => "IOCTL_GNTDEV_GRANT_COPY",
        }
    }

    flags! {
        /// [`UnmapNotify::action`].
        pub struct UnmapAction: u32 {
            /// Write a zero byte where the index points.
            CLEAR_BYTE = 1 << 0 => "UNMAP_NOTIFY_CLEAR_BYTE",
            /// Send an event.
            SEND_EVENT = 1 << 1 => "UNMAP_NOTIFY_SEND_EVENT",
        }
    }

    layout! {
        /// A grant.
        pub struct ForeignGrant [8] "struct ioctl_gntdev_grant_ref" {
            /// Whose.
            0 domid: u32,
            /// Which.
            4 gref: GrantRef = "ref",
        }

        /// Prepares a mapping. More grants follow.
        pub struct MapGrantRef [24] "struct ioctl_gntdev_map_grant_ref" {
            /// Grants.
            0 count: u32,
            /// Zero.
            4 pad: u32,
            /// Out: offset for mmap.
            8 index: u64,
            /// The first one.
            16 refs: [ForeignGrant; 1],
        }

        /// Forgets a mapping.
        pub struct UnmapGrantRef [16] "struct ioctl_gntdev_unmap_grant_ref" {
            /// Offset for mmap.
            0 index: u64,
            /// Grants.
            8 count: u32,
            /// Zero.
            12 pad: u32,
        }

        /// Finds a mapping.
        pub struct GetOffsetForVaddr [24] "struct ioctl_gntdev_get_offset_for_vaddr" {
            /// Its first byte.
            0 vaddr: Vaddr,
            /// Out: offset for mmap.
            8 offset: u64,
            /// Out: grants.
            16 count: u32,
            /// Zero.
            20 pad: u32,
        }

        /// Limits the grants of this file.
        pub struct SetMaxGrants [4] "struct ioctl_gntdev_set_max_grants" {
            /// How many.
            0 count: u32,
        }

        /// What to do when a frame is unmapped, even by a crash.
        pub struct UnmapNotify [16] "struct ioctl_gntdev_unmap_notify" {
            /// Offset for mmap, plus bytes into the mapping.
            0 index: u64,
            /// What to do.
            8 action: UnmapAction,
            /// Where to send the event.
            12 event_channel_port: Port,
        }

        /// Copies.
        pub struct GrantCopy [16] "struct ioctl_gntdev_grant_copy" {
            /// Length of the list.
            0 count: u32,
            /// Zero.
            4 pad0: [u8; 4] = _,
            /// [`CopySegment`] list.
            8 segments: Vaddr,
        }

        /// One copy. Each end is an address of this process, or, as the flags say, a [`ForeignEnd`].
        pub struct CopySegment [24] "struct ioctl_gntdev_grant_copy_segment" {
            /// From.
            0 source: u64,
            /// To.
            8 dest: u64,
            /// Bytes.
            16 len: u16,
            /// [`CopyFlags`](crate::grant_op::CopyFlags).
            18 flags: u16,
            /// Out: a [`GrantStatus`](crate::grant_op::GrantStatus).
            20 status: i16,
            /// Zero.
            22 pad0: [u8; 2] = _,
        }

        /// An end of a copy that is a grant, as the 8 bytes of [`CopySegment`] have it.
        pub struct ForeignEnd [8] "__typeof__(((struct ioctl_gntdev_grant_copy_segment *)0)->source.foreign)" {
            /// Which.
            0 gref: GrantRef = "ref",
            /// Bytes into the frame.
            4 offset: u16,
            /// Whose.
            6 domid: DomId,
        }
    }
}
