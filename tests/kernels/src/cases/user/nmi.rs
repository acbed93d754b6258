//! A non-maskable interrupt while user mode runs enters the kernel by vector 2, and user mode goes on as if
//! nothing had been.

use super::super::prelude::*;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use guest_abi::vcpu_op::VcpuOp;

static COUNT: AtomicU32 = AtomicU32::new(0);
static IN_USER: AtomicU32 = AtomicU32::new(0);
static IS_OVER: AtomicBool = AtomicBool::new(false);

// Counts down, far longer than it takes until another vCPU has had its turn, and sees to it that nothing is
// lost on the way.
user_code!(
    user_count,
    "mov rbx, 0x1234",
    "20:",
    "lea rbx, [rbx + 1]",
    "sub rcx, 1",
    "jnz 20b",
    "syscall",
);

fn handle(trap: &mut trap::Trap) {
    COUNT.fetch_add(1, SeqCst);
    if trap.frame.is_user() {
        IN_USER.fetch_add(1, SeqCst);
    }
}

fn send(_: VcpuId) {
    while !IS_OVER.load(SeqCst) {
        let before = COUNT.load(SeqCst);
        assert_eq!(smp::operate_plain(VcpuOp::SendNmi, VcpuId(0)), Ok(0));
        while COUNT.load(SeqCst) == before && !IS_OVER.load(SeqCst) {
            let _ = hypercall!(SchedOp, 0u64);
        }
    }
}

pub(crate) fn run() {
    // Longer than a slice, on any machine.
    const ROUNDS: u64 = 100_000_000;
    smp::need(2);
    user::load_new();
    trap::set_handler(NMI, handle);
    event::unmask_upcalls();
    smp::start(VcpuId(1), send);
    smp::wait_until("an NMI in user mode", || {
        let mut registers = user::registers(user_count());
        registers.rcx = ROUNDS;
        let frame = user::enter(&registers).frame;
        assert_eq!(frame.vector, trap::SYSCALL);
        assert_eq!(frame.rbx, 0x1234 + ROUNDS, "a round was lost");
        event::unmask_upcalls();
        IN_USER.load(SeqCst) != 0
    });
    IS_OVER.store(true, SeqCst);
}
