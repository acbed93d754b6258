//! The device by which tools in a Linux domain make hypercalls and map other domains' memory.
//!
//! Pointers are the calling process's own. What a hypercall points to must be resident memory:
//! [`BUFFER_DEVICE`] gives such memory.

use crate::ids::{DomId, Vaddr};

abi! {
    headers ["xen/sys/privcmd.h"];

    texts! {
        /// The device.
        pub const DEVICE: &str = "/dev/xen/privcmd" => (absent "a name in the file system");
        /// The device whose mappings can be passed to hypercalls.
        pub const BUFFER_DEVICE: &str = "/dev/xen/hypercall" => (absent "a name in the file system");
    }

    enumeration! {
        /// Request numbers of ioctl.
        pub enum PrivcmdIoctl: u32 {
            /// [`Hypercall`]; returns what it returned.
            Hypercall = 0x0030_5000 => "IOCTL_PRIVCMD_HYPERCALL",
            /// [`Mmap`].
            Mmap = 0x0010_5002 => "IOCTL_PRIVCMD_MMAP",
            /// [`MmapBatch`].
            MmapBatch = 0x0018_5003 => "IOCTL_PRIVCMD_MMAPBATCH",
            /// [`MmapBatchV2`].
            MmapBatchV2 = 0x0020_5004 => "IOCTL_PRIVCMD_MMAPBATCH_V2",
            /// [`DmOp`].
            DmOp = 0x0010_5005 => "IOCTL_PRIVCMD_DM_OP",
            /// A [`DomId`]: from now on no other domain.
            Restrict = 0x0002_5006 => "IOCTL_PRIVCMD_RESTRICT",
            /// [`MmapResource`].
            MmapResource = 0x0020_5007 => "IOCTL_PRIVCMD_MMAP_RESOURCE",
        }
    }

    numbers! {
        /// Set by [`MmapBatch`] in the number of a frame that could not be mapped.
        pub const MMAPBATCH_FRAME_ERROR: u32 = 0xF000_0000 => "PRIVCMD_MMAPBATCH_MFN_ERROR";
        /// Set by [`MmapBatch`] in the number of a frame that is paged out.
        pub const MMAPBATCH_PAGED_ERROR: u32 = 0x8000_0000 => "PRIVCMD_MMAPBATCH_PAGED_ERROR";
    }

    layout! {
        /// Makes a hypercall.
        pub struct Hypercall [48] "struct privcmd_hypercall" {
            /// A [`Hypercall`](crate::hypercall::Hypercall) number.
            0 op: u64,
            /// Arguments.
            8 arg: [u64; 5],
        }

        /// Maps ranges of frames.
        pub struct Mmap [16] "struct privcmd_mmap" {
            /// Ranges.
            0 num: i32,
            /// Whose.
            4 dom: DomId,
            /// Zero.
            6 pad0: [u8; 2] = _,
            /// [`MmapEntry`] list.
            8 entry: Vaddr,
        }

        /// One range.
        pub struct MmapEntry [24] "struct privcmd_mmap_entry" {
            /// Where to.
            0 va: Vaddr,
            /// First frame.
            8 mfn: u64,
            /// Frames.
            16 npages: u64,
        }

        /// Maps frames. Errors are written into the list.
        pub struct MmapBatch [24] "struct privcmd_mmapbatch" {
            /// Frames.
            0 num: i32,
            /// Whose.
            4 dom: DomId,
            /// Zero.
            6 pad0: [u8; 2] = _,
            /// Where to.
            8 addr: Vaddr,
            /// Frame numbers, 8 bytes each.
            16 arr: Vaddr,
        }

        /// Maps frames.
        pub struct MmapBatchV2 [32] "struct privcmd_mmapbatch_v2" {
            /// Frames.
            0 num: u32,
            /// Whose.
            4 dom: DomId,
            /// Zero.
            6 pad0: [u8; 2] = _,
            /// Where to.
            8 addr: Vaddr,
            /// Frame numbers, 8 bytes each.
            16 arr: Vaddr,
            /// Where to write errors, 4 bytes each: 0 or a negative number.
            24 err: Vaddr,
        }

        /// Controls a hardware-assisted guest's devices.
        pub struct DmOp [16] "struct privcmd_dm_op" {
            /// Which domain.
            0 dom: DomId,
            /// Length of the list.
            2 num: u16,
            /// Zero.
            4 pad0: [u8; 4] = _,
            /// [`DmOpBuffer`] list.
            8 ubufs: Vaddr,
        }

        /// One argument.
        pub struct DmOpBuffer [16] "struct privcmd_dm_op_buf" {
            /// First byte.
            0 uptr: Vaddr,
            /// Bytes.
            8 size: u64,
        }

        /// Maps what a domain shares with the hypervisor.
        pub struct MmapResource [32] "struct privcmd_mmap_resource" {
            /// Whose.
            0 dom: DomId,
            /// Zero.
            2 pad0: [u8; 2] = _,
            /// A [`Resource`](crate::memory_op::Resource).
            4 resource: u32 = "type",
            /// Which.
            8 id: u32,
            /// First frame of it.
            12 idx: u32,
            /// Frames. 0, with address 0, to ask for their number.
            16 num: u64,
            /// Where to.
            24 addr: Vaddr,
        }
    }
}
