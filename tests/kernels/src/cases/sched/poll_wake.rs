//! A vCPU that polls a masked port is woken by another's event, time after time.

use super::super::prelude::*;
use super::poll_ports;
use core::sync::atomic::{AtomicU32, Ordering::SeqCst};

const ROUNDS: u32 = 1000;

static PORTS: [AtomicU32; 2] = [const { AtomicU32::new(0) }; 2];
static DONE: AtomicU32 = AtomicU32::new(0);

fn player(me: usize) {
    let own = Port(PORTS[me].load(SeqCst));
    let other = Port(PORTS[1 - me].load(SeqCst));
    event::mask_upcalls();
    for _ in 0..ROUNDS {
        while !event::is_pending(own) {
            assert_eq!(poll_ports(&[own], 0), Ok(0));
        }
        event::clear_pending(own);
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
        let bound = event::bind_ipi(VcpuId(index));
        event::mask(bound);
        port.store(bound.0, SeqCst);
    }
    smp::start(VcpuId(1), second);
    assert_eq!(event::send(Port(PORTS[0].load(SeqCst))), Ok(0));
    player(0);
    smp::wait_until("the other's last round", || DONE.load(SeqCst) == 2);
}
