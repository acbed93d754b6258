//! A domain has 4095 ports and no more; the last one works like the first.

use super::super::prelude::*;

pub(crate) fn run() {
    event::unmask_upcalls();
    let first = event::bind_ipi(VcpuId(0));
    let mut last = first;
    loop {
        match event::alloc_unbound(DomId::SELF, DomId::SELF) {
            Ok(port) => {
                assert_eq!(port.0, last.0 + 1, "from the lowest");
                last = port;
            }
            Err(errno) => {
                assert_eq!(errno, Errno::ENOSPC);
                break;
            }
        }
    }
    assert_eq!(last, Port(4095));
    assert_eq!(event::close(Port(2000)), Ok(0));
    assert_eq!(event::close(last), Ok(0));
    let second = event::bind_ipi(VcpuId(0));
    assert_eq!(second, Port(2000), "the lowest that is free");
    let far = event::bind_ipi(VcpuId(0));
    assert_eq!(far, Port(4095));
    event::mask_upcalls();
    for port in [first, second, far] {
        assert_eq!(event::send(port), Ok(0));
    }
    event::unmask_upcalls();
    for port in [first, second, far] {
        assert_eq!(event::count(port), 1, "{port:?}");
    }
    for port in 1..=4095 {
        assert_eq!(event::close(Port(port)), Ok(0), "port {port}");
    }
}
