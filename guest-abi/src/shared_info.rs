//! The frame that hypervisor and guest share for events and time.

use crate::time::VcpuTimeInfo;

abi! {
    headers ["xen/xen.h", "xen/nmi.h"];

    numbers! {
        /// vCPUs with a place in [`SharedInfo`]. The others register their own.
        pub const LEGACY_MAX_VCPUS: usize = 32 => "XEN_LEGACY_MAX_VCPUS";
        /// Words of the event bitmaps.
        pub const EVENT_WORDS: usize = 64 => "sizeof(((struct shared_info *)0)->evtchn_pending) / 8";
    }

    flags! {
        /// [`ArchSharedInfo::nmi_reason`].
        pub struct NmiReason: u64 {
            /// I/O check.
            IO_ERROR = 1 << 0 => "XEN_NMIREASON_io_error",
            /// PCI system error.
            PCI_SERR = 1 << 1 => "XEN_NMIREASON_pci_serr",
            /// Unknown.
            UNKNOWN = 1 << 2 => "XEN_NMIREASON_unknown",
        }
    }

    layout! {
        /// The processor's part of [`VcpuInfo`].
        pub struct ArchVcpuInfo [16] "struct arch_vcpu_info" {
            /// Fault address, written before a page fault is delivered.
            0 cr2: u64,
            /// Zero.
            8 pad: u64,
        }

        /// State of one vCPU that the guest reads and writes without a hypercall.
        pub struct VcpuInfo [64] "struct vcpu_info" {
            /// Non-zero: some event waits. Set by the hypervisor, cleared by the guest.
            0 evtchn_upcall_pending: u8,
            /// Non-zero: no event is delivered.
            1 evtchn_upcall_mask: u8,
            /// Zero.
            2 pad0: [u8; 6] = _,
            /// Which words of the pending bitmap to look at.
            8 evtchn_pending_sel: u64,
            /// The processor's part.
            16 arch: ArchVcpuInfo,
            /// Clock.
            32 time: VcpuTimeInfo,
        }

        /// The processor's part of [`SharedInfo`]; the guest writes it for the tools.
        pub struct ArchSharedInfo [48] "struct arch_shared_info" {
            /// Frames in the guest's list.
            0 max_pfn: u64,
            /// Root of the three-level list of frames; ~0 when only the linear one exists.
            8 pfn_to_mfn_frame_list_list: u64,
            /// Why an NMI came.
            16 nmi_reason: NmiReason,
            /// Root page table that maps the linear list, 0 for none.
            24 p2m_cr3: u64,
            /// Address of the linear list.
            32 p2m_vaddr: u64,
            /// Odd while the guest changes the linear list.
            40 p2m_generation: u64,
        }

        /// The shared frame's content. The frame's rest is unused.
        pub struct SharedInfo [3136] "struct shared_info" {
            /// The first vCPUs.
            0 vcpu_info: [VcpuInfo; LEGACY_MAX_VCPUS],
            /// Bit for each pending port.
            2048 evtchn_pending: [u64; EVENT_WORDS],
            /// Bit for each masked port.
            2560 evtchn_mask: [u64; EVENT_WORDS],
            /// Odd while the wall clock changes.
            3072 wc_version: u32,
            /// UTC at system time 0: seconds, lower half.
            3076 wc_sec: u32,
            /// UTC at system time 0: nanoseconds.
            3080 wc_nsec: u32,
            /// UTC at system time 0: seconds, upper half.
            3084 wc_sec_hi: u32,
            /// The processor's part.
            3088 arch: ArchSharedInfo,
        }
    }
}
