//! The platform, for the domain that owns the hardware: time, processors, firmware's answers, power.
#![forbid(unsafe_code)]

use super::CallersMemory;
use crate::control::privilege::{self, Rights};
use crate::speculation;
use core::fmt;
use core::mem::offset_of;
use guest_abi::errno::Errno;
use guest_abi::payload::Payload;
use guest_abi::platform::{
    CpuFlags, CpuInfo, CpuNumber, CpuVersion, EnterAcpiSleep, INTERFACE_VERSION, PlatformOp,
    PlatformOperation, SetTime32, SetTime64, SleepFlags,
};
use guest_abi::platform_firmware::{FirmwareInfo, FirmwareInfoType};
use guest_abi::platform_power::{PminfoType, SetProcessorPminfo};

/// ACPI's number of "soft off".
const SOFT_OFF: u32 = 5;

/// Numbers of a processor in other people's books.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ids {
    /// Its local APIC's.
    pub apic: u32,
    /// In the ACPI namespace.
    pub acpi: u32,
}

/// What CPUID says that a processor is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // The names are the architecture's own.
pub struct Version {
    /// `GenuineIntel`, `AuthenticAMD`, …
    pub vendor: [u8; 12],
    pub family: u32,
    pub model: u32,
    pub stepping: u32,
}

/// Why the machine can't be turned off.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CannotSleep {
    /// ACPI names no control register.
    NoRegister,
    /// The values do not start the transition, or only in one of two registers.
    Values,
}

impl fmt::Display for CannotSleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoRegister => "ACPI names no PM1 control register at an I/O port",
            Self::Values => "the values for the PM1 control registers do not set the sleep bit",
        })
    }
}

/// The machine.
pub trait Machine {
    /// It was so many seconds and nanoseconds (any number) after 1970 at that system time.
    fn set_wall_clock(&self, seconds: u64, nanoseconds: u32, system_time_ns: u64);
    /// A processor, if it runs.
    fn processor(&self, number: u32) -> Option<Ids>;
    /// The highest number of a processor that runs.
    fn highest_processor(&self) -> u32;
    /// What they are.
    fn version(&self) -> Version;
    /// Whether the machine can be turned off with these values.
    ///
    /// # Errors
    /// Why it can't.
    fn may_turn_off(&self, value_a: u16, value_b: u16) -> Result<(), CannotSleep>;
    /// Turns it off with values that [`may_turn_off`](Self::may_turn_off) accepts.
    fn turn_off(&self, value_a: u16, value_b: u16);
}

/// Does `platform_op` for a caller with these rights.
///
/// # Errors
/// `EFAULT`, `EACCES` for another version of the interface, `EPERM`, `ENOSYS` for what is not offered; and what is wrong with
/// what is asked for.
pub fn platform_op(
    memory: &impl CallersMemory,
    machine: &impl Machine,
    rights: Rights,
    argument: u64,
) -> Result<u64, Errno> {
    let operation: PlatformOperation = memory.read(argument)?;
    if operation.interface_version != INTERFACE_VERSION {
        return Err(Errno::EACCES);
    }
    let command = PlatformOp::try_from(operation.cmd).ok();
    let rule = command.map_or(privilege::UNKNOWN, privilege::platform);
    rule.admit(rights)?;
    speculation::barrier();
    let Some(command) = command else {
        return Err(Errno::ENOSYS);
    };
    let mut content = operation.u;
    match command {
        PlatformOp::SetTime64 => {
            let time: SetTime64 = content.read();
            if time.mbz != 0 {
                return Err(Errno::EINVAL);
            }
            machine.set_wall_clock(time.secs, time.nsecs, time.system_time);
            return Ok(0);
        }
        PlatformOp::SetTime32 => {
            let time: SetTime32 = content.read();
            machine.set_wall_clock(u64::from(time.secs), time.nsecs, time.system_time);
            return Ok(0);
        }
        PlatformOp::FirmwareInfo => return firmware_info(&content.read()),
        PlatformOp::EnterAcpiSleep => return enter_acpi_sleep(machine, &content.read()),
        PlatformOp::SetProcessorPminfo => return set_processor_pminfo(memory, &content.read()),
        PlatformOp::GetCpuInfo => content.write(&cpu_info(machine, content.read())),
        PlatformOp::GetCpuVersion => content.write(&cpu_version(machine, content.read())),
        PlatformOp::CpuOnline => {
            let wish: CpuNumber = content.read();
            // Processors that were found run, and those that do not were left out for good.
            return match machine.processor(wish.cpuid) {
                Some(_) => Ok(0),
                None => Err(Errno::EINVAL),
            };
        }
        _ => return Err(Errno::ENOSYS),
    }
    answer(memory, argument, &content)
}

