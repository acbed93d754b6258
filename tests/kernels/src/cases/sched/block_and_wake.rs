//! Two vCPUs that wake each other thousands of times: no wake-up is lost.

use super::super::prelude::*;
use super::block;
use core::sync::atomic::{AtomicU32, Ordering::SeqCst};

const ROUNDS: u32 = 2000;

/// Port of each of the two.
static PORTS: [AtomicU32; 2] = [const { AtomicU32::new(0) }; 2];
static DONE: AtomicU32 = AtomicU32::new(0);

/// Waits for one's own event, then sends the other's. Events are masked but while it is blocked.
fn player(me: usize) {
    let own = Port(PORTS[me].load(SeqCst));
    let other = Port(PORTS[1 - me].load(SeqCst));
    for round in 1..=ROUNDS {
        event::mask_upcalls();
        while event::count(own) < round {
            block();
            event::mask_upcalls();
        }
        assert_eq!(event::send(other), Ok(0));
    }
    DONE.fetch_add(1, SeqCst);
}

fn second(_: VcpuId) {
    player(1);
}

pub(crate) fn run() {
    smp::need(2);
    for (index, port) in (0..).zip(&PORTS) {
        port.store(event::bind_ipi(VcpuId(index)).0, SeqCst);
    }
    event::mask_upcalls();
    smp::start(VcpuId(1), second);
    assert_eq!(event::send(Port(PORTS[0].load(SeqCst))), Ok(0));
    player(0);
    smp::wait_until("the other's last round", || DONE.load(SeqCst) == 2);
}
