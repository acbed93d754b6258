//! A device that goes on asserting its line does not interrupt again before the guest has ended the interrupt, however long
//! that takes, and each time that it asserts it there is one.

use super::*;
use guest_abi::event_channel::BindPirqFlags;

pub(crate) fn run() {
    let edu = Edu::find();
    let gsi = edu.device.gsi();
    let number = gsi as i32;
    assert_eq!(pirq::map(&mut pirq::line(number, number)), Ok(number));
    assert_eq!(pirq::set_up(number, 1, 1), Ok(0));
    event::unmask_upcalls();
    let port = pirq::bind(gsi, BindPirqFlags::WILL_SHARE).expect("a line that nobody has");
    edu.raise();
    smp::wait_until("the first interrupt", || event::count(port) == 1);
    let later = crate::clock::now_ns() + 20 * crate::clock::MS;
    while crate::clock::now_ns() < later {
        spin_loop();
    }
    assert_eq!(event::count(port), 1, "it came again before its end");
    edu.acknowledge();
    assert_eq!(pirq::end(gsi), Ok(0));
    assert_eq!(event::count(port), 1);
    for round in 0..500 {
        edu.raise();
        smp::wait_until("an interrupt", || event::count(port) == round + 2);
        edu.acknowledge();
        assert_eq!(pirq::end(gsi), Ok(0));
        let count = event::count(port);
        assert_eq!(count, round + 2, "it came more often than it was raised");
    }
}
