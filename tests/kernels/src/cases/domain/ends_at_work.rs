//! A domain is destroyed while its vCPUs are in the middle of hypercalls, and the first domain's other vCPUs in the middle of
//! some that are about it. All of it is gone afterwards, and what is left is as it was.

use super::super::prelude::*;
use super::busy_guest;
use crate::control::{FRAMES, Guest, Window, exists, free_frames, is_reference, populate, simple};
use crate::memory::{KERNEL_RO, Tables, entry};
use crate::{command_line, grant};
use core::hint::spin_loop;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
use guest_abi::domctl::DomctlOp;
use guest_abi::grant_op::{Copy, GrantStatus, MapFlags};
use guest_abi::memory_op::MemoryOp;
use guest_abi::mmu::MmuextOp;
use guest_abi::vcpu_context::VcpuGuestContext;

/// Rounds, if nobody asks for more.
const ROUNDS: u64 = 20;
/// From this one on nothing may be left.
const WARM: u64 = 6;

/// Where each vCPU maps grants, a root slot for each.
const GRANTS_AT: u64 = 0xffff_a800_0000_0000;

/// The domain that the others work with, plus 1; 0 for none.
static SUBJECT: AtomicU32 = AtomicU32::new(0);
/// Its frames.
static THEIRS: [AtomicU64; FRAMES] = [const { AtomicU64::new(0) }; FRAMES];
/// Others that work with it now.
static AT_WORK: AtomicU32 = AtomicU32::new(0);
/// What was done that wasn't refused, by kind.
static DONE: [AtomicU32; KINDS.len()] = [const { AtomicU32::new(0) }; KINDS.len()];
const KINDS: [&str; 9] = [
    "mapped its frames",
    "connected a port to one of its",
    "gave it memory",
    "pinned as a table what it uses as one of descriptors",
    "mapped its grant",
    "copied from its grant",
    "read a vCPU's state",
    "set a vCPU's state",
    "paused it",
];

fn count(kind: usize, is_done: bool) {
    DONE[kind].fetch_add(u32::from(is_done), SeqCst);
}

/// A frame that this domain copies to, and where it maps a grant.
struct Tools {
    window: Window,
    plain: Frame,
    grant_at: u64,
}

/// Everything that a first domain does to another, once.
fn work_with(guest: &Guest, tools: &Tools) {
    let id = guest.id;
    // What its second vCPU makes a table meanwhile, and a frame like others.
    let entries = [busy_guest::TABLE, busy_guest::PLAIN]
        .map(|frame| entry(Mfn(guest.frames[frame]), KERNEL_RO));
    count(0, tools.window.map(id, 0, &entries).0.is_ok());
    let port = event::alloc_unbound(id, DomId(0));
    let ours = port.and_then(|port| event::bind_interdomain(id, port));
    count(1, ours.is_ok());
    if let Ok(ours) = ours {
        let _ = event::send(ours);
        assert_eq!(event::close(ours), Ok(0));
    }
    let mut extent = [40];
    let is_given = populate(id, &mut extent) == Ok(1);
    count(2, is_given);
    // What it is given too late stays with it.
    if is_given && DONE[2].load(SeqCst).is_multiple_of(2) {
        let mut reservation = crate::reservation::extents(&mut extent, 0);
        reservation.domid = id;
        let _ = crate::reservation::reserve(MemoryOp::DecreaseReservation, reservation);
    }
    let (outcome, _) = guest.pin(MmuextOp::PinL1Table, busy_guest::DESCRIPTORS);
    count(3, outcome.is_ok());
    if outcome.is_ok() {
        let _ = guest.pin(MmuextOp::UnpinTable, busy_guest::DESCRIPTORS);
    }
    let mut wish = grant::mapping(MapFlags::HOST_MAP, busy_guest::FROM_GUEST, tools.grant_at);
    wish.dom = id;
    let mapped = grant::map(wish);
    let is_mapped = mapped.status == GrantStatus::Okay.number();
    count(4, is_mapped);
    let mut wish = Copy::new_zeroed();
    wish.source.frame = busy_guest::FROM_GUEST.into();
    (wish.source.domid, wish.len) = (id, 64);
    wish.flags = guest_abi::grant_op::CopyFlags::SOURCE_GREF;
    wish.dest.frame = tools.plain.mfn().0;
    wish.dest.domid = DomId::SELF;
    count(5, grant::copy(wish) == GrantStatus::Okay.number());
    let mut context = VcpuGuestContext::new_zeroed();
    count(6, guest.get_context(1, &mut context).is_ok());
    let is_paused = simple(DomctlOp::PauseDomain, id).is_ok();
    count(8, is_paused);
    count(7, guest.set_context(1, &guest.context(1)).is_ok());
    if is_paused {
        let _ = simple(DomctlOp::UnpauseDomain, id);
    }
    if is_mapped {
        let status = grant::unmap(mapped.handle, tools.grant_at, 0);
        assert_eq!(status, GrantStatus::Okay.number());
    }
    let (outcome, _) = tools.window.map(DomId::SELF, 0, &[0; 2]);
    assert_eq!(outcome, Ok(0));
}

