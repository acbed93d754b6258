//! The stream in which a paravirtualized domain is saved and migrated, version 3.
//!
//! An [`ImageHeader`], a [`DomainHeader`], then records: each a [`RecordHeader`] and a body that is padded
//! with zeroes to a multiple of 8 bytes. All but the image header is little-endian.
//!
//! Order: [`X86PvInfo`](RecordType::X86PvInfo), processor policies,
//! [`StaticDataEnd`](RecordType::StaticDataEnd), [`X86PvP2mFrames`](RecordType::X86PvP2mFrames), rounds of
//! [`PageData`](RecordType::PageData), [`X86TscInfo`](RecordType::X86TscInfo),
//! [`SharedInfo`](RecordType::SharedInfo), the vCPUs' records, [`End`](RecordType::End).

use zerocopy::big_endian::{U16, U32, U64};

abi! {
    headers ["xen/domctl.h"];

    enumeration! {
        /// [`RecordHeader::record_type`].
        pub enum RecordType: u32 {
            /// Nothing follows.
            End = 0x00 => (absent "the stream is not part of the headers"),
            /// [`PageDataHeader`], entries of 8 bytes (frame number and [`PageType`]), contents.
            PageData = 0x01 => (absent "the stream is not part of the headers"),
            /// [`PvInfo`].
            X86PvInfo = 0x02 => (absent "the stream is not part of the headers"),
            /// [`P2mFramesHeader`], frame numbers of 8 bytes.
            X86PvP2mFrames = 0x03 => (absent "the stream is not part of the headers"),
            /// [`VcpuHeader`], a [`VcpuGuestContext`](crate::vcpu_context::VcpuGuestContext).
            X86PvVcpuBasic = 0x04 => (absent "the stream is not part of the headers"),
            /// [`VcpuHeader`], an [`ExtVcpuContext`](crate::domctl_vcpu::ExtVcpuContext).
            X86PvVcpuExtended = 0x05 => (absent "the stream is not part of the headers"),
            /// [`VcpuHeader`], what
            /// [`VcpuExtendedState::buffer`](crate::domctl_vcpu::VcpuExtendedState::buffer) had.
            X86PvVcpuXsave = 0x06 => (absent "the stream is not part of the headers"),
            /// The shared frame.
            SharedInfo = 0x07 => (absent "the stream is not part of the headers"),
            /// [`TscInfo`].
            X86TscInfo = 0x08 => (absent "the stream is not part of the headers"),
            /// For hardware-assisted guests.
            HvmContext = 0x09 => (absent "the stream is not part of the headers"),
            /// For hardware-assisted guests.
            HvmParams = 0x0A => (absent "the stream is not part of the headers"),
            /// Withdrawn.
            Toolstack = 0x0B => (absent "the stream is not part of the headers"),
            /// [`VcpuHeader`], a list of [`VcpuMsr`](crate::domctl_vcpu::VcpuMsr).
            X86PvVcpuMsrs = 0x0C => (absent "the stream is not part of the headers"),
            /// All memory comes once more, to be compared.
            Verify = 0x0D => (absent "the stream is not part of the headers"),
            /// The domain could go on from here.
            Checkpoint = 0x0E => (absent "the stream is not part of the headers"),
            /// Back channel: frames that were written.
            CheckpointDirtyPfnList = 0x0F => (absent "the stream is not part of the headers"),
            /// What must be known before memory is complete.
            StaticDataEnd = 0x10 => (absent "the stream is not part of the headers"),
            /// A list of [`CpuidLeaf`](crate::cpu_policy::CpuidLeaf).
            X86CpuidPolicy = 0x11 => (absent "the stream is not part of the headers"),
            /// A list of [`MsrEntry`](crate::cpu_policy::MsrEntry).
            X86MsrPolicy = 0x12 => (absent "the stream is not part of the headers"),
        }

        /// [`DomainHeader::domain_type`].
        pub enum DomainType: u32 {
            /// Paravirtualized.
            X86Pv = 1 => (absent "the stream is not part of the headers"),
            /// Hardware-assisted.
            X86Hvm = 2 => (absent "the stream is not part of the headers"),
        }

        /// Upper four bits of an entry of [`RecordType::PageData`].
        pub enum PageType: u8 {
            /// No page table.
            Normal = 0x0 => "XEN_DOMCTL_PFINFO_NOTAB >> XEN_DOMCTL_PFINFO_LTAB_SHIFT",
            /// Level-1 table.
            L1 = 0x1 => "XEN_DOMCTL_PFINFO_L1TAB >> XEN_DOMCTL_PFINFO_LTAB_SHIFT",
            /// Level-2 table.
            L2 = 0x2 => "XEN_DOMCTL_PFINFO_L2TAB >> XEN_DOMCTL_PFINFO_LTAB_SHIFT",
            /// Level-3 table.
            L3 = 0x3 => "XEN_DOMCTL_PFINFO_L3TAB >> XEN_DOMCTL_PFINFO_LTAB_SHIFT",
            /// Level-4 table.
            L4 = 0x4 => "XEN_DOMCTL_PFINFO_L4TAB >> XEN_DOMCTL_PFINFO_LTAB_SHIFT",
            /// Pinned level-1 table.
            PinnedL1 = 0x9 => "(XEN_DOMCTL_PFINFO_L1TAB | XEN_DOMCTL_PFINFO_LPINTAB) >> XEN_DOMCTL_PFINFO_LTAB_SHIFT",
            /// Pinned level-2 table.
            PinnedL2 = 0xA => "(XEN_DOMCTL_PFINFO_L2TAB | XEN_DOMCTL_PFINFO_LPINTAB) >> XEN_DOMCTL_PFINFO_LTAB_SHIFT",
            /// Pinned level-3 table.
            PinnedL3 = 0xB => "(XEN_DOMCTL_PFINFO_L3TAB | XEN_DOMCTL_PFINFO_LPINTAB) >> XEN_DOMCTL_PFINFO_LTAB_SHIFT",
            /// Pinned level-4 table.
            PinnedL4 = 0xC => "(XEN_DOMCTL_PFINFO_L4TAB | XEN_DOMCTL_PFINFO_LPINTAB) >> XEN_DOMCTL_PFINFO_LTAB_SHIFT",
            /// Broken memory; without a content.
            Broken = 0xD => "XEN_DOMCTL_PFINFO_BROKEN >> XEN_DOMCTL_PFINFO_LTAB_SHIFT",
            /// Memory without a content.
            AllocatedOnly = 0xE => "XEN_DOMCTL_PFINFO_XALLOC >> XEN_DOMCTL_PFINFO_LTAB_SHIFT",
            /// No memory; without a content.
            Invalid = 0xF => "XEN_DOMCTL_PFINFO_XTAB >> XEN_DOMCTL_PFINFO_LTAB_SHIFT",
        }
    }

    numbers! {
        /// [`ImageHeader::marker`].
        pub const MARKER: u64 = u64::MAX => (absent "the stream is not part of the headers");
        /// [`ImageHeader::id`]: four letters.
        pub const ID: u32 = 0x5845_4E46 => (absent "the stream is not part of the headers");
        /// [`ImageHeader::version`].
        pub const VERSION: u32 = 3 => (absent "the stream is not part of the headers");
        /// Set in [`ImageHeader::options`] when the stream is big-endian.
        pub const OPTION_BIG_ENDIAN: u16 = 1 => (absent "the stream is not part of the headers");
        /// Set in the type of a record that a reader may skip.
        pub const OPTIONAL_RECORD: u32 = 0x8000_0000 => (absent "the stream is not part of the headers");
        /// Bodies are padded to a multiple of this.
        pub const RECORD_ALIGN: u32 = 8 => (absent "the stream is not part of the headers");
        /// Where in an entry of [`RecordType::PageData`] the [`PageType`] starts.
        pub const PAGE_TYPE_SHIFT: u32 = 60 => (absent "the stream is not part of the headers");
        /// The bits of an entry of [`RecordType::PageData`] that hold a frame number.
        pub const PAGE_PFN_MASK: u64 = (1 << 52) - 1 => (absent "the stream is not part of the headers");
        /// [`PvInfo::guest_width`] of a 64-bit guest, bytes.
        pub const GUEST_WIDTH: u8 = 8 => (absent "the stream is not part of the headers");
        /// [`PvInfo::pt_levels`] of a 64-bit guest.
        pub const PT_LEVELS: u8 = 4 => (absent "the stream is not part of the headers");
    }

    layout! {
        /// How the stream begins. Big-endian.
        pub struct ImageHeader [24] (absent "the stream is not part of the headers") {
            /// [`MARKER`].
            0 marker: U64,
            /// [`ID`].
            8 id: U32,
            /// [`VERSION`].
            12 version: U32,
            /// 0, or [`OPTION_BIG_ENDIAN`].
            16 options: U16,
            /// Zero.
            18 pad0: [u8; 6] = _,
        }

        /// What is saved.
        pub struct DomainHeader [16] (absent "the stream is not part of the headers") {
            /// A [`DomainType`].
            0 domain_type: u32,
            /// log2 of the bytes of a frame.
            4 page_shift: u16,
            /// Zero.
            6 pad0: u16 = _,
            /// Version of the hypervisor, upper part.
            8 version_major: u32,
            /// Version of the hypervisor, lower part.
            12 version_minor: u32,
        }

        /// How a record begins.
        pub struct RecordHeader [8] (absent "the stream is not part of the headers") {
            /// A [`RecordType`].
            0 record_type: u32,
            /// Bytes of the body without its padding.
            4 length: u32,
        }

        /// How memory begins.
        pub struct PageDataHeader [8] (absent "the stream is not part of the headers") {
            /// Entries.
            0 count: u32,
            /// Zero.
            4 pad0: u32 = _,
        }

        /// What kind of guest.
        pub struct PvInfo [8] (absent "the stream is not part of the headers") {
            /// [`GUEST_WIDTH`].
            0 guest_width: u8,
            /// [`PT_LEVELS`].
            1 pt_levels: u8,
            /// Zero.
            2 pad0: [u8; 6] = _,
        }

        /// How the list of frames begins.
        pub struct P2mFramesHeader [8] (absent "the stream is not part of the headers") {
            /// First frame number that the list covers.
            0 start_pfn: u32,
            /// Last frame number that the list covers.
            4 end_pfn: u32,
        }

        /// How a vCPU's record begins.
        pub struct VcpuHeader [8] (absent "the stream is not part of the headers") {
            /// Which.
            0 vcpu_id: u32,
            /// Zero.
            4 pad0: u32 = _,
        }

        /// Time stamp counter.
        pub struct TscInfo [24] (absent "the stream is not part of the headers") {
            /// A [`TscMode`](crate::hypervisor_cpuid::TscMode).
            0 mode: u32,
            /// Frequency.
            4 khz: u32,
            /// Nanoseconds that the counter stands for.
            8 nsec: u64,
            /// How often the domain was restored.
            16 incarnation: u32,
            /// Zero.
            20 pad0: u32 = _,
        }
    }
}
