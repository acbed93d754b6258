//! Does to the back ends of a disk and of a network interface whatever a front end can: indices that are impossible or move
//! while they are read, requests that lie, grants that vanish, rings and ports that are none, states in any order.
//!
//! `seed=` picks the order. In between it is honest, to see whether it is served still. What it has done is told in the
//! store, below `data/disk` and `data/network`.

mod disk;
mod grants;
pub(super) mod keys;
mod network;
mod ring;

use super::super::prelude::*;
use crate::chance::Chance;
use crate::clock::{self, MS, now_ns};
use crate::command_line;
use crate::shared_ring::print_on_console;
use disk::Disk;
use grants::Grants;
use guest_abi::sched_op::{Poll, SchedOp};
use keys::Keys;
use network::Network;

/// Which ways there are to be hostile in: each is told apart in what is told.
const WAYS: usize = 8;
/// How long a back end is given to look at what an honest request would hide.
const LOOK_MS: u64 = 50;
/// Rounds of the disk to one of the network.
const DISK_ROUNDS: u32 = 4;

/// What has been done to a device and what came of it.
#[derive(Default)]
struct Done {
    /// Attacks, by way.
    attacks: [u32; WAYS],
    /// Times that it was connected with what makes no sense.
    bad_connects: u32,
    /// Times that it was connected properly.
    connects: u32,
    /// Honest requests that were served.
    served: u32,
    /// Times that the back end gave no answer to requests, and had to be connected anew.
    silences: u32,
}

pub(crate) fn run() {
    print_on_console("the guest runs");
    clock::stop_periodic_timer();
    let mut chance = Chance::new(command_line::number("seed").unwrap_or(1));
    let mut keys = Keys::connect();
    let mut grants = Grants::new();
    let mut disk = Disk::new(&mut grants);
    let mut network = Network::new(&mut grants);
    loop {
        // A network is silent more often, and waits then.
        for _ in 0..DISK_ROUNDS {
            disk.round(&mut keys, &mut grants, &mut chance);
        }
        network.round(&mut keys, &mut grants, &mut chance);
        keys.tell("disk", &disk.done);
        keys.tell("network", &network.done);
    }
}

/// Lets others run for so long.
pub(super) fn sleep(ms: u64) {
    let poll = Poll {
        ports: Vaddr(0),
        nr_ports: 0,
        pad0: [0; 4],
        timeout: now_ns() + ms * MS,
    };
    let _ = hypercall!(SchedOp, SchedOp::Poll.number(), &poll);
}

/// Waits until something is so, for a while.
fn comes(limit_ms: u64, mut is_so: impl FnMut() -> bool) -> bool {
    let end = now_ns() + limit_ms * MS;
    loop {
        if is_so() {
            return true;
        }
        if now_ns() > end {
            return false;
        }
        sleep(1);
    }
}
