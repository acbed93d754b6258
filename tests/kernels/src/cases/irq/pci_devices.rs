//! Announcing PCI devices, and what is refused about them.

use super::*;
use crate::port;
use guest_abi::physdev::{
    DebugPort, ManagePci, ManagePciExt, MmcfgFlags, PciDevice, PciMmcfgReserved, PhysdevOp,
};

/// Configuration space in memory, as the bridge of QEMU's Q35 board has it, is the one that the hypervisor knows of.
fn configuration_in_memory() {
    // Of the first bridge: where it is, and whether it is there. All 256 buses have 256 MiB.
    const PCIEXBAR: u8 = 0x60;
    port::init();
    let bridge = Device { slot: 0 };
    let register = u64::from(bridge.read(PCIEXBAR + 4)) << 32 | u64::from(bridge.read(PCIEXBAR));
    assert_eq!(register & 7, 1, "256 buses in memory: {register:#x}");
    let reserved = |address, segment, start_bus, end_bus| {
        let mut range = PciMmcfgReserved {
            address,
            segment,
            start_bus,
            end_bus,
            flags: MmcfgFlags::RESERVED,
        };
        pirq::operate(PhysdevOp::PciMmcfgReserved, &mut range)
    };
    let address = register & !0xfff_ffff;
    assert_eq!(reserved(address, 0, 0, 255), Ok(0));
    assert_eq!(reserved(address + 4096, 0, 0, 255), Err(Errno::EIO));
    assert_eq!(reserved(address, 0, 0, 254), Err(Errno::ENODEV));
    assert_eq!(reserved(address, 9, 0, 255), Err(Errno::ENODEV));
}

pub(crate) fn run() {
    let mut device = PciDevice::new_zeroed();
    (device.bus, device.devfn) = (0x7e, 0x20);
    let mut old_form = ManagePci {
        bus: 0x7e,
        devfn: 0x20,
    };
    assert_eq!(
        pirq::operate(PhysdevOp::PciDeviceRemove, &mut device),
        Err(Errno::ENODEV)
    );
    assert_eq!(
        pirq::operate(PhysdevOp::RestoreMsiExt, &mut device),
        Err(Errno::ENODEV)
    );
    assert_eq!(
        pirq::operate(PhysdevOp::RestoreMsi, &mut old_form),
        Err(Errno::ENODEV)
    );
    assert_eq!(
        pirq::operate(PhysdevOp::PrepareMsix, &mut device),
        Err(Errno::ENODEV)
    );
    assert_eq!(pirq::operate(PhysdevOp::ManagePciAdd, &mut old_form), Ok(0));
    assert_eq!(pirq::operate(PhysdevOp::RestoreMsiExt, &mut device), Ok(0));
    assert_eq!(
        pirq::operate(PhysdevOp::ManagePciRemove, &mut old_form),
        Ok(0)
    );
    assert_eq!(
        pirq::operate(PhysdevOp::ManagePciRemove, &mut old_form),
        Err(Errno::ENODEV)
    );
    let mut extended = ManagePciExt::new_zeroed();
    extended.is_extfn = 2;
    assert_eq!(
        pirq::operate(PhysdevOp::ManagePciAddExt, &mut extended),
        Err(Errno::EINVAL)
    );

    configuration_in_memory();
    let mut debug = DebugPort::new_zeroed();
    debug.op = 1;
    assert_eq!(pirq::operate(PhysdevOp::DebugPortOp, &mut debug), Ok(0));

    // A message of a device that is not there.
    let nowhere = Device { slot: 0x1c };
    assert_eq!(
        pirq::map(&mut pirq::message(nowhere, None)),
        Err(Errno::ENODEV)
    );
}
