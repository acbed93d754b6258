//! A port that the caller can't be told of, as what it asks with can't be written, is closed again.

use super::super::prelude::*;
use crate::memory::{KERNEL_RO, KERNEL_RW, entry, update_va_mapping};
use guest_abi::event_channel::{EventChannelOp, Virq};

/// `UVMF_INVLPG`.
const FLUSH_PAGE: u64 = 2;

pub(crate) fn run() {
    // The first that is free.
    let port = || {
        let port = event::alloc_unbound(DomId::SELF, DomId::SELF).expect("a port");
        assert_eq!(event::close(port), Ok(0));
        port
    };
    let free = port();
    let page = Frame::alloc();
    let both = u64::from(DomId::SELF.0);
    for (op, wish) in [
        (EventChannelOp::AllocUnbound, both | both << 16),
        (EventChannelOp::BindIpi, 0),
        // That of the debugger, on the first vCPU.
        (EventChannelOp::BindVirq, u64::from(Virq::Debug.number())),
    ] {
        page.write(0, wish);
        page.write(1, 0);
        let map = |flags| update_va_mapping(page.va(), entry(page.mfn(), flags), FLUSH_PAGE);
        assert_eq!(map(KERNEL_RO), Ok(0));
        let outcome = hypercall!(EventChannelOp, op.number(), page.va().0);
        assert_eq!(outcome, Err(Errno::EFAULT), "{op:?}");
        assert_eq!(port(), free, "{op:?}");
        assert_eq!(map(KERNEL_RW), Ok(0));
        assert_eq!(page.read(0), wish);
        let outcome = hypercall!(EventChannelOp, op.number(), page.va().0);
        assert_eq!(outcome, Ok(0), "{op:?}");
        assert_ne!(port(), free, "{op:?}");
        assert_eq!(event::close(free), Ok(0));
    }
}
