//! A domain without devices chooses no cache attributes and maps no device memory, whichever way it writes the entry.

use super::super::prelude::*;
use super::call_list::{List, maker_of_calls};
use crate::control::{BASE, DATA, Guest, L1};
use crate::memory::{
    CACHE_DISABLE, FRAME_MASK, KERNEL_RO, KERNEL_RW, PAT, PRESENT, WRITABLE, WRITE_THROUGH, entry,
};
use guest_abi::hypercall::Hypercall;

/// An entry of the domain's only L1 table that is not in use.
const FREE: u64 = 100;
/// What the domain chooses of an entry; the rest is the processor's and the hypervisor's.
const CHOSEN: u64 = FRAME_MASK | PRESENT | WRITABLE | WRITE_THROUGH | CACHE_DISABLE | PAT;
/// The screen, the firmware, an IO-APIC, the local APIC, and an address at which there is nothing at all.
const DEVICES: [u64; 5] = [0xb8, 0xf0, 0xf_ec00, 0xf_ee00, 0xf000_0000];

pub(crate) fn run() {
    let guest = Guest::with_code(maker_of_calls());
    let mut list = List::new(&guest);
    let own = Mfn(guest.frames[DATA]);
    let table = Mfn(guest.frames[L1]).address();
    let mut free = FREE;
    let mut try_entry = |value: u64, answer: i64| {
        // By the entry's machine address, and by the address that it maps.
        let arguments = [list.content_at(), 1, 0, DomId::SELF.0.into()];
        let content = [table + free * 8, value];
        list.add(Hypercall::MmuUpdate, arguments, &content, value, answer);
        let at = BASE + (free + 1) * 4096;
        let arguments = [at, value, 0, 0];
        list.add(Hypercall::UpdateVaMapping, arguments, &[], value, answer);
        let entries = free..free + 2;
        free += 2;
        (entries, value, answer)
    };
    let invalid = Errno::EINVAL.to_return();
    let attributes = [WRITE_THROUGH, CACHE_DISABLE, PAT];
    let tried = [KERNEL_RO, KERNEL_RW].map(|flags| {
        let all = WRITE_THROUGH | CACHE_DISABLE | PAT;
        let cached = attributes
            .map(|attribute| [attribute, all & !attribute])
            .map(|two| two.map(|choice| try_entry(entry(own, flags | choice), invalid)));
        let allowed = try_entry(entry(own, flags), 0);
        let devices = DEVICES.map(|frame| {
            // Nor with the attributes that suit a device: what the entry holds is looked at first.
            let refused = try_entry(
                entry(Mfn(frame), flags | WRITE_THROUGH | CACHE_DISABLE),
                invalid,
            );
            let answer = Errno::EPERM.to_return();
            [refused, try_entry(entry(Mfn(frame), flags), answer)]
        });
        (cached, allowed, devices)
    });
    assert_eq!(list.run(|_, _| false), 0, "wrong answers");
    for (cached, allowed, devices) in tried {
        let refused = cached
            .into_iter()
            .flatten()
            .chain(devices.into_iter().flatten());
        for (entries, value, answer) in refused.chain([allowed]) {
            for place in entries {
                let found = guest.window.read(L1, place as usize);
                assert_eq!(found & CHOSEN, if answer == 0 { value } else { 0 } & CHOSEN);
            }
        }
    }
    guest.end();
}
