//! Events: sent to the vCPU itself, and taken.

use super::*;
use core::arch::global_asm;
use core::sync::atomic::{AtomicU64, Ordering};
use guest_abi::callback_op::{CallbackFlags, CallbackType};
use guest_abi::event_channel::{EventChannelOp, Send};
use guest_abi::hypercall::Hypercall;

// The shortest way in that clears what is pending, and back.
global_asm!(
    ".pushsection .text.bench_events, \"ax\"",
    ".global bench_event",
    ".type bench_event, @function",
    "bench_event:",
    "pop rcx",
    "pop r11",
    "push 0",
    "push rcx",
    "push r11",
    "push rax",
    "mov rax, [rip + {info}]",
    "mov byte ptr [rax], 0", // upcall_pending
    "mov qword ptr [rax + 8], 0", // pending_sel
    "mov rax, [rip + {pending}]",
    "mov qword ptr [rax], 0",
    "inc qword ptr [rip + {count}]",
    "mov eax, {iret}",
    "syscall",
    "ud2",
    ".size bench_event, . - bench_event",
    ".popsection",
    info = sym INFO,
    pending = sym PENDING,
    count = sym COUNT,
    iret = const Hypercall::Iret.number(),
);

/// Where the vCPU's information is, where the pending bits are, and how often the way in was taken.
static INFO: AtomicU64 = AtomicU64::new(0);
static PENDING: AtomicU64 = AtomicU64::new(0);
static COUNT: AtomicU64 = AtomicU64::new(0);

pub(super) fn run() {
    unsafe extern "C" {
        static bench_event: u8;
    }
    let shared = event::shared_info();
    let port = event::bind_ipi(VcpuId(0));
    assert!(port.0 < 64);
    INFO.store(
        core::ptr::from_ref(event::vcpu_info()) as u64,
        Ordering::Relaxed,
    );
    PENDING.store(shared.pending.as_ptr() as u64, Ordering::Relaxed);
    let entry = Vaddr(&raw const bench_event as u64);
    let outcome = trap::register_callback(CallbackType::Event, CallbackFlags::MASK_EVENTS, entry);
    assert_eq!(outcome, Ok(0));

    let send = Send { port };
    let send = &raw const send as u64;
    let arguments = [EventChannelOp::Send as u64, send, 0, 0];
    measure_call("event to self, masked", Hypercall::EventChannelOp, |_| {
        shared.pending[0].store(0, Ordering::SeqCst);
        event::vcpu_info().pending_sel.store(0, Ordering::SeqCst);
        event::vcpu_info().upcall_pending.store(0, Ordering::SeqCst);
        arguments
    });
    shared.pending[0].store(0, Ordering::SeqCst);
    event::vcpu_info().pending_sel.store(0, Ordering::SeqCst);
    event::vcpu_info().upcall_pending.store(0, Ordering::SeqCst);
    event::vcpu_info().upcall_mask.store(0, Ordering::SeqCst);
    COUNT.store(0, Ordering::Relaxed);
    measure_call(
        "event to self, upcall and return",
        Hypercall::EventChannelOp,
        |_| arguments,
    );
    assert_eq!(COUNT.load(Ordering::Relaxed), SAMPLES as u64 + 3);
    event::mask_upcalls();
    assert_eq!(event::close(port), Ok(0));
    let outcome = trap::register_callback(
        CallbackType::Event,
        CallbackFlags::MASK_EVENTS,
        trap::stub(trap::EVENT),
    );
    assert_eq!(outcome, Ok(0));
}
