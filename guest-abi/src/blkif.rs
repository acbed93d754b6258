//! Block devices: what front end and back end put into their [`ring`](crate::ring).
//!
//! Sectors are [`SECTOR_SIZE`] bytes whatever the disk has.

use crate::ids::GrantRef;

abi! {
    headers ["xen/io/blkif.h"];

    enumeration! {
        /// What a request asks for.
        pub enum BlockOperation: u8 {
            /// Read.
            Read = 0 => "BLKIF_OP_READ",
            /// Write.
            Write = 1 => "BLKIF_OP_WRITE",
            /// Write after everything before and before everything after.
            WriteBarrier = 2 => "BLKIF_OP_WRITE_BARRIER",
            /// Make what was written last.
            FlushDiskcache = 3 => "BLKIF_OP_FLUSH_DISKCACHE",
            /// Not used.
            Reserved = 4 => "BLKIF_OP_RESERVED_1",
            /// [`DiscardRequest`].
            Discard = 5 => "BLKIF_OP_DISCARD",
            /// [`IndirectRequest`].
            Indirect = 6 => "BLKIF_OP_INDIRECT",
        }

        /// [`BlockResponse::status`].
        pub enum BlockStatus: i16 {
            /// Done.
            Okay = 0 => "BLKIF_RSP_OKAY",
            /// Failed.
            Error = -1 => "BLKIF_RSP_ERROR",
            /// The back end does not know the operation.
            NotSupported = -2 => "BLKIF_RSP_EOPNOTSUPP",
        }
    }

    numbers! {
        /// Bytes of a sector in requests.
        pub const SECTOR_SIZE: u32 = 512 => (absent "text of the protocol");
        /// Segments of a request that is not indirect.
        pub const MAX_SEGMENTS: usize = 11 => "BLKIF_MAX_SEGMENTS_PER_REQUEST";
        /// Frames of segments of an indirect request.
        pub const MAX_INDIRECT_FRAMES: usize = 8 => "BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST";
        /// Segments in a frame of an indirect request.
        pub const SEGMENTS_PER_FRAME: usize = 512 => "4096 / sizeof(struct blkif_request_segment)";
        /// Bytes of an entry of the ring.
        pub const ENTRY_SIZE: usize = 112 => "sizeof(union blkif_sring_entry)";
        /// Entries of a ring of one frame.
        pub const RING_ENTRIES: u32 = 32 => "__CONST_RING_SIZE(blkif, 4096)";
        /// Major number of the guest's disks in a `virtual-device` key; the disk is in bits 4 to 7, the
        /// partition below.
        pub const VIRTUAL_DISK_MAJOR: u32 = 202 => (absent "text of the protocol");
        /// Set in a `virtual-device` key whose disk is in bits 8 to 27 and partition below.
        pub const VIRTUAL_DISK_EXTENDED: u32 = 1 << 28 => (absent "text of the protocol");
    }

    flags! {
        /// The `info` key.
        pub struct DiskFlags: u32 {
            /// A CD-ROM.
            CDROM = 1 << 0 => "VDISK_CDROM",
            /// Media can be taken out.
            REMOVABLE = 1 << 1 => "VDISK_REMOVABLE",
            /// Cannot be written.
            READONLY = 1 << 2 => "VDISK_READONLY",
        }

        /// [`DiscardRequest::flag`].
        pub struct DiscardFlags: u8 {
            /// Nobody must be able to read it any more.
            SECURE = 1 << 0 => "BLKIF_DISCARD_SECURE",
        }
    }

    layout! {
        /// Consecutive sectors within one frame.
        pub struct Segment [8] "struct blkif_request_segment" {
            /// The frame.
            0 gref: GrantRef,
            /// First sector of the frame.
            4 first_sect: u8,
            /// Last sector of the frame.
            5 last_sect: u8,
            /// Zero.
            6 pad0: [u8; 2] = _,
        }

        /// Read, write, barrier or flush.
        pub struct BlockRequest [112] "struct blkif_request" {
            /// A [`BlockOperation`].
            0 operation: u8,
            /// Segments.
            1 nr_segments: u8,
            /// Which disk.
            2 handle: u16,
            /// Zero.
            4 pad0: [u8; 4] = _,
            /// The front end's number for this request.
            8 id: u64,
            /// First sector of the disk.
            16 sector_number: u64,
            /// The memory.
            24 seg: [Segment; MAX_SEGMENTS],
        }

        /// Sectors that nobody needs any more.
        pub struct DiscardRequest [32] "struct blkif_request_discard" {
            /// [`BlockOperation::Discard`].
            0 operation: u8,
            /// Flags.
            1 flag: DiscardFlags,
            /// Which disk.
            2 handle: u16,
            /// Zero.
            4 pad0: [u8; 4] = _,
            /// The front end's number for this request.
            8 id: u64,
            /// First sector of the disk.
            16 sector_number: u64,
            /// Sectors.
            24 nr_sectors: u64,
        }

        /// Read or write with many segments, which lie in frames of their own.
        pub struct IndirectRequest [64] "struct blkif_request_indirect" {
            /// [`BlockOperation::Indirect`].
            0 operation: u8,
            /// [`BlockOperation::Read`] or [`BlockOperation::Write`].
            1 indirect_op: u8,
            /// Segments.
            2 nr_segments: u16,
            /// Zero.
            4 pad0: [u8; 4] = _,
            /// The front end's number for this request.
            8 id: u64,
            /// First sector of the disk.
            16 sector_number: u64,
            /// Which disk.
            24 handle: u16,
            /// Zero.
            26 pad1: [u8; 2] = _,
            /// Frames of [`Segment`]s.
            28 indirect_grefs: [GrantRef; MAX_INDIRECT_FRAMES],
            /// Zero.
            60 pad2: [u8; 4] = _,
        }

        /// The answer to any request.
        pub struct BlockResponse [16] "struct blkif_response" {
            /// The request's number.
            0 id: u64,
            /// The request's operation.
            8 operation: u8,
            /// Zero.
            9 pad0: u8 = _,
            /// A [`BlockStatus`].
            10 status: i16,
            /// Zero.
            12 pad1: [u8; 4] = _,
        }
    }
}
