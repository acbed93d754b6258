//! Grant entries: what lies in the frames that hypervisor and guest share.
//!
//! The operations on them are in [`grant_op`](crate::grant_op).

use crate::ids::{DomId, GrantRef};

abi! {
    headers ["xen/grant_table.h"];

    numbers! {
        /// Entries at the table's start that the domain builder may fill.
        pub const NR_RESERVED_ENTRIES: u32 = 8 => "GNTTAB_NR_RESERVED_ENTRIES";
        /// Reserved entry for the console ring.
        pub const RESERVED_CONSOLE: u32 = 0 => "GNTTAB_RESERVED_CONSOLE";
        /// Reserved entry for the store ring.
        pub const RESERVED_STORE: u32 = 1 => "GNTTAB_RESERVED_XENSTORE";
        /// Version 1 entries in a frame.
        pub const ENTRIES_PER_FRAME_V1: u32 = 512 => (absent "follows from the sizes of a frame and of an entry");
        /// Version 2 entries in a frame.
        pub const ENTRIES_PER_FRAME_V2: u32 = 256 => (absent "follows from the sizes of a frame and of an entry");
        /// Status words (version 2) in a frame.
        pub const STATUSES_PER_FRAME: u32 = 2048 => (absent "follows from the sizes of a frame and of a word");
        /// The bits of an entry's flags that hold its [`EntryType`].
        pub const TYPE_MASK: u16 = 3 => "GTF_type_mask";
        /// Shared frames that a domain may have, unless configured.
        pub const DEFAULT_MAX_FRAMES: u32 = 64 => (absent "default of a configuration value");
        /// Frames of mapping handles that a domain may have, unless configured.
        pub const DEFAULT_MAX_MAPTRACK_FRAMES: u32 = 1024 => (absent "default of a configuration value");
    }

    enumeration! {
        /// What an entry grants.
        pub enum EntryType: u16 {
            /// Nothing.
            Invalid = 0 => "GTF_invalid",
            /// Access to a frame.
            PermitAccess = 1 => "GTF_permit_access",
            /// Transfer of a frame to this guest.
            AcceptTransfer = 2 => "GTF_accept_transfer",
            /// Access through another domain's grant (version 2; not offered).
            Transitive = 3 => "GTF_transitive",
        }
    }

    flags! {
        /// Bits of an entry that permits access, beside its type.
        pub struct AccessFlags: u16 {
            /// Guest: reads only.
            READONLY = 1 << 2 => "GTF_readonly",
            /// Hypervisor: in use for reading.
            READING = 1 << 3 => "GTF_reading",
            /// Hypervisor: in use for writing.
            WRITING = 1 << 4 => "GTF_writing",
            /// Guest: cache attribute of the mappings.
            PWT = 1 << 5 => "GTF_PWT",
            /// Guest: cache attribute of the mappings.
            PCD = 1 << 6 => "GTF_PCD",
            /// Guest: cache attribute of the mappings.
            PAT = 1 << 7 => "GTF_PAT",
            /// Guest: only a part of the frame, by copy (version 2).
            SUB_PAGE = 1 << 8 => "GTF_sub_page",
        }

        /// Bits of an entry that accepts a transfer, beside its type.
        pub struct TransferFlags: u16 {
            /// Hypervisor: the transfer is under way; the guest leaves the entry alone.
            COMMITTED = 1 << 2 => "GTF_transfer_committed",
            /// Hypervisor: the frame number has been written.
            COMPLETED = 1 << 3 => "GTF_transfer_completed",
        }
    }

    layout! {
        /// Version 1 entry. `flags` and `domid` change together by a 32-bit compare-and-exchange.
        pub struct GrantEntryV1 [8] "struct grant_entry_v1" {
            /// [`EntryType`] in [`TYPE_MASK`]; [`AccessFlags`] or [`TransferFlags`] above.
            0 flags: u16,
            /// Who is granted something.
            2 domid: DomId,
            /// Machine frame number; 32 bits, so the frame lies below 16 TiB.
            4 frame: u32,
        }

        /// Version 2 entry for a whole frame.
        pub struct GrantEntryV2FullPage [16] "__typeof__(((union grant_entry_v2 *)0)->full_page)" {
            /// As in version 1, without the bits that the status word holds.
            0 flags: u16 = "hdr.flags",
            /// Who is granted something.
            2 domid: DomId = "hdr.domid",
            /// Zero.
            4 pad0: u32,
            /// Machine frame number.
            8 frame: u64,
        }

        /// Version 2 entry for a part of a frame.
        pub struct GrantEntryV2SubPage [16] "__typeof__(((union grant_entry_v2 *)0)->sub_page)" {
            /// As in version 1, with [`AccessFlags::SUB_PAGE`].
            0 flags: u16 = "hdr.flags",
            /// Who is granted something.
            2 domid: DomId = "hdr.domid",
            /// First byte.
            4 page_off: u16,
            /// Bytes.
            6 length: u16,
            /// Machine frame number.
            8 frame: u64,
        }

        /// Version 2 entry that leads to another grant.
        pub struct GrantEntryV2Transitive [12] "__typeof__(((union grant_entry_v2 *)0)->transitive)" {
            /// As in version 1.
            0 flags: u16 = "hdr.flags",
            /// Who is granted something.
            2 domid: DomId = "hdr.domid",
            /// Owner of the other grant.
            4 trans_domid: DomId,
            /// Zero.
            6 pad0: u16,
            /// The other grant.
            8 gref: GrantRef,
        }
    }
}
