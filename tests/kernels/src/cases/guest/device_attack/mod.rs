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
use guest_abi::device_state::DeviceState;
use guest_abi::sched_op::{Poll, SchedOp};
use keys::{Device, Keys};
use network::Network;
use ring::{Ring, notify};

/// Which ways there are to be hostile in: each is told apart in what is told.
const WAYS: usize = 8;
/// How long a back end is given to look at what an honest request would hide.
const LOOK_MS: u64 = 50;
/// How long answers are waited for.
const ANSWER_LIMIT_MS: u64 = 3_000;
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

/// A front end that can be hostile.
trait FrontEnd {
    /// As the store names its kind.
    const KIND: &'static str;

    /// What is connected.
    fn device(&mut self) -> &mut Option<Device>;
    /// What has been done, and what came of it.
    fn done(&mut self) -> &mut Done;
    /// Where its requests go, and the port by which the back end hears of them.
    fn requests(&self) -> (&Ring, Port);
    /// Offers a device properly: its rings, its port, what it can do.
    fn offer(&mut self, device: &Device, keys: &mut Keys, grants: &Grants);
    /// Offers rings, ports and layouts that make no sense.
    fn offer_nonsense(
        &mut self,
        device: &Device,
        keys: &mut Keys,
        grants: &Grants,
        chance: &mut Chance,
    );
    /// Is hostile in one of the ways.
    fn attack(&mut self, way: usize, grants: &mut Grants, chance: &mut Chance);
    /// Asks for something, and looks whether it is done.
    fn is_served(&mut self, grants: &Grants, chance: &mut Chance) -> bool;

    /// Connects, if it is not, is hostile in one way, and looks whether it is served afterwards.
    fn round(&mut self, keys: &mut Keys, grants: &mut Grants, chance: &mut Chance) {
        grants.restore();
        if self.device().is_none() {
            if chance.below(2) == 0
                && let Some(device) = start_over(Self::KIND, keys)
            {
                self.offer_nonsense(&device, keys, grants, chance);
                keys.any_states(&device, chance);
                self.done().bad_connects += 1;
            }
            self.connect(keys, grants);
        }
        if self.device().is_none() {
            return;
        }
        let way = chance.below(WAYS as u64) as usize;
        self.done().attacks[way] += 1;
        self.attack(way, grants, chance);
        grants.restore();
        let (ring, port) = self.requests();
        let is_answered = comes(ANSWER_LIMIT_MS, || {
            notify(port);
            ring.answered() == ring.produced
        });
        if is_answered && self.is_served(grants, chance) {
            self.done().served += 1;
        } else {
            self.done().silences += 1;
            *self.device() = None;
        }
    }

    fn connect(&mut self, keys: &mut Keys, grants: &Grants) {
        let Some(device) = start_over(Self::KIND, keys) else {
            return;
        };
        self.offer(&device, keys, grants);
        keys.set_state(&device, DeviceState::Connected);
        if keys.back_end_gets(&device, &[DeviceState::Connected]) {
            self.done().connects += 1;
            *self.device() = Some(device);
        }
    }
}

/// A device of this kind, not connected.
fn start_over(kind: &str, keys: &mut Keys) -> Option<Device> {
    let device = keys.device(kind)?;
    keys.start_over(&device).then_some(device)
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
