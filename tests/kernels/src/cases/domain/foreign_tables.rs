//! `mmu_update` on another domain's tables: whose they are is in the upper half of the owner's number.

use super::super::prelude::*;
use crate::control::{DATA, FRAMES, Guest, L1};
use crate::memory::{FRAME_MASK, KERNEL_RW, entry, update};

// Copies the first word of its last page.
user_code!(
    shows_last_page,
    "2: mov rax, [rsi + 9 * 4096]",
    "mov [rsi], rax",
    "pause",
    "jmp 2b"
);

const LAST: usize = FRAMES - 1;
const _: () = assert!(LAST - DATA == 9);

/// Sets an entry in tables of `tables_of` to a frame of `frames_of`; how many were set is told, too.
fn set(address: u64, value: u64, tables_of: u32, frames_of: DomId) -> (Result<u64, Errno>, u32) {
    let list = [update(address, value)];
    let mut done = 77;
    let who = tables_of << 16 | u32::from(frames_of.0);
    let outcome = hypercall!(MmuUpdate, &list[..], 1u64, &mut done, who);
    (outcome, done)
}

pub(crate) fn run() {
    let guest = Guest::with_code(shows_last_page());
    let tables_of = |domain: DomId| u32::from(domain.0) + 1;
    guest.window.write(LAST, 0, 0x1515);
    guest.window.write(LAST - 1, 0, 0x1414);
    let place = Mfn(guest.frames[L1]).address() + LAST as u64 * 8;
    let value = |frame: usize| entry(Mfn(guest.frames[frame]), KERNEL_RW);
    let before = guest.window.read(L1, LAST);

    // It is no table of one's own, and no frame.
    let refused = (Err(Errno::EINVAL), 0);
    assert_eq!(set(place, value(LAST - 1), 0, guest.id), refused);
    assert_eq!(
        set(place, value(LAST - 1), tables_of(DomId::DOM0), guest.id),
        refused
    );
    let own = Frame::alloc();
    let own_entry = entry(own.mfn(), KERNEL_RW);
    let (outcome, done) = set(place, own_entry, tables_of(guest.id), guest.id);
    assert!(
        outcome.is_err() && done == 0,
        "not the other's: {outcome:?}"
    );
    // One's own table is none of the other's.
    let (table, index) = memory::leaf_of(own.va()).unwrap();
    let own_place = table.word_address(index);
    assert_eq!(set(own_place, 0, tables_of(guest.id), DomId::SELF), refused);
    // Tables of none.
    assert_eq!(
        set(place, value(LAST - 1), 0x1235, guest.id).0,
        Err(Errno::ESRCH)
    );
    assert_eq!(guest.window.read(L1, LAST), before);

    let done = (Ok(0), 1);
    // Its table, its frame.
    assert_eq!(
        set(place, value(LAST - 1), tables_of(guest.id), guest.id),
        done
    );
    let found = guest.window.read(L1, LAST);
    assert_eq!(found & FRAME_MASK, Mfn(guest.frames[LAST - 1]).address());
    guest.start();
    guest.wait_for(0, 0x1414);
    // Not a table any more that this domain may make writable, by whichever way.
    let table = entry(Mfn(guest.frames[L1]), KERNEL_RW);
    assert!(set(place, table, tables_of(guest.id), guest.id).0.is_err());

    // One's own tables, said so.
    let frame = Frame::alloc();
    frame.write(0, 0x77);
    let own_entry = entry(frame.mfn(), KERNEL_RW);
    assert_eq!(
        set(own_place, own_entry, tables_of(DomId::DOM0), DomId::SELF),
        done
    );
    assert_eq!(
        memory::mmuext_two(guest_abi::mmu::MmuextOp::InvlpgLocal, own.va().0, 0),
        Ok(0)
    );
    assert_eq!(own.read(0), 0x77);
    guest.end();
}