/// What other vCPUs do.
fn work(vcpu: VcpuId) {
    let tools = Tools {
        window: Window::new(),
        plain: Frame::alloc(),
        grant_at: GRANTS_AT + (u64::from(vcpu.0) << 39),
    };
    Tables::hook(Vaddr(tools.grant_at));
    loop {
        AT_WORK.fetch_add(1, SeqCst);
        if let subject @ 1.. = SUBJECT.load(SeqCst) {
            let guest = Guest {
                id: DomId(subject as u16 - 1),
                frames: core::array::from_fn(|frame| THEIRS[frame].load(SeqCst)),
                window: tools.window,
            };
            work_with(&guest, &tools);
        }
        AT_WORK.fetch_sub(1, SeqCst);
        while SUBJECT.load(SeqCst) == 0 {
            spin_loop();
        }
    }
}

pub(crate) fn run() {
    smp::need(2);
    let rounds = command_line::number("rounds").unwrap_or(ROUNDS);
    let table = grant::Table::map(1);
    let (window, granted) = (Window::new(), Frame::alloc());
    for vcpu in 1..smp::nr_vcpus().min(3) {
        smp::start(VcpuId(vcpu), work);
    }
    let (mut before, mut calls) = (0, 0);
    for round in 0..rounds {
        let guest = busy_guest::make(window, &table, granted);
        for (to, mfn) in THEIRS.iter().zip(guest.frames) {
            to.store(mfn, SeqCst);
        }
        guest.start();
        SUBJECT.store(u32::from(guest.id.0) + 1, SeqCst);
        let passes = DONE[0].load(SeqCst);
        smp::wait_until("the others' first pass", || {
            DONE[0].load(SeqCst) > passes + 1
        });
        smp::wait_until("both vCPUs' first lists", || {
            busy_guest::finished(&guest)
                .iter()
                .all(|&count| count > round % 4)
        });
        // Somewhere in the next one.
        for _ in 0..(round * 7919) % 20_000 {
            spin_loop();
        }
        assert_eq!(simple(DomctlOp::DestroyDomain, guest.id), Ok(0));
        calls += busy_guest::successes(&guest);
        if round % 2 == 0 {
            // The others may be the last that hold it.
            window.clear(FRAMES);
        }
        SUBJECT.store(0, SeqCst);
        smp::wait_until("the others", || AT_WORK.load(SeqCst) == 0);
        window.clear(FRAMES);
        assert!(!exists(guest.id), "round {round}");
        if round == WARM {
            before = free_frames();
        }
    }
    let left = before.abs_diff(free_frames());
    let most = if is_reference() { 512 } else { 0 };
    assert!(left <= most, "{left} frames are gone");
    println!("its vCPUs: {calls} calls that were not refused");
    assert!(calls > 40 * rounds, "the domain was hardly at work");
    for (kind, done) in KINDS.iter().zip(&DONE) {
        let done = done.load(SeqCst);
        println!("the others {kind} {done} times");
        assert!(done > 0, "{kind}: never");
    }
}
