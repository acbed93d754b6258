//! Binding interrupts to ports: which can be, and how often.

use super::*;
use guest_abi::event_channel::{BindPirqFlags, ChannelStatus, EventChannelOp, Status};

pub(crate) fn run() {
    let plain = BindPirqFlags::empty();
    assert_eq!(pirq::bind(1 << 20, plain), Err(Errno::EINVAL));
    assert_eq!(pirq::bind(17, plain), Err(Errno::EPERM));
    assert_eq!(pirq::map(&mut pirq::line(17, 17)), Ok(17));
    let port = pirq::bind(17, plain).expect("mapped");
    assert_eq!(pirq::bind(17, plain), Err(Errno::EEXIST));
    assert_eq!(
        pirq::bind(17, BindPirqFlags::WILL_SHARE),
        Err(Errno::EEXIST)
    );
    let mut status = Status::new_zeroed();
    (status.dom, status.port) = (DomId::SELF, port);
    assert_eq!(event::operate(EventChannelOp::Status, &mut status), Ok(0));
    assert_eq!(status.status, ChannelStatus::Pirq.number());
    assert_eq!(status.interrupt(), 17);
    assert_eq!(event::send(port), Err(Errno::EINVAL));
    assert_eq!(event::close(port), Ok(0));
    assert_eq!(event::close(port), Err(Errno::EINVAL));
    let port = pirq::bind(17, plain).expect("free again");
    // The number goes, the port stays.
    assert_eq!(pirq::unmap(17), Ok(0));
    assert_eq!(event::operate(EventChannelOp::Status, &mut status), Ok(0));
    assert_eq!(status.status, ChannelStatus::Pirq.number());
    assert_eq!(event::close(port), Ok(0));
}
