//! What the first domain gets of `platform_op`, operation by operation. Each that the interface knows has its row by an
//! exhaustive `match`.

use super::super::prelude::*;
use crate::control::is_reference;
use core::sync::atomic::Ordering::SeqCst;
use guest_abi::platform::{
    CpuFlags, CpuInfo, CpuNumber, CpuVersion, EnterAcpiSleep, INTERFACE_VERSION, PlatformOp,
    PlatformOperation, SetTime32, SleepFlags,
};
use guest_abi::platform_firmware::{FirmwareInfo, FirmwareInfoType};
use guest_abi::platform_power::{PminfoType, SetProcessorPminfo};
use zerocopy::{FromBytes, Immutable, IntoBytes};

type Outcome = Result<u64, Errno>;

/// Calls it with this content, which is replaced by the answer.
fn call<T: FromBytes + IntoBytes + Immutable>(op: PlatformOp, content: &mut T) -> Outcome {
    let mut operation = PlatformOperation::new_zeroed();
    operation.cmd = op.number();
    operation.interface_version = INTERFACE_VERSION;
    operation.u.write(content);
    let outcome = hypercall!(PlatformOp, &mut operation);
    *content = operation.u.read();
    outcome
}

pub(crate) fn run() {
    let known = (0..1000).filter_map(|number| PlatformOp::try_from(number).ok());
    let tried = known.map(row).count();
    assert!(tried > 20, "{tried} operations");
}

fn row(op: PlatformOp) {
    match op {
        PlatformOp::SetTime32 => set_time(),
        // A case of its own.
        PlatformOp::SetTime64 => {}
        PlatformOp::GetCpuVersion => cpu_version(),
        PlatformOp::GetCpuInfo => cpu_info(),
        PlatformOp::CpuOnline => cpu_online(),
        PlatformOp::FirmwareInfo => firmware_info(),
        PlatformOp::EnterAcpiSleep => sleep(),
        PlatformOp::SetProcessorPminfo => power_information(),
        PlatformOp::AddMemtype
        | PlatformOp::DelMemtype
        | PlatformOp::ReadMemtype
        | PlatformOp::MicrocodeUpdate
        | PlatformOp::PlatformQuirk
        | PlatformOp::EfiRuntimeCall
        | PlatformOp::ChangeFreq
        | PlatformOp::GetIdleTime
        | PlatformOp::CpuOffline
        | PlatformOp::CpuHotadd
        | PlatformOp::MemHotadd
        | PlatformOp::CoreParking
        | PlatformOp::ResourceOp
        | PlatformOp::GetSymbol => {
            if !is_reference() {
                let mut nothing = [0u64; 16];
                assert_eq!(call(op, &mut nothing), Err(Errno::ENOSYS), "{op:?}");
            }
        }
    }
}

fn set_time() {
    let mut time = SetTime32::new_zeroed();
    (time.secs, time.nsecs, time.system_time) = (3_000_000_000, 900_000_000, 400_000_000);
    assert_eq!(call(PlatformOp::SetTime32, &mut time), Ok(0));
    let shared = event::shared_info();
    assert_eq!(shared.wc_sec.load(SeqCst), 3_000_000_000);
    assert_eq!(shared.wc_nsec.load(SeqCst), 500_000_000);
}

/// A number that no processor has, and none of them can have.
const NOBODY: [u32; 2] = [200, u32::MAX];

fn cpu_version() {
    let mut version = CpuVersion::new_zeroed();
    assert_eq!(call(PlatformOp::GetCpuVersion, &mut version), Ok(0));
    let text = &version.vendor_id;
    let names = [b"AuthenticAMD", b"GenuineIntel"];
    assert!(names.contains(&text), "{text:?}");
    assert!(
        version.family >= 6 && version.max_present < 8,
        "{version:?}"
    );
    for nobody in NOBODY {
        let mut version = CpuVersion::new_zeroed();
        (version.xen_cpuid, version.family) = (nobody, 99);
        assert_eq!(call(PlatformOp::GetCpuVersion, &mut version), Ok(0));
        assert_eq!((version.vendor_id, version.family), ([0; 12], 0));
    }
}

fn cpu_info() {
    let mut info = CpuInfo::new_zeroed();
    assert_eq!(call(PlatformOp::GetCpuInfo, &mut info), Ok(0));
    assert_eq!((info.flags, info.apic_id), (CpuFlags::ONLINE, 0));
    for nobody in NOBODY {
        let mut info = CpuInfo::new_zeroed();
        info.xen_cpuid = nobody;
        assert_eq!(call(PlatformOp::GetCpuInfo, &mut info), Ok(0));
        assert_eq!(info.flags, CpuFlags::INVALID);
    }
}

fn cpu_online() {
    let online = |cpuid| call(PlatformOp::CpuOnline, &mut CpuNumber { cpuid });
    assert_eq!(online(0), Ok(0), "it runs already");
    assert!(NOBODY.iter().all(|&cpu| online(cpu) == Err(Errno::EINVAL)));
}

fn firmware_info() {
    let ask = |info_type, index| {
        let mut wish = FirmwareInfo::new_zeroed();
        (wish.info_type, wish.index) = (info_type, index);
        call(PlatformOp::FirmwareInfo, &mut wish)
    };
    // Disks of the BIOS, of which there are not so many.
    for kind in [
        FirmwareInfoType::DiskInfo,
        FirmwareInfoType::DiskMbrSignature,
    ] {
        assert_eq!(ask(kind.number(), 200), Err(Errno::ESRCH), "{kind:?}");
    }
    assert_eq!(ask(0, 0), Err(Errno::EINVAL));
    assert_eq!(ask(99, 0), Err(Errno::EINVAL));
}

fn sleep() {
    let mut wish = EnterAcpiSleep::new_zeroed();
    (wish.sleep_state, wish.flags) = (5, SleepFlags::from_bits_retain(2));
    let outcome = call(PlatformOp::EnterAcpiSleep, &mut wish);
    assert_eq!(outcome, Err(Errno::EINVAL), "unknown flags");
    // Going to sleep and coming back.
    if !is_reference() {
        for sleep_state in [0, 1, 3, 4, 6, u32::MAX] {
            (wish.sleep_state, wish.flags) = (sleep_state, SleepFlags::empty());
            let outcome = call(PlatformOp::EnterAcpiSleep, &mut wish);
            assert_eq!(outcome, Err(Errno::EOPNOTSUPP), "{sleep_state}");
        }
    }
}

fn power_information() {
    let words = [1u32, 1, 0];
    let tell = |info_type, pointer: u64| {
        let mut wish = SetProcessorPminfo::new_zeroed();
        wish.info_type = info_type;
        wish.u.write(&pointer);
        call(PlatformOp::SetProcessorPminfo, &mut wish)
    };
    let pdc = PminfoType::Pdc.number();
    assert_eq!(tell(pdc, words.as_ptr() as u64), Ok(0));
    assert_eq!(tell(pdc, NON_CANONICAL), Err(Errno::EFAULT));
    assert_eq!(tell(99, words.as_ptr() as u64), Err(Errno::EINVAL));
}
