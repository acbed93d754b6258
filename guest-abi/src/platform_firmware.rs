//! What the hardware domain asks firmware through the hypervisor.

use crate::ids::Vaddr;
use crate::payload::Payload;

abi! {
    headers ["xen/platform.h"];

    enumeration! {
        /// [`FirmwareInfo::info_type`].
        pub enum FirmwareInfoType: u32 {
            /// [`DiskInfo`] of the disk with that index.
            DiskInfo = 1 => "XEN_FW_DISK_INFO",
            /// [`DiskMbrSignature`] of the disk with that index.
            DiskMbrSignature = 2 => "XEN_FW_DISK_MBR_SIGNATURE",
            /// [`VbeddcInfo`].
            VbeddcInfo = 3 => "XEN_FW_VBEDDC_INFO",
            /// The index is an [`EfiInfo`].
            EfiInfo = 4 => "XEN_FW_EFI_INFO",
            /// A `u8`: state of the keyboard's shift keys.
            KbdShiftFlags = 5 => "XEN_FW_KBD_SHIFT_FLAGS",
        }

        /// [`FirmwareInfo::index`] for EFI.
        pub enum EfiInfo: u32 {
            /// A `u32`: version of the specification.
            Version = 0 => "XEN_FW_EFI_VERSION",
            /// [`EfiConfigTable`].
            ConfigTable = 1 => "XEN_FW_EFI_CONFIG_TABLE",
            /// [`EfiVendor`].
            Vendor = 2 => "XEN_FW_EFI_VENDOR",
            /// [`EfiMemInfo`].
            MemInfo = 3 => "XEN_FW_EFI_MEM_INFO",
            /// A `u32`: version of the runtime services.
            RuntimeVersion = 4 => "XEN_FW_EFI_RT_VERSION",
            /// [`EfiPciRom`].
            PciRom = 5 => "XEN_FW_EFI_PCI_ROM",
            /// [`EfiAppleProperties`].
            AppleProperties = 6 => "XEN_FW_EFI_APPLE_PROPERTIES",
        }

        /// [`EfiRuntimeCall::function`].
        pub enum EfiFunction: u32 {
            /// [`EfiGetTime`].
            GetTime = 1 => "XEN_EFI_get_time",
            /// [`EfiTime`].
            SetTime = 2 => "XEN_EFI_set_time",
            /// [`EfiTime`].
            GetWakeupTime = 3 => "XEN_EFI_get_wakeup_time",
            /// [`EfiTime`].
            SetWakeupTime = 4 => "XEN_EFI_set_wakeup_time",
            /// The count is in [`EfiRuntimeCall::misc`].
            GetNextHighMonotonicCount = 5 => "XEN_EFI_get_next_high_monotonic_count",
            /// [`EfiVariable`].
            GetVariable = 6 => "XEN_EFI_get_variable",
            /// [`EfiVariable`].
            SetVariable = 7 => "XEN_EFI_set_variable",
            /// [`EfiNextVariableName`].
            GetNextVariableName = 8 => "XEN_EFI_get_next_variable_name",
            /// [`EfiVariableSpace`].
            QueryVariableInfo = 9 => "XEN_EFI_query_variable_info",
            /// [`EfiCapsuleCapabilities`].
            QueryCapsuleCapabilities = 10 => "XEN_EFI_query_capsule_capabilities",
            /// [`EfiUpdateCapsule`].
            UpdateCapsule = 11 => "XEN_EFI_update_capsule",
        }
    }

    flags! {
        /// [`EfiRuntimeCall::misc`] for variables.
        pub struct EfiVariableAttributes: u32 {
            /// Survives power loss.
            NON_VOLATILE = 1 << 0 => "XEN_EFI_VARIABLE_NON_VOLATILE",
            /// Accessible before the operating system takes over.
            BOOTSERVICE_ACCESS = 1 << 1 => "XEN_EFI_VARIABLE_BOOTSERVICE_ACCESS",
            /// Accessible afterwards.
            RUNTIME_ACCESS = 1 << 2 => "XEN_EFI_VARIABLE_RUNTIME_ACCESS",
        }
    }

    numbers! {
        /// [`EfiRuntimeCall::misc`] after [`EfiFunction::GetTime`]: setting the time clears what is below
        /// a second.
        pub const GET_TIME_SET_CLEARS_NS: u32 = 1 => "XEN_EFI_GET_TIME_SET_CLEARS_NS";
        /// [`EfiRuntimeCall::misc`] after [`EfiFunction::GetWakeupTime`]: the alarm is on.
        pub const GET_WAKEUP_TIME_ENABLED: u32 = 1 => "XEN_EFI_GET_WAKEUP_TIME_ENABLED";
        /// [`EfiRuntimeCall::misc`] after [`EfiFunction::GetWakeupTime`]: the alarm has gone off.
        pub const GET_WAKEUP_TIME_PENDING: u32 = 2 => "XEN_EFI_GET_WAKEUP_TIME_PENDING";
        /// [`EfiRuntimeCall::misc`] for [`EfiFunction::SetWakeupTime`]: switch the alarm on.
        pub const SET_WAKEUP_TIME_ENABLE: u32 = 1 => "XEN_EFI_SET_WAKEUP_TIME_ENABLE";
        /// [`EfiRuntimeCall::misc`] for [`EfiFunction::SetWakeupTime`]: keep the alarm's time.
        pub const SET_WAKEUP_TIME_ENABLE_ONLY: u32 = 2 => "XEN_EFI_SET_WAKEUP_TIME_ENABLE_ONLY";
        /// [`EfiRuntimeCall::misc`] for [`EfiFunction::QueryVariableInfo`]: as it was at boot.
        pub const VARIABLE_INFO_BOOT_SNAPSHOT: u32 = 1 => "XEN_EFI_VARINFO_BOOT_SNAPSHOT";
    }

    layout! {
        /// Asks firmware something.
        pub struct FirmwareInfo [40] "struct xenpf_firmware_info" {
            /// A [`FirmwareInfoType`].
            0 info_type: u32 = "type",
            /// Which of that type.
            4 index: u32,
            /// The answer.
            8 u: Payload<4>,
        }

        /// Extended information about a BIOS disk.
        pub struct DiskInfo [16] "__typeof__(((struct xenpf_firmware_info *)0)->u.disk_info)" {
            /// BIOS number.
            0 device: u8,
            /// Version of the extensions.
            1 version: u8,
            /// Subsets that are supported.
            2 interface_support: u16,
            /// Highest cylinder.
            4 legacy_max_cylinder: u16,
            /// Highest head.
            6 legacy_max_head: u8,
            /// Sectors in a track.
            7 legacy_sectors_per_track: u8,
            /// Where to write the parameter block; its first two bytes are the room.
            8 edd_params: Vaddr,
        }

        /// Signature of a BIOS disk's boot record.
        pub struct DiskMbrSignature [8] "__typeof__(((struct xenpf_firmware_info *)0)->u.disk_mbr_signature)" {
            /// BIOS number.
            0 device: u8,
            /// Zero.
            1 pad0: [u8; 3] = _,
            /// Signature.
            4 mbr_signature: u32,
        }

        /// What the monitor says about itself.
        pub struct VbeddcInfo [16] "__typeof__(((struct xenpf_firmware_info *)0)->u.vbeddc_info)" {
            /// Capabilities.
            0 capabilities: u8,
            /// Seconds for a block.
            1 edid_transfer_time: u8,
            /// Zero.
            2 pad0: [u8; 6] = _,
            /// Where to write 128 bytes.
            8 edid: Vaddr,
        }

        /// Where EFI's table of tables is. The ACPI root pointer is found there.
        pub struct EfiConfigTable [16] "__typeof__(((union xenpf_efi_info *)0)->cfg)" {
            /// Physical address.
            0 addr: u64,
            /// Entries.
            8 nent: u32,
            /// Zero.
            12 pad0: [u8; 4] = _,
        }

        /// Who made the firmware.
        pub struct EfiVendor [16] "__typeof__(((union xenpf_efi_info *)0)->vendor)" {
            /// Revision.
            0 revision: u32,
            /// In: room for the name, bytes. Out: its bytes.
            4 bufsz: u32,
            /// Where to write the name, 2 bytes a character.
            8 name: Vaddr,
        }

        /// One range of EFI's memory map.
        pub struct EfiMemInfo [32] "__typeof__(((union xenpf_efi_info *)0)->mem)" {
            /// In: an address. Out: first byte of the range around it.
            0 addr: u64,
            /// In: bytes. Out: bytes of the range.
            8 size: u64,
            /// Out: attributes.
            16 attr: u64,
            /// Out: type.
            24 range_type: u32 = "type",
            /// Zero.
            28 pad0: [u8; 4] = _,
        }

        /// The option ROM of a device.
        pub struct EfiPciRom [24] "__typeof__(((union xenpf_efi_info *)0)->pci_rom)" {
            /// In: segment.
            0 segment: u16,
            /// In: bus.
            2 bus: u8,
            /// In: device and function.
            3 devfn: u8,
            /// In: vendor.
            4 vendor: u16,
            /// In: device number.
            6 devid: u16,
            /// Out: physical address.
            8 address: u64,
            /// Out: bytes.
            16 size: u64,
        }

        /// Device properties of some machines.
        pub struct EfiAppleProperties [16] "__typeof__(((union xenpf_efi_info *)0)->apple_properties)" {
            /// Out: physical address.
            0 address: u64,
            /// Out: bytes.
            8 size: u64,
        }

        /// Calls an EFI runtime service.
        pub struct EfiRuntimeCall [56] "struct xenpf_efi_runtime_call" {
            /// An [`EfiFunction`].
            0 function: u32,
            /// Flags and small results, by function.
            4 misc: u32,
            /// Out: EFI status.
            8 status: u64,
            /// What the function needs.
            16 u: Payload<5>,
        }

        /// A date and a time of day.
        pub struct EfiTime [16] "struct xenpf_efi_time" {
            /// Year.
            0 year: u16,
            /// Month from 1.
            2 month: u8,
            /// Day from 1.
            3 day: u8,
            /// Hour.
            4 hour: u8,
            /// Minute.
            5 min: u8,
            /// Second.
            6 sec: u8,
            /// Zero.
            7 pad0: u8 = _,
            /// Nanosecond.
            8 ns: u32,
            /// Minutes from UTC.
            12 tz: i16,
            /// Summer time.
            14 daylight: u8,
            /// Zero.
            15 pad1: u8 = _,
        }

        /// Name of a vendor.
        pub struct EfiGuid [16] "struct xenpf_efi_guid" {
            /// First part.
            0 data1: u32,
            /// Second part.
            4 data2: u16,
            /// Third part.
            6 data3: u16,
            /// Rest.
            8 data4: [u8; 8],
        }

        /// Result of [`EfiFunction::GetTime`].
        pub struct EfiGetTime [24] "__typeof__(((struct xenpf_efi_runtime_call *)0)->u.get_time)" {
            /// Now.
            0 time: EfiTime,
            /// Ticks in a second.
            16 resolution: u32,
            /// Parts of 10^12.
            20 accuracy: u32,
        }

        /// Argument of [`EfiFunction::GetVariable`] and [`EfiFunction::SetVariable`].
        pub struct EfiVariable [40] "__typeof__(((struct xenpf_efi_runtime_call *)0)->u.get_variable)" {
            /// Terminated name, 2 bytes a character.
            0 name: Vaddr,
            /// Bytes of the content, or room for it.
            8 size: u64,
            /// The content.
            16 data: Vaddr,
            /// Whose variable.
            24 vendor_guid: EfiGuid,
        }

        /// Argument of [`EfiFunction::GetNextVariableName`].
        pub struct EfiNextVariableName [32] "__typeof__(((struct xenpf_efi_runtime_call *)0)->u.get_next_variable_name)" {
            /// Room for the name.
            0 size: u64,
            /// In: one name. Out: the next.
            8 name: Vaddr,
            /// In: whose variable. Out: whose variable.
            16 vendor_guid: EfiGuid,
        }

        /// Argument of [`EfiFunction::QueryVariableInfo`].
        pub struct EfiVariableSpace [32] "__typeof__(((struct xenpf_efi_runtime_call *)0)->u.query_variable_info)" {
            /// In: [`EfiVariableAttributes`].
            0 attr: u32,
            /// Zero.
            4 pad0: [u8; 4] = _,
            /// Out: bytes of the store.
            8 max_store_size: u64,
            /// Out: bytes left.
            16 remain_store_size: u64,
            /// Out: bytes of the largest variable.
            24 max_size: u64,
        }

        /// Argument of [`EfiFunction::QueryCapsuleCapabilities`].
        pub struct EfiCapsuleCapabilities [32] "__typeof__(((struct xenpf_efi_runtime_call *)0)->u.query_capsule_capabilities)" {
            /// Headers.
            0 capsule_header_array: Vaddr,
            /// How many.
            8 capsule_count: u64,
            /// Out: bytes.
            16 max_capsule_size: u64,
            /// Out: which reset is needed.
            24 reset_type: u32,
            /// Zero.
            28 pad0: [u8; 4] = _,
        }

        /// Argument of [`EfiFunction::UpdateCapsule`].
        pub struct EfiUpdateCapsule [24] "__typeof__(((struct xenpf_efi_runtime_call *)0)->u.update_capsule)" {
            /// Headers.
            0 capsule_header_array: Vaddr,
            /// How many.
            8 capsule_count: u64,
            /// Machine address of the list of blocks.
            16 sg_list: u64,
        }
    }
}