/// Writes the union back.
fn answer(memory: &impl CallersMemory, argument: u64, content: &Payload<16>) -> Result<u64, Errno> {
    let at = argument.wrapping_add(offset_of!(PlatformOperation, u) as u64);
    memory.write(at, content).map(|()| 0)
}

/// What the BIOS or EFI said at boot. The BIOS is never called, and EFI's tables are found by the root pointer
/// of ACPI that the kernel's command line has.
fn firmware_info(wish: &FirmwareInfo) -> Result<u64, Errno> {
    match FirmwareInfoType::try_from(wish.info_type) {
        Ok(
            FirmwareInfoType::DiskInfo
            | FirmwareInfoType::DiskMbrSignature
            | FirmwareInfoType::VbeddcInfo
            | FirmwareInfoType::KbdShiftFlags,
        ) => Err(Errno::ESRCH),
        Ok(FirmwareInfoType::EfiInfo) => Err(Errno::ENOSYS),
        Err(_) => Err(Errno::EINVAL),
    }
}

/// Turns the machine off. Other states would need a way back.
fn enter_acpi_sleep(machine: &impl Machine, wish: &EnterAcpiSleep) -> Result<u64, Errno> {
    if wish.sleep_state != SOFT_OFF || wish.flags.contains(SleepFlags::EXTENDED) {
        return Err(Errno::EOPNOTSUPP);
    }
    if wish.flags != SleepFlags::empty() {
        return Err(Errno::EINVAL);
    }
    let (a, b) = (wish.val_a, wish.val_b);
    machine.may_turn_off(a, b).map_err(|error| {
        log::warn!("the first domain can't turn the machine off: {error}");
        match error {
            CannotSleep::NoRegister => Errno::EPERM,
            CannotSleep::Values => Errno::EINVAL,
        }
    })?;
    machine.turn_off(a, b);
    Ok(0)
}

/// Idle and performance states are the processors' own business: there is nothing to add to what an operating
/// system says that it can do, and no driver that would use the states.
fn set_processor_pminfo(
    memory: &impl CallersMemory,
    wish: &SetProcessorPminfo,
) -> Result<u64, Errno> {
    match PminfoType::try_from(wish.info_type) {
        Ok(PminfoType::Pdc) => {
            let list: u64 = wish.u.read();
            let _: [u32; 3] = memory.read(list)?;
            Ok(0)
        }
        Ok(_) => Err(Errno::ENOSYS),
        Err(_) => Err(Errno::EINVAL),
    }
}

fn cpu_info(machine: &impl Machine, mut info: CpuInfo) -> CpuInfo {
    info.max_present = machine.highest_processor();
    match machine.processor(info.xen_cpuid) {
        Some(ids) => {
            info.flags = CpuFlags::ONLINE;
            (info.apic_id, info.acpi_id) = (ids.apic, ids.acpi);
        }
        None => info.flags = CpuFlags::INVALID,
    }
    info
}

fn cpu_version(machine: &impl Machine, mut info: CpuVersion) -> CpuVersion {
    info.max_present = machine.highest_processor();
    if machine.processor(info.xen_cpuid).is_some() {
        // All that run have the features of the first; that they are the same model is taken as given.
        let version = machine.version();
        info.vendor_id = version.vendor;
        (info.family, info.model, info.stepping) =
            (version.family, version.model, version.stepping);
    } else {
        info.vendor_id = [0; 12];
        (info.family, info.model, info.stepping) = (0, 0, 0);
    }
    info
}
