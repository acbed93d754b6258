//! Messages of a table in a device's memory: one interrupt for each entry, each comes once and on the vCPU that it is bound
//! to. The table can be read and not be written.

use super::*;
use crate::control::is_reference;
use crate::nvme::Controller;
use guest_abi::event_channel::BindPirqFlags;
use guest_abi::physdev::{PciDevice, PhysdevOp};

const MSIX: u8 = 0x11;
const ROUNDS: u32 = 1000;
const ROUNDS_ON_A_VCPU: u32 = 20;

pub(crate) fn run() {
    let tables = memory::Tables::hook(memory::SPARE);
    let controller = Controller::find(&tables);
    let device = controller.device;
    give_table_and_take_it_back(device);
    let capability = device.capability(MSIX).expect("it has a table");
    let entries = i32::from(device.read_u16(capability + 2) & 0x7ff) + 1;
    let table = device.read(capability + 4);
    let base = device.region((table & 7) as u8);

    let mut beyond = pirq::message(device, Some((base, entries)));
    assert_eq!(pirq::map(&mut beyond), Err(Errno::EINVAL));
    let numbers = [0, 1].map(|entry| {
        pirq::map(&mut pirq::message(device, Some((base, entry)))).expect("it can be mapped")
    });
    assert_ne!(numbers[0], numbers[1]);

    let page = Registers::map(&tables, base + u64::from(table & !7), 1);
    let entry: [u32; 3] = [0, 4, 8].map(|offset| page.read(offset));
    assert_eq!((entry[0] & 0xfff0_0000, entry[1]), (0xfee0_0000, 0));
    [0, 4, 8]
        .into_iter()
        .for_each(|offset| page.write(offset, !0));
    assert_eq!([0, 4, 8].map(|offset| page.read(offset)), entry);

    let control = device.read_u16(capability + 2);
    device.write_u16(capability + 2, control | 1 << 15);
    controller.start();
    controller.add_queue();
    let count = start_others();
    let ports = numbers
        .map(|number| pirq::bind(number as u32, BindPirqFlags::empty()).expect("nobody has it"));
    // What was sent while it was masked may come now, late where the emulator's threads wait for a processor.
    let later = crate::clock::now_ns() + 100 * crate::clock::MS;
    while crate::clock::now_ns() < later {
        spin_loop();
    }
    let mut seen = ports.map(event::count);
    for round in 0..ROUNDS {
        let which = (round % 3 == 0) as usize;
        let vcpu = VcpuId(round / ROUNDS_ON_A_VCPU % count);
        if round % ROUNDS_ON_A_VCPU == 0 {
            ports.iter().for_each(|&port| pirq::move_to(port, vcpu));
        }
        let port = ports[which];
        let queue = [&controller.admin, &controller.other][which];
        controller.poke(queue);
        smp::wait_until("a message", || event::count(port) != seen[which]);
        seen[which] += 1;
        assert_eq!(event::last_vcpu(port), vcpu);
        assert!(controller.take_end(queue).is_some(), "nothing is done");
        assert_eq!(pirq::end(numbers[which] as u32), Ok(0));
    }
    assert_eq!(ports.map(event::count), seen);
    for (port, number) in ports.into_iter().zip(numbers) {
        assert_eq!(event::close(port), Ok(0));
        assert_eq!(pirq::unmap(number), Ok(0));
    }
    stop_others(count);
}

/// The table is lent to another domain's driver and comes back, if the device is known and has one.
fn give_table_and_take_it_back(device: Device) {
    let call = |op, device: Device| {
        let mut wish = PciDevice::new_zeroed();
        wish.devfn = device.devfn();
        pirq::operate(op, &mut wish)
    };
    let both = [PhysdevOp::PrepareMsix, PhysdevOp::ReleaseMsix];
    // Nothing is there; a host bridge has no table; nobody knows of this one.
    let refused = [Device { slot: 0x1c }, Device { slot: 0 }, device];
    for op in both {
        for device in refused {
            assert_eq!(call(op, device), Err(Errno::ENODEV), "{op:?} of {device:?}");
        }
        let outcome = hypercall!(PhysdevOp, op.number(), NON_CANONICAL);
        assert_eq!(outcome, Err(Errno::EFAULT), "{op:?}");
    }
    pirq::announce(Device { slot: 0 });
    pirq::announce(device);
    if is_reference() {
        // It dies of a null pointer.
        return;
    }
    for op in both {
        assert_eq!(call(op, Device { slot: 0 }), Err(Errno::ENODEV), "{op:?}");
    }
    for op in both.into_iter().chain(both) {
        assert_eq!(call(op, device), Ok(0), "{op:?}");
    }
}
