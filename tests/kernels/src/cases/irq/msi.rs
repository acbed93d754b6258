//! A message of a PCI device: each comes once and on the vCPU that it is bound to; none is lost while it moves.

use super::*;
use guest_abi::event_channel::BindPirqFlags;

const ROUNDS: u32 = 2000;
const ROUNDS_ON_A_VCPU: u32 = 20;
const MSI: u8 = 5;

pub(crate) fn run() {
    let edu = Edu::find();
    let capability = edu.device.capability(MSI).expect("it has messages");
    let number = pirq::map(&mut pirq::message(edu.device, None)).expect("it can be mapped");
    // As Linux does: the hypervisor has written the rest.
    let control = edu.device.read_u16(capability + 2);
    edu.device.write_u16(capability + 2, control | 1);
    let count = start_others();
    let pirq = number as u32;
    let port = pirq::bind(pirq, BindPirqFlags::empty()).expect("nobody has it");
    assert_eq!(pirq::bind(pirq, BindPirqFlags::empty()), Err(Errno::EEXIST));
    let mut seen = 0;
    for round in 0..ROUNDS {
        let vcpu = VcpuId(round / ROUNDS_ON_A_VCPU % count);
        if round % ROUNDS_ON_A_VCPU == 0 {
            pirq::move_to(port, vcpu);
        }
        edu.raise();
        smp::wait_until("a message", || event::count(port) != seen);
        seen += 1;
        assert_eq!(event::last_vcpu(port), vcpu);
        edu.acknowledge();
        assert_eq!(pirq::end(pirq), Ok(0));
    }
    assert_eq!(event::count(port), seen);

    // A message that is sent while its port is masked waits.
    event::mask(port);
    edu.raise();
    smp::wait_until("pending", || event::is_pending(port));
    assert_eq!(event::unmask(port), Ok(0));
    smp::wait_until("unmasked", || event::count(port) == seen + 1);
    edu.acknowledge();

    assert_eq!(event::close(port), Ok(0));
    assert_eq!(pirq::unmap(number), Ok(0));
    assert_eq!(pirq::unmap(number), Err(Errno::EINVAL));
    // Once more, from the start.
    let number = pirq::map(&mut pirq::message(edu.device, None)).expect("it can be mapped again");
    let port = pirq::bind(number as u32, BindPirqFlags::empty()).expect("nobody has it");
    edu.device
        .write_u16(capability + 2, edu.device.read_u16(capability + 2) | 1);
    let seen = event::count(port);
    edu.raise();
    smp::wait_until("a message after all that", || {
        event::count(port) == seen + 1
    });
    edu.acknowledge();
    stop_others(count);
}
