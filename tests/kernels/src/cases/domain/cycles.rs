//! Domains come and go, and nothing of them stays: memory, ports, numbers.

use super::super::prelude::*;
use crate::control::{FRAMES, Guest, Window, exists, free_frames, simple};
use guest_abi::domctl::DomctlOp;

user_code!(runs_for_ever, "2: inc qword ptr [rsi]", "jmp 2b");

pub(crate) fn run() {
    let window = Window::new();
    let mut before = 0;
    let port = event::alloc_unbound(DomId::SELF, DomId(0)).expect("no port");
    assert_eq!(event::close(port), Ok(0));
    for cycle in 0..200u32 {
        let guest = Guest::empty_in(window, 1 + cycle % 3);
        let theirs = event::alloc_unbound(guest.id, DomId(0)).expect("no port there");
        let ours = event::bind_interdomain(guest.id, theirs).expect("no port here");
        if cycle % 4 != 0 {
            guest.build(runs_for_ever());
            assert_eq!(guest.set_context(0, &guest.context(0)), Ok(0));
        }
        if cycle % 4 > 1 {
            guest.start();
        }
        if cycle % 2 == 0 {
            assert_eq!(event::close(ours), Ok(0));
        }
        assert_eq!(simple(DomctlOp::DestroyDomain, guest.id), Ok(0));
        // What this domain maps keeps it on the list.
        assert!(exists(guest.id), "cycle {cycle}");
        window.clear(FRAMES);
        assert!(!exists(guest.id), "cycle {cycle}");
        if cycle % 2 != 0 {
            assert_eq!(event::close(ours), Ok(0));
        }
        // Lists that grow and stay have grown by then.
        if cycle == 20 {
            before = free_frames();
        }
    }
    let left = before.abs_diff(free_frames());
    // The reference gives some of its own memory back when it gets to it.
    let most = if crate::control::is_reference() {
        512
    } else {
        0
    };
    assert!(left <= most, "{left} frames are gone");
    let again = event::alloc_unbound(DomId::SELF, DomId(0));
    assert_eq!(again, Ok(port), "ports are left");
}
