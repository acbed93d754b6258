//! Announcing PCI devices, and what is refused about them.

use super::*;
use guest_abi::physdev::{
    DebugPort, ManagePci, ManagePciExt, PciDevice, PciMmcfgReserved, PhysdevOp,
};

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

    let mut range = PciMmcfgReserved::new_zeroed();
    range.segment = 9;
    assert_eq!(
        pirq::operate(PhysdevOp::PciMmcfgReserved, &mut range),
        Err(Errno::ENODEV)
    );
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
