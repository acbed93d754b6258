//! Machine-check telemetry for the hardware domain.
//!
//! A fetched record is a [`McInfo`]: a count and entries, each beginning with an [`EntryHeader`].

use crate::bitmap::Bitmap;
use crate::ids::{DomId, Vaddr};
use crate::payload::Payload;

abi! {
    headers ["xen/arch-x86/xen-mca.h"];

    enumeration! {
        /// [`McOperation::cmd`].
        pub enum McOp: u32 {
            /// [`Fetch`].
            Fetch = 1 => "XEN_MC_fetch",
            /// [`NotifyDomain`].
            NotifyDomain = 2 => "XEN_MC_notifydomain",
            /// [`PhysCpuInfo`].
            PhysCpuInfo = 3 => "XEN_MC_physcpuinfo",
            /// [`MsrInject`].
            MsrInject = 4 => "XEN_MC_msrinject",
            /// [`MceInject`].
            MceInject = 5 => "XEN_MC_mceinject",
            /// [`InjectV2`].
            InjectV2 = 6 => "XEN_MC_inject_v2",
        }

        /// [`EntryHeader::entry_type`].
        pub enum EntryType: u16 {
            /// [`GlobalEntry`].
            Global = 0 => "MC_TYPE_GLOBAL",
            /// [`BankEntry`].
            Bank = 1 => "MC_TYPE_BANK",
            /// [`ExtendedEntry`].
            Extended = 2 => "MC_TYPE_EXTENDED",
            /// [`RecoveryEntry`].
            Recovery = 3 => "MC_TYPE_RECOVERY",
        }
    }

    numbers! {
        /// [`McOperation::interface_version`]; another one is refused with `EACCES`.
        pub const INTERFACE_VERSION: u32 = 0x01EC_C003 => "XEN_MCA_INTERFACE_VERSION";
        /// No vCPU to name.
        pub const VCPU_INVALID: u16 = 0xFFFF => "XEN_MC_VCPUID_INVALID";
        /// Words of a record's entries.
        pub const INFO_WORDS: usize = 95 => "(MCINFO_MAXSIZE - 1) / 8";
        /// MSRs of an [`ExtendedEntry`].
        pub const NR_EXTENDED_MSRS: usize = 32 => "sizeof(((struct mcinfo_extended *)0)->mc_msr) / sizeof(struct mcinfo_msr)";
        /// MSRs of a [`MsrInject`].
        pub const NR_INJECTED_MSRS: usize = 8 => "MC_MSRINJ_MAXMSRS";
        /// MSRs of a [`LogicalCpu`].
        pub const NR_CPU_MSRS: usize = 8 => "__MC_MSR_ARRAYSIZE";
        /// Feature words of a [`LogicalCpu`].
        pub const NR_CPU_CAPS: usize = 7 => "MC_NCAPS";
        /// Low bits of [`InjectV2::flags`]: which kind.
        pub const INJECT_TYPE_MASK: u32 = 7 => "XEN_MC_INJECT_TYPE_MASK";
        /// Kind of [`InjectV2`]: machine check.
        pub const INJECT_TYPE_MCE: u32 = 0 => "XEN_MC_INJECT_TYPE_MCE";
        /// Kind of [`InjectV2`]: corrected machine-check interrupt.
        pub const INJECT_TYPE_CMCI: u32 = 1 => "XEN_MC_INJECT_TYPE_CMCI";
        /// Kind of [`InjectV2`]: local machine check.
        pub const INJECT_TYPE_LMCE: u32 = 2 => "XEN_MC_INJECT_TYPE_LMCE";
        /// [`InjectV2::flags`]: to all processors.
        pub const INJECT_CPU_BROADCAST: u32 = 8 => "XEN_MC_INJECT_CPU_BROADCAST";
    }

    flags! {
        /// [`Fetch::flags`] on the way in.
        pub struct FetchFlags: u32 {
            /// Telemetry that can wait.
            NONURGENT = 1 << 0 => "XEN_MC_NONURGENT",
            /// Telemetry that cannot wait.
            URGENT = 1 << 1 => "XEN_MC_URGENT",
            /// The record with that number has been handled.
            ACK = 1 << 2 => "XEN_MC_ACK",
        }

        /// [`Fetch::flags`] and [`NotifyDomain::flags`] on the way out. Empty: done.
        pub struct McResult: u32 {
            /// Reading failed.
            FETCH_FAILED = 1 << 0 => "XEN_MC_FETCHFAILED",
            /// There is none.
            NO_DATA = 1 << 1 => "XEN_MC_NODATA",
            /// No such record.
            NO_MATCH = 1 << 2 => "XEN_MC_NOMATCH",
            /// The domain has no handler.
            CANNOT_HANDLE = 1 << 3 => "XEN_MC_CANNOTHANDLE",
            /// Not delivered.
            NOT_DELIVERED = 1 << 4 => "XEN_MC_NOTDELIVERED",
        }

        /// [`GlobalEntry::mc_flags`].
        pub struct GlobalFlags: u32 {
            /// Corrected by hardware.
            CORRECTABLE = 1 << 0 => "MC_FLAG_CORRECTABLE",
            /// Not corrected.
            UNCORRECTABLE = 1 << 1 => "MC_FLAG_UNCORRECTABLE",
            /// Software can go on.
            RECOVERABLE = 1 << 2 => "MC_FLAG_RECOVERABLE",
            /// Found by looking.
            POLLED = 1 << 3 => "MC_FLAG_POLLED",
            /// Found after a reset.
            RESET = 1 << 4 => "MC_FLAG_RESET",
            /// Found by a corrected machine-check interrupt.
            CMCI = 1 << 5 => "MC_FLAG_CMCI",
            /// Found by an exception.
            MCE = 1 << 6 => "MC_FLAG_MCE",
        }

        /// [`McInfo::flags`].
        pub struct McInfoFlags: u32 {
            /// There was no room for all entries.
            INCOMPLETE = 1 << 0 => "MCINFO_FLAGS_UNCOMPLETE",
        }

        /// [`RecoveryEntry::action_flags`].
        pub struct RecoveryFlags: u8 {
            /// Done.
            RECOVERED = 1 << 0 => "REC_ACTION_RECOVERED",
            /// Nothing could be done.
            NONE = 1 << 1 => "REC_ACTION_NONE",
            /// Only a reset helps.
            NEED_RESET = 1 << 2 => "REC_ACTION_NEED_RESET",
        }

        /// [`RecoveryEntry::action_types`].
        pub struct RecoveryTypes: u8 {
            /// [`PageOffline`].
            PAGE_OFFLINE = 1 << 0 => "MC_ACTION_PAGE_OFFLINE",
            /// [`CpuOffline`].
            CPU_OFFLINE = 1 << 1 => "MC_ACTION_CPU_OFFLINE",
            /// Part of a cache was switched off.
            CACHE_SHRINK = 1 << 2 => "MC_ACTION_CACHE_SHRINK",
        }

        /// [`MsrInject::flags`].
        pub struct MsrInjectFlags: u32 {
            /// Answer reads with these values, do not write them.
            INTERPOSE = 1 << 0 => "MC_MSRINJ_F_INTERPOSE",
            /// The address is a guest's.
            GPADDR = 1 << 1 => "MC_MSRINJ_F_GPADDR",
        }
    }

    layout! {
        /// The argument of the hypercall.
        pub struct McOperation [152] "struct xen_mc" {
            /// A [`McOp`].
            0 cmd: u32,
            /// [`INTERFACE_VERSION`].
            4 interface_version: u32,
            /// What the command needs.
            8 u: Payload<18>,
        }

        /// Reads or acknowledges a record.
        pub struct Fetch [24] "struct xen_mc_fetch" {
            /// In: [`FetchFlags`]. Out: [`McResult`].
            0 flags: u32,
            /// Zero.
            4 pad0: u32 = "_pad0",
            /// Out: number of the record. In, to acknowledge: the same.
            8 fetch_id: u64,
            /// Where to write a [`McInfo`].
            16 data: Vaddr,
        }

        /// Tells a domain.
        pub struct NotifyDomain [8] "struct xen_mc_notifydomain" {
            /// Which.
            0 mc_domid: u16,
            /// Which vCPU.
            2 mc_vcpuid: u16,
            /// Out: how it went.
            4 flags: McResult,
        }

        /// Describes processors.
        pub struct PhysCpuInfo [16] "struct xen_mc_physcpuinfo" {
            /// In: room. Out: how many.
            0 ncpus: u32,
            /// Zero.
            4 pad0: u32 = "_pad0",
            /// Where to write [`LogicalCpu`]s; 0 to ask for their number.
            8 info: Vaddr,
        }

        /// Writes MSRs, for tests.
        pub struct MsrInject [144] "struct xen_mc_msrinject" {
            /// Processor.
            0 cpunr: u32 = "mcinj_cpunr",
            /// Flags.
            4 flags: MsrInjectFlags = "mcinj_flags",
            /// How many.
            8 count: u32 = "mcinj_count",
            /// Whose address.
            12 domid: DomId = "mcinj_domid",
            /// Zero.
            14 pad0: u16 = "_pad0",
            /// The MSRs.
            16 msr: [McMsr; NR_INJECTED_MSRS] = "mcinj_msr",
        }

        /// Raises a machine check, for tests.
        pub struct MceInject [4] "struct xen_mc_mceinject" {
            /// Processor.
            0 cpunr: u32 = "mceinj_cpunr",
        }

        /// Raises a machine check or an interrupt on some processors, for tests.
        pub struct InjectV2 [24] "struct xen_mc_inject_v2" {
            /// Kind, and whether to all.
            0 flags: u32,
            /// Zero.
            4 pad0: [u8; 4] = _,
            /// Which processors.
            8 cpumap: Bitmap,
        }

        /// A record.
        pub struct McInfo [768] "struct mc_info" {
            /// Entries.
            0 nr_entries: u32 = "mi_nentries",
            /// Flags.
            4 flags: McInfoFlags,
            /// The entries, one behind the other.
            8 data: [u64; INFO_WORDS] = "mi_data",
        }

        /// How each entry begins.
        pub struct EntryHeader [4] "struct mcinfo_common" {
            /// An [`EntryType`].
            0 entry_type: u16 = "type",
            /// Bytes, header included.
            2 size: u16,
        }

        /// Which processor, and its global status.
        pub struct GlobalEntry [32] "struct mcinfo_global" {
            /// Header.
            0 header: EntryHeader = "common",
            /// Domain that ran.
            4 mc_domid: u16,
            /// vCPU that ran.
            6 mc_vcpuid: u16,
            /// Socket.
            8 mc_socketid: u32,
            /// Core in the socket.
            12 mc_coreid: u16,
            /// Thread in the core.
            14 mc_core_threadid: u16,
            /// APIC number.
            16 mc_apicid: u32,
            /// Flags.
            20 mc_flags: GlobalFlags,
            /// Global status register.
            24 mc_gstatus: u64,
        }

        /// One bank of registers.
        pub struct BankEntry [48] "struct mcinfo_bank" {
            /// Header.
            0 header: EntryHeader = "common",
            /// Which.
            4 mc_bank: u16,
            /// Owner of the address.
            6 mc_domid: u16,
            /// Status register.
            8 mc_status: u64,
            /// Address register.
            16 mc_addr: u64,
            /// Miscellaneous register.
            24 mc_misc: u64,
            /// Second control register.
            32 mc_ctrl2: u64,
            /// Time stamp counter.
            40 mc_tsc: u64,
        }

        /// An MSR.
        pub struct McMsr [16] "struct mcinfo_msr" {
            /// Which.
            0 reg: u64,
            /// Content.
            8 value: u64,
        }

        /// Registers beyond the banks.
        pub struct ExtendedEntry [520] "struct mcinfo_extended" {
            /// Header.
            0 header: EntryHeader = "common",
            /// How many.
            4 mc_msrs: u32,
            /// The registers.
            8 mc_msr: [McMsr; NR_EXTENDED_MSRS],
        }

        /// What was done about it.
        pub struct RecoveryEntry [24] "struct mcinfo_recovery" {
            /// Header.
            0 header: EntryHeader = "common",
            /// Bank.
            4 mc_bank: u16,
            /// How it went.
            6 action_flags: RecoveryFlags,
            /// What it was.
            7 action_types: RecoveryTypes,
            /// A [`PageOffline`] or a [`CpuOffline`].
            8 action_info: Payload<2>,
        }

        /// A frame that is no longer used.
        pub struct PageOffline [16] "struct page_offline_action" {
            /// Which.
            0 mfn: u64,
            /// How far it got.
            8 status: u64,
        }

        /// A processor that is no longer used.
        pub struct CpuOffline [8] "struct cpu_offline_action" {
            /// Socket.
            0 mc_socketid: u32,
            /// Core in the socket.
            4 mc_coreid: u16,
            /// Thread in the core.
            6 mc_core_threadid: u16,
        }

        /// A processor.
        pub struct LogicalCpu [304] "struct mcinfo_logical_cpu" {
            /// The hypervisor's number.
            0 mc_cpunr: u32,
            /// Socket.
            4 mc_chipid: u32,
            /// Core in the socket.
            8 mc_coreid: u16,
            /// Thread in the core.
            10 mc_threadid: u16,
            /// APIC number.
            12 mc_apicid: u32,
            /// Cluster.
            16 mc_clusterid: u32,
            /// Cores of the socket.
            20 mc_ncores: u32,
            /// Cores of the socket in use.
            24 mc_ncores_active: u32,
            /// Threads of the core.
            28 mc_nthreads: u32,
            /// Highest CPUID leaf.
            32 mc_cpuid_level: i32,
            /// Family.
            36 mc_family: u32,
            /// Vendor number.
            40 mc_vendor: u32,
            /// Model.
            44 mc_model: u32,
            /// Stepping.
            48 mc_step: u32,
            /// Vendor text.
            52 mc_vendorid: [u8; 16],
            /// Brand text.
            68 mc_brandid: [u8; 64],
            /// Feature words.
            132 mc_cpu_caps: [u32; NR_CPU_CAPS],
            /// KiB of cache.
            160 mc_cache_size: u32,
            /// Bytes of a cache line.
            164 mc_cache_alignment: u32,
            /// MSRs that follow.
            168 mc_nmsrvals: i32,
            /// Zero.
            172 pad0: [u8; 4] = _,
            /// MSRs.
            176 mc_msrvalues: [McMsr; NR_CPU_MSRS],
        }
    }
}
