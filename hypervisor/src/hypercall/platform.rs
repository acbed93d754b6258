//! The platform, for the domain that owns the hardware: time, processors, firmware's answers, power.

#![forbid(unsafe_code)]

use super::{Answer, domctl, read, write};
use crate::arch::guest::running::Guest;
use crate::arch::{power, processors, wall_clock};
use crate::control::privilege;
use crate::speculation;
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

pub(super) fn platform_op(guest: &Guest<'_>, argument: u64) -> Answer {
    let operation: PlatformOperation = read(argument)?;
    if operation.interface_version != INTERFACE_VERSION {
        return Err(Errno::EACCES);
    }
    let command = PlatformOp::try_from(operation.cmd).ok();
    let rule = command.map_or(privilege::UNKNOWN, privilege::platform);
    rule.admit(domctl::rights(guest))?;
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
            wall_clock::set(time.secs, time.nsecs, time.system_time);
            return Ok(0);
        }
        PlatformOp::SetTime32 => {
            let time: SetTime32 = content.read();
            wall_clock::set(u64::from(time.secs), time.nsecs, time.system_time);
            return Ok(0);
        }
        PlatformOp::FirmwareInfo => return firmware_info(&content.read()),
        PlatformOp::EnterAcpiSleep => return enter_acpi_sleep(&content.read()),
        PlatformOp::SetProcessorPminfo => return set_processor_pminfo(&content.read()),
        PlatformOp::GetCpuInfo => content.write(&cpu_info(content.read())),
        PlatformOp::GetCpuVersion => content.write(&cpu_version(content.read())),
        PlatformOp::CpuOnline => {
            let wish: CpuNumber = content.read();
            // Processors that were found run, and those that do not were left out for good.
            return match processors::find(wish.cpuid) {
                Some(_) => Ok(0),
                None => Err(Errno::EINVAL),
            };
        }
        _ => return Err(Errno::ENOSYS),
    }
    answer(argument, &content)
}

/// Writes the union back.
fn answer(argument: u64, content: &Payload<16>) -> Answer {
    let at = argument.wrapping_add(offset_of!(PlatformOperation, u) as u64);
    write(at, content).map(|()| 0)
}

/// What the BIOS or EFI said at boot. The BIOS is never called, and EFI's tables are found by the root pointer
/// of ACPI that the kernel's command line has.
fn firmware_info(wish: &FirmwareInfo) -> Answer {
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
fn enter_acpi_sleep(wish: &EnterAcpiSleep) -> Answer {
    if wish.sleep_state != SOFT_OFF || wish.flags.contains(SleepFlags::EXTENDED) {
        return Err(Errno::EOPNOTSUPP);
    }
    if wish.flags != SleepFlags::empty() {
        return Err(Errno::EINVAL);
    }
    power::check(wish.val_a, wish.val_b).map_err(|error| {
        log::warn!("the first domain can't turn the machine off: {error}");
        match error {
            power::CannotSleep::NoRegister => Errno::EPERM,
            power::CannotSleep::Values => Errno::EINVAL,
        }
    })?;
    crate::console::line(format_args!(
        "The first domain turns the machine off (ACPI S5)"
    ));
    power::sleep(wish.val_a, wish.val_b)
}

/// Idle and performance states are the processors' own business: there is nothing to add to what an operating
/// system says that it can do, and no driver that would use the states.
fn set_processor_pminfo(wish: &SetProcessorPminfo) -> Answer {
    match PminfoType::try_from(wish.info_type) {
        Ok(PminfoType::Pdc) => {
            let list: u64 = wish.u.read();
            let _: [u32; 3] = read(list)?;
            Ok(0)
        }
        Ok(_) => Err(Errno::ENOSYS),
        Err(_) => Err(Errno::EINVAL),
    }
}

fn cpu_info(mut info: CpuInfo) -> CpuInfo {
    info.max_present = processors::highest();
    match processors::find(info.xen_cpuid) {
        Some(ids) => {
            info.flags = CpuFlags::ONLINE;
            (info.apic_id, info.acpi_id) = (ids.apic, ids.acpi);
        }
        None => info.flags = CpuFlags::INVALID,
    }
    info
}

fn cpu_version(mut info: CpuVersion) -> CpuVersion {
    info.max_present = processors::highest();
    if processors::find(info.xen_cpuid).is_some() {
        // All that run have the features of the first; that they are the same model is taken as given.
        let version = processors::version();
        info.vendor_id = version.vendor;
        (info.family, info.model, info.stepping) =
            (version.family, version.model, version.stepping);
    } else {
        info.vendor_id = [0; 12];
        (info.family, info.model, info.stepping) = (0, 0, 0);
    }
    info
}
