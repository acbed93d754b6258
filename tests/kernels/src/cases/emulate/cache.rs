//! WBINVD does nothing that a kernel could see, and does not fault.

use super::super::prelude::*;

pub(crate) fn run() {
    let frame = Frame::alloc();
    frame.write(0, 0x1234);
    assert_eq!(probe!("wbinvd"), None);
    assert_eq!(frame.read(0), 0x1234);
}
