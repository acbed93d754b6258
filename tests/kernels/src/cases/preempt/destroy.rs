//! A domain with many frames and tables is destroyed.

use super::super::prelude::*;
use super::{LEAVES, gives_way, listen};
use crate::control::{DATA, FRAMES, Guest, Window, control, exists, populate};
use crate::memory::{KERNEL_RO, KERNEL_RW, TABLE, entry};
use core::cell::Cell;
use guest_abi::domctl::DomctlOp;
use guest_abi::domctl_memory::MaxMem;
use guest_abi::mmu::{MmuextOp, MmuextOperation};

/// More frames than an ordinary one has: tables, and others.
const MORE: usize = 1024;
/// Tables above those of level 1.
const UPPER: usize = 3;
/// Where the tables are mapped while they are filled.
const AT: usize = 64;

/// A domain that has them, with a tree of tables that is pinned.
fn make(window: Window) -> DomId {
    let guest = Guest::empty_in(window, 1);
    let most = MaxMem {
        max_memkb: 4 * (FRAMES + MORE) as u64,
    };
    assert_eq!(control(DomctlOp::MaxMem, guest.id, &most), Ok(0));
    let mut more: [u64; MORE] = core::array::from_fn(|index| (FRAMES + index) as u64);
    assert_eq!(populate(guest.id, &mut more), Ok(MORE as u64));
    let tables = &more[..UPPER + LEAVES];
    for (first, piece) in (AT..).step_by(64).zip(tables.chunks(64)) {
        let mut entries = [0; 64];
        for (to, mfn) in entries.iter_mut().zip(piece) {
            *to = entry(Mfn(*mfn), KERNEL_RW);
        }
        let (outcome, _) = window.map(guest.id, first, &entries[..piece.len()]);
        assert_eq!(outcome, Ok(0));
    }
    window.write(AT, 0, entry(Mfn(more[1]), TABLE));
    window.write(AT + 1, 0, entry(Mfn(more[2]), TABLE));
    for leaf in 0..LEAVES {
        window.write(AT + 2, leaf, entry(Mfn(more[UPPER + leaf]), TABLE));
        for slot in 0..512 {
            let page = entry(Mfn(guest.frames[DATA]), KERNEL_RO);
            window.write(AT + UPPER + leaf, slot, page);
        }
    }
    window.clear(AT + UPPER + LEAVES);
    let mut operation = MmuextOperation::new_zeroed();
    (operation.cmd, operation.arg1) = (MmuextOp::PinL4Table.number(), more[0]);
    let mut done = 0u32;
    let list = [operation];
    let outcome = hypercall!(MmuextOp, &list[..], 1u64, &mut done, guest.id);
    assert_eq!(outcome, Ok(0));
    guest.id
}

pub(crate) fn run() {
    listen();
    let window = Window::new();
    let domain = Cell::new(DomId::SELF);
    gives_way(
        "destroy_domain",
        || domain.set(make(window)),
        || {
            let outcome = crate::control::simple(DomctlOp::DestroyDomain, domain.get());
            assert_eq!(outcome, Ok(0));
            assert!(!exists(domain.get()));
        },
    );
}
