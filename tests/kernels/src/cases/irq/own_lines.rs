//! The line of the console's serial line is the hypervisor's: it can be mapped, and not bound.

use super::*;
use guest_abi::event_channel::BindPirqFlags;

pub(crate) fn run() {
    assert_eq!(pirq::map(&mut pirq::line(4, 4)), Ok(4));
    assert_eq!(pirq::bind(4, BindPirqFlags::empty()), Err(Errno::EBUSY));
    // Its neighbour is free.
    assert_eq!(pirq::map(&mut pirq::line(3, 3)), Ok(3));
    let port = pirq::bind(3, BindPirqFlags::empty()).expect("nobody has it");
    assert_eq!(event::close(port), Ok(0));
}
