//! An interrupt line of PCI: each interrupt comes, comes again after its end as long as the device asserts the
//! line, and on the vCPU that it is bound to.

use super::*;
use guest_abi::event_channel::BindPirqFlags;

const ROUNDS: u32 = 2000;
const ROUNDS_ON_A_VCPU: u32 = 100;

pub(crate) fn run() {
    let edu = Edu::find();
    let gsi = edu.device.gsi();
    assert_eq!(
        pirq::map(&mut pirq::line(gsi as i32, gsi as i32)),
        Ok(gsi as i32)
    );
    assert_eq!(pirq::set_up(gsi as i32, 1, 1), Ok(0));
    let count = start_others();
    let port = pirq::bind(gsi, BindPirqFlags::WILL_SHARE).expect("a line that nobody has");

    // Not acknowledged, it comes again.
    edu.raise();
    smp::wait_until("the first interrupt", || event::count(port) > 0);
    let seen = event::count(port);
    assert_eq!(pirq::end(gsi), Ok(0));
    smp::wait_until("the same interrupt again", || event::count(port) > seen);
    edu.acknowledge();
    assert_eq!(pirq::end(gsi), Ok(0));

    let mut seen = event::count(port);
    for round in 0..ROUNDS {
        let vcpu = VcpuId(round / ROUNDS_ON_A_VCPU % count);
        if round % ROUNDS_ON_A_VCPU == 0 {
            pirq::move_to(port, vcpu);
        }
        edu.raise();
        // One more may have come to the vCPU before if the last one's end took long (`irq/level-held`).
        smp::wait_until("an interrupt", || {
            event::count(port) > seen && event::last_vcpu(port) == vcpu
        });
        seen = event::count(port);
        edu.acknowledge();
        assert_eq!(pirq::end(gsi), Ok(0));
    }

    // Closed while one is not ended: the line is free for the next.
    edu.raise();
    smp::wait_until("the last interrupt", || event::count(port) > seen);
    assert_eq!(event::close(port), Ok(0));
    let seen = event::count(port);
    assert_eq!(pirq::bind(gsi, BindPirqFlags::empty()), Ok(port));
    smp::wait_until("the line is still asserted", || event::count(port) > seen);
    edu.acknowledge();
    assert_eq!(pirq::end(gsi), Ok(0));
    stop_others(count);
}
