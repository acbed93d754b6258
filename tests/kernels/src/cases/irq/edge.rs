//! An interrupt line of ISA: the real-time clock's periodic interrupt. Each tick comes if the one before was taken, and none
//! is lost while it moves between vCPUs.

use super::*;
use crate::port;
use guest_abi::event_channel::BindPirqFlags;

const GSI: u32 = 8;
const ROUNDS: u32 = 512;
const ROUNDS_ON_A_VCPU: u32 = 16;

fn read_clock(register: u8) -> u8 {
    port::write_u8(0x70, register);
    port::read_u8(0x71)
}

fn write_clock(register: u8, value: u8) {
    port::write_u8(0x70, register);
    port::write_u8(0x71, value);
}

pub(crate) fn run() {
    port::init();
    // 1024 a second, and none asked for.
    write_clock(0x0a, 0x26);
    write_clock(0x0b, 0x02);
    let _ = read_clock(0x0c);
    let gsi = GSI as i32;
    assert_eq!(pirq::map(&mut pirq::line(gsi, gsi)), Ok(gsi));
    let count = start_others();
    let port = pirq::bind(GSI, BindPirqFlags::empty()).expect("nobody has it");
    write_clock(0x0b, 0x42);
    let mut seen = event::count(port);
    for round in 0..ROUNDS {
        let vcpu = VcpuId(round / ROUNDS_ON_A_VCPU % count);
        if round % ROUNDS_ON_A_VCPU == 0 {
            pirq::move_to(port, vcpu);
        }
        smp::wait_until("a tick", || event::count(port) != seen);
        seen = event::count(port);
        // The next edge needs the register read; one that was lost would be the last.
        let _ = read_clock(0x0c);
        assert_eq!(pirq::end(GSI), Ok(0));
    }
    write_clock(0x0b, 0x02);
    assert_eq!(event::close(port), Ok(0));
    stop_others(count);
}
