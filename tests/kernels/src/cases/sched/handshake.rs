//! Two vCPUs that wake each other at any moment of the other's way to sleep, with nothing else that would wake them:
//! no wake-up is lost, however it is waited for.

use super::super::prelude::*;
use super::{block, poll_ports};
use crate::chance::Chance;
use crate::{clock, command_line};
use core::sync::atomic::{AtomicU32, Ordering::SeqCst};

/// Unless the command line says `rounds=`.
const ROUNDS: u64 = 2000;

/// Of each of the two, a port that is taken and one that is masked.
static PORTS: [[AtomicU32; 2]; 2] = [const { [const { AtomicU32::new(0) }; 2] }; 2];
static DONE: AtomicU32 = AtomicU32::new(0);

fn player(me: usize) {
    let port = |who: usize, which: usize| Port(PORTS[who][which].load(SeqCst));
    let (own, own_masked) = (port(me, 0), port(me, 1));
    let mut chance = Chance::new(clock::tsc() ^ me as u64);
    clock::stop_periodic_timer();
    // The same for both, as they need not agree on anything else.
    let mut kinds = Chance::new(7);
    event::mask_upcalls();
    let mut taken = 0;
    for round in 0..command_line::number("rounds").unwrap_or(ROUNDS) {
        let is_masked = kinds.below(3) == 0;
        if round as usize & 1 != me {
            chance.spin(30_000);
            assert_eq!(event::send(port(1 - me, is_masked.into())), Ok(0));
            continue;
        }
        chance.spin(30_000);
        if is_masked {
            while !event::is_pending(own_masked) {
                assert_eq!(poll_ports(&[own_masked], 0), Ok(0));
            }
            event::clear_pending(own_masked);
        } else {
            while event::count(own) == taken {
                block();
                event::mask_upcalls();
            }
            taken = event::count(own);
        }
    }
    DONE.fetch_add(1, SeqCst);
}

fn second(_: VcpuId) {
    player(1);
}

pub(crate) fn run() {
    smp::need(2);
    for (id, [open, masked]) in (0..).map(VcpuId).zip(&PORTS) {
        let [bound, bound_masked] = [event::bind_ipi(id), event::bind_ipi(id)];
        event::mask(bound_masked);
        open.store(bound.0, SeqCst);
        masked.store(bound_masked.0, SeqCst);
    }
    smp::start(VcpuId(1), second);
    player(0);
    smp::wait_until("the other's last round", || DONE.load(SeqCst) == 2);
}
