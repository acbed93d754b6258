//! Platform control by the hardware domain: time, processors, sleep, and the operation itself.
//!
//! What the union of a [`PlatformOperation`] holds is a structure of this module, of
//! [`platform_firmware`](crate::platform_firmware) or of [`platform_power`](crate::platform_power);
//! see [`payload`](crate::payload) for how to read and write it.

use crate::ids::{Mfn, Vaddr};
use crate::payload::Payload;

abi! {
    headers ["xen/platform.h"];

    enumeration! {
        /// [`PlatformOperation::cmd`].
        pub enum PlatformOp: u32 {
            /// [`SetTime32`].
            SetTime32 = 17 => "XENPF_settime32",
            /// [`AddMemtype`].
            AddMemtype = 31 => "XENPF_add_memtype",
            /// [`DelMemtype`].
            DelMemtype = 32 => "XENPF_del_memtype",
            /// [`ReadMemtype`].
            ReadMemtype = 33 => "XENPF_read_memtype",
            /// [`MicrocodeUpdate`].
            MicrocodeUpdate = 35 => "XENPF_microcode_update",
            /// [`PlatformQuirk`].
            PlatformQuirk = 39 => "XENPF_platform_quirk",
            /// [`CpuVersion`].
            GetCpuVersion = 48 => "XENPF_get_cpu_version",
            /// [`EfiRuntimeCall`](crate::platform_firmware::EfiRuntimeCall).
            EfiRuntimeCall = 49 => "XENPF_efi_runtime_call",
            /// [`FirmwareInfo`](crate::platform_firmware::FirmwareInfo).
            FirmwareInfo = 50 => "XENPF_firmware_info",
            /// [`EnterAcpiSleep`].
            EnterAcpiSleep = 51 => "XENPF_enter_acpi_sleep",
            /// [`ChangeFreq`].
            ChangeFreq = 52 => "XENPF_change_freq",
            /// [`GetIdleTime`].
            GetIdleTime = 53 => "XENPF_getidletime",
            /// [`SetProcessorPminfo`](crate::platform_power::SetProcessorPminfo).
            SetProcessorPminfo = 54 => "XENPF_set_processor_pminfo",
            /// [`CpuInfo`].
            GetCpuInfo = 55 => "XENPF_get_cpuinfo",
            /// [`CpuNumber`].
            CpuOnline = 56 => "XENPF_cpu_online",
            /// [`CpuNumber`].
            CpuOffline = 57 => "XENPF_cpu_offline",
            /// [`CpuHotadd`].
            CpuHotadd = 58 => "XENPF_cpu_hotadd",
            /// [`MemHotadd`].
            MemHotadd = 59 => "XENPF_mem_hotadd",
            /// [`CoreParking`].
            CoreParking = 60 => "XENPF_core_parking",
            /// [`ResourceOp`].
            ResourceOp = 61 => "XENPF_resource_op",
            /// [`SetTime64`].
            SetTime64 = 62 => "XENPF_settime64",
            /// [`SymbolData`].
            GetSymbol = 63 => "XENPF_get_symbol",
        }

        /// [`CoreParking::action`].
        pub enum CoreParkingAction: u32 {
            /// Park so many.
            Set = 1 => "XEN_CORE_PARKING_SET",
            /// How many are parked?
            Get = 2 => "XEN_CORE_PARKING_GET",
        }

        /// [`PlatformQuirk::quirk_id`].
        pub enum Quirk: u32 {
            /// Do not move interrupts by themselves.
            NoIrqBalancing = 1 => "QUIRK_NOIRQBALANCING",
            /// The I/O APIC forgets its register selection.
            IoapicBadRegsel = 2 => "QUIRK_IOAPIC_BAD_REGSEL",
            /// The I/O APIC keeps its register selection.
            IoapicGoodRegsel = 3 => "QUIRK_IOAPIC_GOOD_REGSEL",
        }

        /// In: [`ResourceEntry::result`] as a command.
        pub enum ResourceCommand: u32 {
            /// Read an MSR.
            MsrRead = 0 => "XEN_RESOURCE_OP_MSR_READ",
            /// Write an MSR.
            MsrWrite = 1 => "XEN_RESOURCE_OP_MSR_WRITE",
        }
    }

    numbers! {
        /// [`PlatformOperation::interface_version`]; another one is refused with `EACCES`.
        pub const INTERFACE_VERSION: u32 = 0x0300_0001 => "XENPF_INTERFACE_VERSION";
    }

    flags! {
        /// [`CpuInfo::flags`].
        pub struct CpuFlags: u32 {
            /// In use.
            ONLINE = 1 << 0 => "XEN_PCPU_FLAGS_ONLINE",
            /// No such processor.
            INVALID = 1 << 1 => "XEN_PCPU_FLAGS_INVALID",
        }

        /// [`EnterAcpiSleep::flags`].
        pub struct SleepFlags: u32 {
            /// The values are 8-bit sleep control and status registers.
            EXTENDED = 1 << 0 => "XENPF_ACPI_SLEEP_EXTENDED",
        }
    }

    layout! {
        /// The argument of the hypercall.
        pub struct PlatformOperation [136] "struct xen_platform_op" {
            /// A [`PlatformOp`].
            0 cmd: u32,
            /// [`INTERFACE_VERSION`].
            4 interface_version: u32,
            /// What the command needs.
            8 u: Payload<16>,
        }

        /// Sets the wall clock to what it was at a system time.
        pub struct SetTime64 [24] "struct xenpf_settime64" {
            /// UTC, seconds.
            0 secs: u64,
            /// UTC, nanoseconds.
            8 nsecs: u32,
            /// Must be zero.
            12 mbz: u32,
            /// System time in nanoseconds.
            16 system_time: u64,
        }

        /// The same with fewer seconds.
        pub struct SetTime32 [16] "struct xenpf_settime32" {
            /// UTC, seconds.
            0 secs: u32,
            /// UTC, nanoseconds.
            4 nsecs: u32,
            /// System time in nanoseconds.
            8 system_time: u64,
        }

        /// Sets the cache attribute of a range of frames.
        pub struct AddMemtype [32] "struct xenpf_add_memtype" {
            /// First frame.
            0 mfn: Mfn,
            /// Frames.
            8 nr_mfns: u64,
            /// Attribute in the processor's encoding.
            16 memory_type: u32 = "type",
            /// Out: names the setting.
            20 handle: u32,
            /// Out: the register.
            24 reg: u32,
            /// Zero.
            28 pad0: [u8; 4] = _,
        }

        /// Undoes it.
        pub struct DelMemtype [8] "struct xenpf_del_memtype" {
            /// Names the setting.
            0 handle: u32,
            /// The register.
            4 reg: u32,
        }

        /// Reads a register of cache attributes.
        pub struct ReadMemtype [32] "struct xenpf_read_memtype" {
            /// The register.
            0 reg: u32,
            /// Zero.
            4 pad0: [u8; 4] = _,
            /// Out: first frame.
            8 mfn: Mfn,
            /// Out: frames.
            16 nr_mfns: u64,
            /// Out: attribute.
            24 memory_type: u32 = "type",
            /// Zero.
            28 pad1: [u8; 4] = _,
        }

        /// Loads microcode.
        pub struct MicrocodeUpdate [16] "struct xenpf_microcode_update" {
            /// The file.
            0 data: Vaddr,
            /// Its bytes.
            8 length: u32,
            /// Zero.
            12 pad0: [u8; 4] = _,
        }

        /// Tells about a fault of the board.
        pub struct PlatformQuirk [4] "struct xenpf_platform_quirk" {
            /// A [`Quirk`].
            0 quirk_id: u32,
        }

        /// Puts the machine to sleep, or turns it off.
        pub struct EnterAcpiSleep [12] "struct xenpf_enter_acpi_sleep" {
            /// For the first control register, sleep type and enable bit included.
            0 val_a: u16,
            /// For the second control register.
            2 val_b: u16,
            /// ACPI state: 3 suspend to memory, 5 off.
            4 sleep_state: u32,
            /// Flags.
            8 flags: SleepFlags,
        }

        /// A processor runs at another frequency.
        pub struct ChangeFreq [16] "struct xenpf_change_freq" {
            /// Zero.
            0 flags: u32,
            /// Which.
            4 cpu: u32,
            /// Hertz.
            8 freq: u64,
        }

        /// Reads idle times of processors.
        pub struct GetIdleTime [32] "struct xenpf_getidletime" {
            /// In: which. Out: which are there.
            0 cpumap_bitmap: Vaddr,
            /// Bits.
            8 cpumap_nr_cpus: u32,
            /// Zero.
            12 pad0: [u8; 4] = _,
            /// Where to write nanoseconds, 8 bytes each.
            16 idletime: Vaddr,
            /// Out: system time now.
            24 now: u64,
        }

        /// Asks about a processor.
        pub struct CpuInfo [20] "struct xenpf_pcpuinfo" {
            /// The hypervisor's number.
            0 xen_cpuid: u32,
            /// Out: highest number.
            4 max_present: u32,
            /// Out: flags.
            8 flags: CpuFlags,
            /// Out: APIC number.
            12 apic_id: u32,
            /// Out: ACPI number.
            16 acpi_id: u32,
        }

        /// Asks what processor it is.
        pub struct CpuVersion [32] "struct xenpf_pcpu_version" {
            /// The hypervisor's number.
            0 xen_cpuid: u32,
            /// Out: highest number.
            4 max_present: u32,
            /// Out: vendor text of CPUID.
            8 vendor_id: [u8; 12],
            /// Out.
            20 family: u32,
            /// Out.
            24 model: u32,
            /// Out.
            28 stepping: u32,
        }

        /// A processor.
        pub struct CpuNumber [4] "struct xenpf_cpu_ol" {
            /// The hypervisor's number.
            0 cpuid: u32,
        }

        /// A processor that is new in the machine.
        pub struct CpuHotadd [12] "struct xenpf_cpu_hotadd" {
            /// APIC number.
            0 apic_id: u32,
            /// ACPI number.
            4 acpi_id: u32,
            /// Proximity domain.
            8 pxm: u32,
        }

        /// Memory that is new in the machine.
        pub struct MemHotadd [24] "struct xenpf_mem_hotadd" {
            /// First frame.
            0 spfn: u64,
            /// Behind the last frame.
            8 epfn: u64,
            /// Proximity domain.
            16 pxm: u32,
            /// Zero.
            20 flags: u32,
        }

        /// Takes processors out of use to save power.
        pub struct CoreParking [8] "struct xenpf_core_parking" {
            /// A [`CoreParkingAction`].
            0 action: u32 = "type",
            /// How many.
            4 idle_nums: u32,
        }

        /// One access of a [`ResourceOp`].
        pub struct ResourceEntry [24] "struct xenpf_resource_entry" {
            /// In: a [`ResourceCommand`]. Out: result.
            0 result: i32 = "u.ret",
            /// Zero.
            4 rsvd: u32,
            /// Which MSR.
            8 idx: u64,
            /// Value, in or out.
            16 val: u64,
        }

        /// Accesses to MSRs of one processor.
        pub struct ResourceOp [16] "struct xenpf_resource_op" {
            /// Length of the list.
            0 nr_entries: u32,
            /// Which.
            4 cpu: u32,
            /// [`ResourceEntry`] list.
            8 entries: Vaddr,
        }

        /// Reads a symbol of the hypervisor.
        pub struct SymbolData [32] "struct xenpf_symdata" {
            /// In: room for the name. Out: its bytes.
            0 namelen: u32,
            /// In: which. Out: the next one.
            4 symnum: u32,
            /// Where to write the name.
            8 name: Vaddr,
            /// Out: address; 0 behind the last symbol.
            16 address: u64,
            /// Out: letter.
            24 symbol_type: u8 = "type",
            /// Zero.
            25 pad0: [u8; 7] = _,
        }
    }
}
