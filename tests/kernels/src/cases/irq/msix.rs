//! Messages of a table in a device's memory: one interrupt for each entry, masked while it is not bound.
//! The table can be read and not be written.

use super::*;
use guest_abi::event_channel::BindPirqFlags;

const MSIX: u8 = 0x11;
const ROUNDS: u32 = 1000;
const ROUNDS_ON_A_VCPU: u32 = 20;
/// Registers of the network card: set and enable causes, and which entry each cause uses.
const ICS: u64 = 0xc8;
const EIAC: u64 = 0xdc;
const IMS: u64 = 0xd0;
const IVAR: u64 = 0xe4;
/// Causes of the first receive queue and of the first transmit queue.
const RECEIVED: u32 = 1 << 20;
const SENT: u32 = 1 << 22;

pub(crate) fn run() {
    let device = Device::find(0x8086, 0x10d3);
    device.enable();
    pirq::announce(device);
    let tables = memory::Tables::hook(memory::SPARE);
    let registers = Registers::map(&tables, device.region(0), 1);
    let capability = device.capability(MSIX).expect("it has a table");
    let table = device.read(capability + 4);
    let base = device.region((table & 7) as u8);

    // Entry 0 for what is received, 1 for what is sent.
    let mut beyond = pirq::message(device, Some((base, 5)));
    assert_eq!(pirq::map(&mut beyond), Err(Errno::EINVAL));
    let numbers = [0, 1].map(|entry| {
        pirq::map(&mut pirq::message(device, Some((base, entry)))).expect("it can be mapped")
    });
    assert_ne!(numbers[0], numbers[1]);
    // The table is the hypervisor's to write. Stores to it are dropped.
    let page = Registers::map(&tables, base + u64::from(table & !7), 1);
    let entry: [u32; 3] = [0, 4, 8].map(|offset| page.read(offset));
    assert_eq!((entry[0] & 0xfff0_0000, entry[1]), (0xfee0_0000, 0));
    [0, 4, 8]
        .into_iter()
        .for_each(|offset| page.write(offset, !0));
    assert_eq!([0, 4, 8].map(|offset| page.read(offset)), entry);

    let control = device.read_u16(capability + 2);
    device.write_u16(capability + 2, control | 1 << 15);
    registers.write(IVAR, 8 | (8 | 1) << 8);
    registers.write(EIAC, RECEIVED | SENT);
    registers.write(IMS, RECEIVED | SENT);
    let count = start_others();
    let ports = numbers
        .map(|number| pirq::bind(number as u32, BindPirqFlags::empty()).expect("nobody has it"));
    let mut seen = [0; 2];
    for round in 0..ROUNDS {
        let which = (round % 3 == 0) as usize;
        let vcpu = VcpuId(round / ROUNDS_ON_A_VCPU % count);
        if round % ROUNDS_ON_A_VCPU == 0 {
            ports.iter().for_each(|&port| pirq::move_to(port, vcpu));
        }
        let port = ports[which];
        registers.write(ICS, [RECEIVED, SENT][which]);
        // The card may repeat itself, and say it late: what was said before the move comes where it went then. And it
        // disables a cause whenever it has sent its message.
        smp::wait_until("a message", || {
            registers.write(IMS, RECEIVED | SENT);
            event::count(port) > seen[which] && event::last_vcpu(port) == vcpu
        });
        seen[which] = event::count(port);
        assert_eq!(pirq::end(numbers[which] as u32), Ok(0));
    }
    for (port, number) in ports.into_iter().zip(numbers) {
        assert_eq!(event::close(port), Ok(0));
        assert_eq!(pirq::unmap(number), Ok(0));
    }
    stop_others(count);
}
