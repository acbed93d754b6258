//! Grants between two domains: mapped, copied, and what becomes of them when the granter or the grantee ends.

use super::super::prelude::*;
use crate::control::{DATA, FRAMES, Guest, exists};
use crate::grant;
use crate::memory::{KERNEL_RW, entry};
use guest_abi::grant_op::{GrantStatus, GrantTableOp, MapFlags, MapGrantRef};
use guest_abi::grant_table::EntryType;
use guest_abi::memory_op::{AcquireResource, MemoryOp, Resource};

user_code!(spins_granting, "2: pause", "jmp 2b");

/// Where in the window the guest's first grant frame is: behind its memory.
const TABLE: usize = FRAMES + 84;

/// Maps the guest's first grant frame.
fn map_table(guest: &Guest) {
    let mut frames = [0u64; 1];
    let mut wish = AcquireResource::new_zeroed();
    (wish.domid, wish.resource) = (guest.id, Resource::GrantTable.number());
    wish.nr_frames = 1;
    wish.frame_list = Vaddr(frames.as_mut_ptr() as u64);
    let outcome = hypercall!(MemoryOp, MemoryOp::AcquireResource.number(), &mut wish);
    assert_eq!(outcome, Ok(0));
    let entries = [entry(Mfn(frames[0]), KERNEL_RW)];
    assert_eq!(guest.window.map(guest.id, TABLE, &entries), (Ok(0), 1));
}

fn mapping(guest: &Guest, gref: u32, at: Frame) -> MapGrantRef {
    let mut op = grant::mapping(MapFlags::HOST_MAP, gref, at.va().0);
    op.dom = guest.id;
    op
}

fn map(op: MapGrantRef) -> MapGrantRef {
    let mut list = [op];
    assert_eq!(grant::operate(GrantTableOp::MapGrantRef, &mut list), Ok(0));
    list[0]
}

pub(crate) fn run() {
    let guest = Guest::with_code(spins_granting());
    map_table(&guest);
    let head = u64::from(EntryType::PermitAccess.number());
    let grant_data = |gref: usize, frame: usize| {
        let value = head | guest.frames[frame] << 32;
        guest.window.write(TABLE, gref, value);
    };
    grant_data(8, DATA);
    let [at] = Frame::alloc_many();
    // Nothing is granted by number 9, and nothing at all by a domain that is not there.
    assert!(map(mapping(&guest, 9, at)).status != GrantStatus::Okay.number());
    let mut nobody = mapping(&guest, 8, at);
    nobody.dom = DomId(77);
    assert_eq!(map(nobody).status, GrantStatus::BadDomain.number());
    let mapped = map(mapping(&guest, 8, at));
    assert_eq!(mapped.status, GrantStatus::Okay.number());
    guest.window.write(DATA, 3, 0xabcd);
    assert_eq!(at.read(3), 0xabcd);
    // In use, and marked so.
    assert!(guest.window.read(TABLE, 8) & 0x18 == 0x18);
    // The granter dies. The grant stays in use, and with it the domain.
    guest.destroy();
    guest.window.clear(TABLE + 1);
    assert!(exists(guest.id), "a grant is in use");
    assert_eq!(at.read(3), 0xabcd);
    let unmapped = grant::unmap(mapped.handle, at.va().0, 0);
    assert_eq!(unmapped, GrantStatus::Okay.number());
    assert!(!exists(guest.id), "the last use has ended");
}
