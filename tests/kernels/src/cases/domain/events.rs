//! Event channels between two domains.

use super::super::prelude::*;
use crate::control::{DATA, Guest};
use guest_abi::event_channel::{AllocUnbound, EventChannelOp};

// Binds to the first domain's port in word 1 of the data page, writes its own port to word 2, sends once, then waits for
// word 3 and sends again; what its calls returned is in words 4 and 5.
user_code!(
    binds_and_sends,
    "mov rbx, rsi",
    "sub rsp, 32",
    "mov dword ptr [rsp], 0",
    "mov rax, [rbx + 8]",
    "mov [rsp + 4], eax",
    "mov eax, 32",
    "mov edi, 0",
    "mov rsi, rsp",
    "syscall",
    "mov [rbx + 32], rax",
    "mov eax, [rsp + 8]",
    "mov [rsp], eax",
    "mov [rbx + 16], rax",
    "mov eax, 32",
    "mov edi, 4",
    "mov rsi, rsp",
    "syscall",
    "mov [rbx + 40], rax",
    "mov qword ptr [rbx], 1",
    "2: pause",
    "cmp qword ptr [rbx + 24], 0",
    "je 2b",
    "mov eax, 32",
    "mov edi, 4",
    "mov rsi, rsp",
    "syscall",
    "mov [rbx + 40], rax",
    "mov qword ptr [rbx], 2",
    "2: pause",
    "jmp 2b",
);

pub(crate) fn run() {
    let guest = Guest::with_code(binds_and_sends());
    let ours = event::alloc_unbound(DomId::SELF, guest.id).expect("no port");
    guest.window.write(DATA, 1, u64::from(ours.0));
    event::unmask_upcalls();
    assert_eq!(event::unmask(ours), Ok(0));
    guest.start();
    guest.wait_for(0, 1);
    assert_eq!(
        (guest.window.read(DATA, 4), guest.window.read(DATA, 5)),
        (0, 0)
    );
    smp::wait_until("the event", || event::count(ours) != 0);
    let status = event::status(ours).expect("no status");
    let theirs = Port(guest.window.read(DATA, 2) as u32);
    assert_eq!((status.remote_dom, status.remote_port), (guest.id, theirs));
    // A port of another's that is not for us, and one that is.
    assert!(event::bind_interdomain(guest.id, theirs).is_err());
    let mut wish = AllocUnbound::new_zeroed();
    (wish.dom, wish.remote_dom) = (guest.id, DomId(0));
    assert_eq!(
        event::operate(EventChannelOp::AllocUnbound, &mut wish),
        Ok(0)
    );
    let bound = event::bind_interdomain(guest.id, wish.port).expect("no port");
    // Closed here, it is unbound there: sending to nobody succeeds.
    assert_eq!(event::close(ours), Ok(0));
    guest.window.write(DATA, 3, 1);
    guest.wait_for(0, 2);
    assert_eq!(guest.window.read(DATA, 5), 0);
    guest.end();
    // The other end has gone: this one is unbound, for a domain that there may be again.
    let status = event::status(bound).expect("no status");
    assert_eq!(
        status.status,
        guest_abi::event_channel::ChannelStatus::Unbound.number()
    );
    assert_eq!(event::close(bound), Ok(0));
}
