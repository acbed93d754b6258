//! A non-maskable interrupt sent to a vCPU is vector 2, masked events or not, and a second one waits until
//! the handler returns.

use super::super::prelude::*;
use core::sync::atomic::{AtomicU32, Ordering::SeqCst};
use guest_abi::vcpu_op::VcpuOp;

static COUNT: AtomicU32 = AtomicU32::new(0);
static DEPTH: AtomicU32 = AtomicU32::new(0);

fn handle(_: &mut trap::Trap) {
    assert_eq!(
        DEPTH.fetch_add(1, SeqCst),
        0,
        "an NMI inside the handler of another"
    );
    if COUNT.fetch_add(1, SeqCst) == 0 {
        send();
    }
    DEPTH.fetch_sub(1, SeqCst);
}

fn send() {
    assert_eq!(smp::operate_plain(VcpuOp::SendNmi, VcpuId(0)), Ok(0));
}

pub(crate) fn run() {
    trap::set_handler(NMI, handle);
    event::mask_upcalls();
    send();
    smp::wait_until("two NMIs", || COUNT.load(SeqCst) == 2);
    assert_eq!(
        smp::operate_plain(VcpuOp::SendNmi, VcpuId(7)),
        Err(Errno::ENOENT)
    );
}
