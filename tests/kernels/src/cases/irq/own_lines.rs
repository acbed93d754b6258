//! The lines of the console's serial line and of the interval timer are the hypervisor's: they can be mapped, and not
//! bound.

use super::*;
use guest_abi::event_channel::BindPirqFlags;

pub(crate) fn run() {
    for gsi in [4, 2] {
        let number = gsi as i32;
        assert_eq!(pirq::map(&mut pirq::line(number, number)), Ok(number));
        assert_eq!(pirq::bind(gsi, BindPirqFlags::empty()), Err(Errno::EBUSY));
    }
    assert_eq!(pirq::set_up(4, 0, 0), Err(Errno::EEXIST));
    // Its neighbour is free.
    assert_eq!(pirq::map(&mut pirq::line(3, 3)), Ok(3));
    let port = pirq::bind(3, BindPirqFlags::empty()).expect("nobody has it");
    assert_eq!(event::close(port), Ok(0));
}
