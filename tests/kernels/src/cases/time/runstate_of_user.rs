//! The area of a vCPU that is in user mode when others take its processor is right when its kernel looks.

use super::super::prelude::*;
use crate::clock::{self, MS};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst};
use guest_abi::time::{RunState, RunstateInfo};
use guest_abi::vcpu_op::{RegisterArea, VcpuOp};

user_code!(user_forever, "2: inc rcx", "jmp 2b");
user_code!(user_over, "syscall");

static ENTRY: AtomicU64 = AtomicU64::new(0);
static CHECKS: AtomicU32 = AtomicU32::new(0);
static IS_OVER: AtomicBool = AtomicBool::new(false);
static PAGE: AtomicU64 = AtomicU64::new(0);

fn area() -> &'static [AtomicU64; 6] {
    // SAFETY: a page of our own that is mapped for good and used as nothing else.
    unsafe { &*(PAGE.load(SeqCst) as *const [AtomicU64; 6]) }
}

/// The kernel looks, events masked: nothing changes until it is through, unless it is interrupted in between.
fn look() {
    for _ in 0..1000 {
        let entry = area()[1].load(SeqCst);
        let mut info = RunstateInfo::new_zeroed();
        let outcome = hypercall!(VcpuOp, VcpuOp::GetRunstateInfo.number(), 0u64, &mut info);
        assert_eq!(outcome, Ok(0));
        let again = area()[1].load(SeqCst);
        if entry == again && info.state_entry_time == entry {
            assert_eq!(area()[0].load(SeqCst) as u32, RunState::Running.number());
            ENTRY.store(entry, SeqCst);
            CHECKS.fetch_add(1, SeqCst);
            return;
        }
    }
    panic!("the area lags behind the account");
}

fn handle(trap: &mut trap::Trap) {
    event::dispatch();
    look();
    if CHECKS.load(SeqCst) < 20 {
        clock::set_timer(clock::now_ns() + 15 * MS);
    } else {
        trap.frame.rip = user::code(user_over()).0;
    }
}

fn compute(_: VcpuId) {
    while !IS_OVER.load(SeqCst) {
        core::hint::spin_loop();
    }
}

pub(crate) fn run() {
    let page = Frame::alloc();
    PAGE.store(page.va().0, SeqCst);
    let wish = RegisterArea { address: page.va() };
    let outcome = smp::operate(VcpuOp::RegisterRunstateMemoryArea, VcpuId(0), &wish);
    assert_eq!(outcome, Ok(0));
    for id in 1..smp::nr_vcpus().min(4) {
        smp::start(VcpuId(id), compute);
    }
    user::load_new();
    clock::stop_periodic_timer();
    clock::bind_timer();
    trap::set_handler(trap::EVENT, handle);
    clock::set_timer(clock::now_ns() + 5 * MS);
    let trap = user::enter(&user::registers(user_forever()));
    assert_eq!(trap.frame.vector, trap::SYSCALL);
    IS_OVER.store(true, SeqCst);
    assert_eq!(CHECKS.load(SeqCst), 20);
}
