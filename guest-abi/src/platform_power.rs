//! Idle and performance states of processors, as the hardware domain reads them from ACPI.

use crate::ids::Vaddr;
use crate::payload::Payload;

abi! {
    headers ["xen/platform.h"];

    enumeration! {
        /// [`SetProcessorPminfo::info_type`].
        pub enum PminfoType: u32 {
            /// [`Power`].
            Cx = 0 => "XEN_PM_CX",
            /// [`Performance`].
            Px = 1 => "XEN_PM_PX",
            /// Throttling; not offered.
            Tx = 2 => "XEN_PM_TX",
            /// A pointer to three words: revision, count, and capability bits to be completed.
            Pdc = 3 => "XEN_PM_PDC",
        }

        /// [`Performance::shared_type`].
        pub enum SharedType: u32 {
            /// Hardware coordinates.
            Hw = 1 => "XEN_CPUPERF_SHARED_TYPE_HW",
            /// All processors of the domain must be set.
            All = 2 => "XEN_CPUPERF_SHARED_TYPE_ALL",
            /// Any processor of the domain can be set.
            Any = 3 => "XEN_CPUPERF_SHARED_TYPE_ANY",
        }
    }

    flags! {
        /// Who manages what, see [`StartFlags::PM_MASK`](crate::start_of_day::StartFlags::PM_MASK).
        pub struct PmBits: u8 {
            /// The hypervisor manages idle states.
            CX = 1 << 0 => "XEN_PROCESSOR_PM_CX",
            /// The hypervisor manages performance states.
            PX = 1 << 1 => "XEN_PROCESSOR_PM_PX",
            /// The hypervisor manages throttling.
            TX = 1 << 2 => "XEN_PROCESSOR_PM_TX",
        }

        /// [`Performance::flags`]: which parts are filled in.
        pub struct PerformanceParts: u32 {
            /// Control and status register.
            PCT = 1 << 0 => "XEN_PX_PCT",
            /// States.
            PSS = 1 << 1 => "XEN_PX_PSS",
            /// Limit.
            PPC = 1 << 2 => "XEN_PX_PPC",
            /// Coordination.
            PSD = 1 << 3 => "XEN_PX_PSD",
        }

        /// [`Power::flags`]. Bit fields in C.
        pub struct PowerFlags: u32 {
            /// Bus-master control is there.
            BM_CONTROL = 1 << 0 => (absent "a bit field in C"),
            /// Bus-master status must be checked.
            BM_CHECK = 1 << 1 => (absent "a bit field in C"),
            /// ACPI describes the states.
            HAS_CST = 1 << 2 => (absent "a bit field in C"),
            /// Complete.
            POWER_SETUP_DONE = 1 << 3 => (absent "a bit field in C"),
            /// Bus-master reload is set.
            BM_RLD_SET = 1 << 4 => (absent "a bit field in C"),
        }
    }

    layout! {
        /// Tells about the states of a processor.
        pub struct SetProcessorPminfo [112] "struct xenpf_set_processor_pminfo" {
            /// ACPI number.
            0 id: u32,
            /// A [`PminfoType`].
            4 info_type: u32 = "type",
            /// What the type needs.
            8 u: Payload<13>,
        }

        /// A register in ACPI's generic form.
        pub struct PowerRegister [24] "struct xen_power_register" {
            /// Address space.
            0 space_id: u32,
            /// Bits.
            4 bit_width: u32,
            /// First bit.
            8 bit_offset: u32,
            /// Access width.
            12 access_size: u32,
            /// Address.
            16 address: u64,
        }

        /// Coordination of an idle state.
        pub struct IdleCoordination [12] "struct xen_processor_csd" {
            /// Domain.
            0 domain: u32,
            /// Kind.
            4 coord_type: u32,
            /// Processors.
            8 num: u32,
        }

        /// One idle state.
        pub struct IdleState [48] "struct xen_processor_cx" {
            /// How to enter it.
            0 reg: PowerRegister,
            /// Number of the state.
            24 state_type: u8 = "type",
            /// Zero.
            25 pad0: [u8; 3] = _,
            /// Microseconds to leave it.
            28 latency: u32,
            /// Milliwatts.
            32 power: u32,
            /// Length of the list.
            36 dpcnt: u32,
            /// [`IdleCoordination`] list.
            40 dp: Vaddr,
        }

        /// All idle states.
        pub struct Power [16] "struct xen_processor_power" {
            /// How many.
            0 count: u32,
            /// Flags.
            4 flags: PowerFlags,
            /// [`IdleState`] list.
            8 states: Vaddr,
        }

        /// A register as ACPI's resource descriptors have it.
        pub struct PctRegister [16] "struct xen_pct_register" {
            /// Kind of descriptor.
            0 descriptor: u8,
            /// Zero.
            1 pad0: u8 = _,
            /// Bytes of the descriptor.
            2 length: u16,
            /// Address space.
            4 space_id: u8,
            /// Bits.
            5 bit_width: u8,
            /// First bit.
            6 bit_offset: u8,
            /// Zero.
            7 reserved: u8,
            /// Address.
            8 address: u64,
        }

        /// One performance state.
        pub struct PerformanceState [48] "struct xen_processor_px" {
            /// MHz.
            0 core_frequency: u64,
            /// Milliwatts.
            8 power: u64,
            /// Microseconds to enter it.
            16 transition_latency: u64,
            /// Microseconds without bus masters.
            24 bus_master_latency: u64,
            /// What to write to the control register.
            32 control: u64,
            /// What the status register shows.
            40 status: u64,
        }

        /// Coordination of performance states.
        pub struct PsdPackage [40] "struct xen_psd_package" {
            /// Entries.
            0 num_entries: u64,
            /// Revision.
            8 revision: u64,
            /// Domain.
            16 domain: u64,
            /// Kind.
            24 coord_type: u64,
            /// Processors.
            32 num_processors: u64,
        }

        /// All performance states.
        pub struct Performance [104] "struct xen_processor_performance" {
            /// Which of the following is filled in.
            0 flags: PerformanceParts,
            /// Highest state that may be used.
            4 platform_limit: u32,
            /// Control register.
            8 control_register: PctRegister,
            /// Status register.
            24 status_register: PctRegister,
            /// How many.
            40 state_count: u32,
            /// Zero.
            44 pad0: [u8; 4] = _,
            /// [`PerformanceState`] list.
            48 states: Vaddr,
            /// Coordination.
            56 domain_info: PsdPackage,
            /// A [`SharedType`].
            96 shared_type: u32,
            /// Zero.
            100 pad1: [u8; 4] = _,
        }
    }
}
