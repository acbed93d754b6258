//! vCPUs whose ticks set the next one each, while they wait in all ways there are and wake each other: whatever comes
//! at whatever moment, no tick is lost. One would be enough: there would never be another.

use super::super::prelude::*;
use super::{block, poll_ports};
use crate::chance::Chance;
use crate::clock::{self, MS};
use crate::memory::mmuext_two;
use crate::{command_line, cpu};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
use guest_abi::mmu::MmuextOp;
use guest_abi::sched_op::SchedOp;
use guest_abi::time::RunstateInfo;
use guest_abi::vcpu_op::VcpuOp;

/// Unless the command line says `rounds=`.
const ROUNDS: u64 = 300;
/// As many vCPUs as play.
const MOST: usize = 4;
/// Far more than a tick takes, on a machine with other work to do. Unless the command line says `limit=`, in seconds.
const LIMIT_S: u64 = 20;

struct Player {
    timer: AtomicU32,
    /// A port that is taken, and one that is masked.
    ports: [AtomicU32; 2],
    /// Ticks that have set the next.
    ticks: AtomicU32,
    last_ns: AtomicU64,
}

static PLAYERS: [Player; MOST] = [const {
    Player {
        timer: AtomicU32::new(0),
        ports: [const { AtomicU32::new(0) }; 2],
        ticks: AtomicU32::new(0),
        last_ns: AtomicU64::new(0),
    }
}; MOST];
static DONE: AtomicU32 = AtomicU32::new(0);

fn handle(_: &mut trap::Trap) {
    event::dispatch();
    let player = &PLAYERS[cpu::id().0 as usize];
    let ticks = event::count(Port(player.timer.load(SeqCst)));
    if player.ticks.swap(ticks, SeqCst) != ticks {
        let now = clock::now_ns();
        player.last_ns.store(now, SeqCst);
        // From at once to a little later.
        let later = (Chance::new(now).below(8) * MS / 4).saturating_sub(MS / 8);
        clock::set_timer(now + later);
    }
}

/// Nobody waits for a tick in vain.
fn look_at_all(count: u32) {
    let now = clock::now_ns();
    let limit_ns = command_line::number("limit").unwrap_or(LIMIT_S) * 1000 * MS;
    for (id, player) in (0..count).map(VcpuId).zip(&PLAYERS) {
        let last = player.last_ns.load(SeqCst);
        if last != 0 && now.saturating_sub(last) > limit_ns {
            complain(id, player, now.saturating_sub(last) / MS);
        }
    }
}

/// One that computes has a processor that does not get on; one that waits with its tick pending has been forgotten.
#[cold]
fn complain(id: VcpuId, player: &Player, ms: u64) {
    let mut state = RunstateInfo::new_zeroed();
    let _ = hypercall!(
        VcpuOp,
        VcpuOp::GetRunstateInfo.number(),
        id.0,
        &raw mut state as u64
    );
    let info = event::vcpu_info_of(id);
    panic!(
        "{id:?} had its last tick, number {}, {ms} ms ago: state {}, tick {}, upcall {}, masked {}",
        player.ticks.load(SeqCst),
        state.state,
        event::is_pending(Port(player.timer.load(SeqCst))),
        info.upcall_pending.load(SeqCst),
        info.upcall_mask(),
    );
}

fn play(vcpu: VcpuId) {
    let me = &PLAYERS[vcpu.0 as usize];
    let count = smp::nr_vcpus().min(MOST as u32);
    let mut chance = Chance::new(clock::tsc() ^ u64::from(vcpu.0));
    clock::stop_periodic_timer();
    me.timer.store(clock::bind_timer().0, SeqCst);
    me.last_ns.store(clock::now_ns(), SeqCst);
    clock::set_timer(clock::now_ns() + MS);
    let rounds = command_line::number("rounds").unwrap_or(ROUNDS);
    for _ in 0..rounds {
        let other = &PLAYERS[chance.below(count.into()) as usize];
        let port = other.ports[chance.below(2) as usize].load(SeqCst);
        if port != 0 {
            assert_eq!(event::send(Port(port)), Ok(0));
        }
        match chance.below(8) {
            0..4 => {
                event::mask_upcalls();
                chance.spin(20_000);
                block();
            }
            4 => {
                event::mask_upcalls();
                let own = Port(me.ports[1].load(SeqCst));
                let end = clock::now_ns() + chance.below(MS);
                assert_eq!(poll_ports(&[own], end), Ok(0));
                event::clear_pending(own);
            }
            5 => {
                let _ = hypercall!(SchedOp, SchedOp::Yield.number());
            }
            6 => assert_eq!(mmuext_two(MmuextOp::TlbFlushAll, 0, 0), Ok(0)),
            _ => {
                event::unmask_upcalls();
                chance.spin(1_000_000);
            }
        }
        event::unmask_upcalls();
        look_at_all(count);
    }
    DONE.fetch_add(1, SeqCst);
    while DONE.load(SeqCst) < count {
        look_at_all(count);
        let _ = hypercall!(SchedOp, SchedOp::Yield.number());
    }
}

pub(crate) fn run() {
    smp::need(2);
    trap::set_handler(trap::EVENT, handle);
    let count = smp::nr_vcpus().min(MOST as u32);
    for (id, player) in (0..count).zip(&PLAYERS) {
        let [open, masked] = [event::bind_ipi(VcpuId(id)), event::bind_ipi(VcpuId(id))];
        event::mask(masked);
        player.ports[0].store(open.0, SeqCst);
        player.ports[1].store(masked.0, SeqCst);
    }
    for id in 1..count {
        smp::start(VcpuId(id), play);
    }
    play(VcpuId(0));
    let least = PLAYERS.iter().take(count as usize);
    let least = least.map(|player| player.ticks.load(SeqCst)).min();
    assert!(least > Some(10), "{least:?} ticks of one vCPU");
}
