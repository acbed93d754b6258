//! Grant operations: arguments are the command, an array of the command's structure and its length.
//! Each element has its own status.

use crate::ids::{DomId, GrantRef, Mfn, Vaddr};

abi! {
    headers ["xen/grant_table.h"];

    enumeration! {
        /// First argument of the hypercall.
        pub enum GrantTableOp: u32 {
            /// [`MapGrantRef`].
            MapGrantRef = 0 => "GNTTABOP_map_grant_ref",
            /// [`UnmapGrantRef`].
            UnmapGrantRef = 1 => "GNTTABOP_unmap_grant_ref",
            /// [`SetupTable`].
            SetupTable = 2 => "GNTTABOP_setup_table",
            /// [`DumpTable`].
            DumpTable = 3 => "GNTTABOP_dump_table",
            /// [`Transfer`].
            Transfer = 4 => "GNTTABOP_transfer",
            /// [`Copy`](struct@Copy).
            Copy = 5 => "GNTTABOP_copy",
            /// [`QuerySize`].
            QuerySize = 6 => "GNTTABOP_query_size",
            /// [`UnmapAndReplace`].
            UnmapAndReplace = 7 => "GNTTABOP_unmap_and_replace",
            /// [`SetVersion`].
            SetVersion = 8 => "GNTTABOP_set_version",
            /// [`GetStatusFrames`].
            GetStatusFrames = 9 => "GNTTABOP_get_status_frames",
            /// [`GetVersion`].
            GetVersion = 10 => "GNTTABOP_get_version",
            /// [`SwapGrantRef`].
            SwapGrantRef = 11 => "GNTTABOP_swap_grant_ref",
            /// [`CacheFlush`].
            CacheFlush = 12 => "GNTTABOP_cache_flush",
        }

        /// Result of one element.
        pub enum GrantStatus: i16 {
            /// Done.
            Okay = 0 => "GNTST_okay",
            /// Failed, no better reason.
            GeneralError = -1 => "GNTST_general_error",
            /// No such domain.
            BadDomain = -2 => "GNTST_bad_domain",
            /// No such reference, or it does not fit the request.
            BadGntref = -3 => "GNTST_bad_gntref",
            /// No such handle, or it does not fit the request.
            BadHandle = -4 => "GNTST_bad_handle",
            /// Virtual address cannot be mapped.
            BadVirtAddr = -5 => "GNTST_bad_virt_addr",
            /// Device address does not fit the handle.
            BadDevAddr = -6 => "GNTST_bad_dev_addr",
            /// No space in the I/O translation.
            NoDeviceSpace = -7 => "GNTST_no_device_space",
            /// Not allowed.
            PermissionDenied = -8 => "GNTST_permission_denied",
            /// The frame does not fit the request.
            BadPage = -9 => "GNTST_bad_page",
            /// Offset and length leave the frame.
            BadCopyArg = -10 => "GNTST_bad_copy_arg",
            /// The frame's address is too large for the receiver.
            AddressTooBig = -11 => "GNTST_address_too_big",
            /// Not now; try again.
            Eagain = -12 => "GNTST_eagain",
            /// No free handle or table space.
            NoSpace = -13 => "GNTST_no_space",
        }
    }

    flags! {
        /// Flags of [`MapGrantRef`].
        pub struct MapFlags: u32 {
            /// Map for devices.
            DEVICE_MAP = 1 << 0 => "GNTMAP_device_map",
            /// Map for CPUs.
            HOST_MAP = 1 << 1 => "GNTMAP_host_map",
            /// Without write access.
            READONLY = 1 << 2 => "GNTMAP_readonly",
            /// A user page, not a kernel page.
            APPLICATION_MAP = 1 << 3 => "GNTMAP_application_map",
            /// `host_addr` is the machine address of the level-1 entry, not a virtual address.
            CONTAINS_PTE = 1 << 4 => "GNTMAP_contains_pte",
            /// Goes to bit 9 of the level-1 entry.
            GUEST_AVAIL0 = 1 << 16 => "1u << _GNTMAP_guest_avail0",
            /// Goes to bit 10 of the level-1 entry.
            GUEST_AVAIL1 = 1 << 17 => "2u << _GNTMAP_guest_avail0",
            /// Goes to bit 11 of the level-1 entry.
            GUEST_AVAIL2 = 1 << 18 => "4u << _GNTMAP_guest_avail0",
        }

        /// Flags of [`Copy`](struct@Copy).
        pub struct CopyFlags: u16 {
            /// The source is a grant.
            SOURCE_GREF = 1 << 0 => "GNTCOPY_source_gref",
            /// The destination is a grant.
            DEST_GREF = 1 << 1 => "GNTCOPY_dest_gref",
        }

        /// Operation of [`CacheFlush`].
        pub struct CacheOp: u32 {
            /// Write back.
            CLEAN = 1 << 0 => "GNTTAB_CACHE_CLEAN",
            /// Invalidate.
            INVALIDATE = 1 << 1 => "GNTTAB_CACHE_INVAL",
            /// The source is a grant.
            SOURCE_GREF = 1 << 31 => "GNTTAB_CACHE_SOURCE_GREF",
        }
    }

    numbers! {
        /// The bits of [`MapFlags`] that go to the available bits of the level-1 entry.
        pub const GUEST_AVAIL_MASK: u32 = 0xFFFF_0000 => "GNTMAP_guest_avail_mask";
        /// Where those bits start.
        pub const GUEST_AVAIL_SHIFT: u32 = 16 => "_GNTMAP_guest_avail0";
    }

    layout! {
        /// Maps a grant.
        pub struct MapGrantRef [32] "struct gnttab_map_grant_ref" {
            /// Virtual address, or machine address of a level-1 entry.
            0 host_addr: u64,
            /// Flags.
            8 flags: MapFlags,
            /// The grant.
            12 gref: GrantRef = "ref",
            /// The granting domain.
            16 dom: DomId,
            /// Out: a [`GrantStatus`].
            18 status: i16,
            /// Out: names the mapping.
            20 handle: u32,
            /// Out: machine address of the frame.
            24 dev_bus_addr: u64,
        }

        /// Ends a mapping.
        pub struct UnmapGrantRef [24] "struct gnttab_unmap_grant_ref" {
            /// As given when mapped; zero leaves the CPU mapping.
            0 host_addr: u64,
            /// As returned when mapped; zero leaves the device mapping.
            8 dev_bus_addr: u64,
            /// The mapping.
            16 handle: u32,
            /// Out: a [`GrantStatus`].
            20 status: i16,
            /// Zero.
            22 pad0: [u8; 2] = _,
        }

        /// Grows the table and lists its frames.
        pub struct SetupTable [24] "struct gnttab_setup_table" {
            /// Whose table.
            0 dom: DomId,
            /// Zero.
            2 pad0: [u8; 2] = _,
            /// Wanted frames.
            4 nr_frames: u32,
            /// Out: a [`GrantStatus`].
            8 status: i16,
            /// Zero.
            10 pad1: [u8; 6] = _,
            /// Where to write frame numbers, 8 bytes each.
            16 frame_list: Vaddr,
        }

        /// Prints a table to the hypervisor's console.
        pub struct DumpTable [4] "struct gnttab_dump_table" {
            /// Whose table.
            0 dom: DomId,
            /// Out: a [`GrantStatus`].
            2 status: i16,
        }

        /// Gives a frame away.
        pub struct Transfer [24] "struct gnttab_transfer" {
            /// The frame.
            0 mfn: Mfn,
            /// The receiver.
            8 domid: DomId,
            /// Zero.
            10 pad0: [u8; 2] = _,
            /// The receiver's entry.
            12 gref: GrantRef = "ref",
            /// Out: a [`GrantStatus`].
            16 status: i16,
            /// Zero.
            18 pad1: [u8; 6] = _,
        }

        /// One end of a [`Copy`](struct@Copy).
        pub struct CopyPtr [16] "struct gnttab_copy_ptr" {
            /// A [`GrantRef`] in the low 32 bits, or a frame number of the caller's domain.
            0 frame: u64 = "u.gmfn",
            /// Owner of the frame.
            8 domid: DomId,
            /// Bytes into the frame.
            10 offset: u16,
            /// Zero.
            12 pad0: [u8; 4] = _,
        }

        /// Copies bytes within one frame to within another.
        pub struct Copy [40] "struct gnttab_copy" {
            /// From.
            0 source: CopyPtr,
            /// To.
            16 dest: CopyPtr,
            /// Bytes.
            32 len: u16,
            /// Which ends are grants.
            34 flags: CopyFlags,
            /// Out: a [`GrantStatus`].
            36 status: i16,
            /// Zero.
            38 pad0: [u8; 2] = _,
        }

        /// Asks for the size of a table.
        pub struct QuerySize [16] "struct gnttab_query_size" {
            /// Whose table.
            0 dom: DomId,
            /// Zero.
            2 pad0: [u8; 2] = _,
            /// Out: frames now.
            4 nr_frames: u32,
            /// Out: frames at most.
            8 max_nr_frames: u32,
            /// Out: a [`GrantStatus`].
            12 status: i16,
            /// Zero.
            14 pad1: [u8; 2] = _,
        }

        /// Ends a mapping and moves another level-1 entry into its place.
        pub struct UnmapAndReplace [24] "struct gnttab_unmap_and_replace" {
            /// As given when mapped.
            0 host_addr: u64,
            /// Virtual address whose entry is moved; zero clears.
            8 new_addr: u64,
            /// The mapping.
            16 handle: u32,
            /// Out: a [`GrantStatus`].
            20 status: i16,
            /// Zero.
            22 pad0: [u8; 2] = _,
        }

        /// Chooses the format of the caller's table.
        pub struct SetVersion [4] "struct gnttab_set_version" {
            /// In: wanted. Out: in effect.
            0 version: u32,
        }

        /// Lists the frames of status words (version 2).
        pub struct GetStatusFrames [16] "struct gnttab_get_status_frames" {
            /// Wanted frames.
            0 nr_frames: u32,
            /// Whose table.
            4 dom: DomId,
            /// Out: a [`GrantStatus`].
            6 status: i16,
            /// Where to write frame numbers, 8 bytes each.
            8 frame_list: Vaddr,
        }

        /// Asks for the format of a table.
        pub struct GetVersion [8] "struct gnttab_get_version" {
            /// Whose table.
            0 dom: DomId,
            /// Zero.
            2 pad: u16,
            /// Out: 1 or 2.
            4 version: u32,
        }

        /// Exchanges two entries.
        pub struct SwapGrantRef [12] "struct gnttab_swap_grant_ref" {
            /// One.
            0 ref_a: GrantRef,
            /// Other.
            4 ref_b: GrantRef,
            /// Out: a [`GrantStatus`].
            8 status: i16,
            /// Zero.
            10 pad0: [u8; 2] = _,
        }

        /// Cache maintenance of a granted page.
        pub struct CacheFlush [16] "struct gnttab_cache_flush" {
            /// Machine address, or a [`GrantRef`] in the low 32 bits.
            0 address: u64 = "a.dev_bus_addr",
            /// First byte.
            8 offset: u16,
            /// Bytes.
            10 length: u16,
            /// What to do.
            12 op: CacheOp,
        }
    }
}

impl CopyPtr {
    /// The grant, when the flags say that this end is one.
    #[must_use]
    pub const fn gref(&self) -> GrantRef {
        GrantRef(self.frame as u32)
    }

    /// The frame, when the flags say that this end is not a grant.
    #[must_use]
    pub const fn mfn(&self) -> Mfn {
        Mfn(self.frame)
    }
}
