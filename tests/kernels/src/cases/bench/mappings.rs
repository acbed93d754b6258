//! Changing mappings by hypercall.

use super::*;
use crate::memory::{DIRTY, KERNEL_RW, SPARE, Tables, entry, update};
use guest_abi::hypercall::Hypercall;
use guest_abi::mmu::{MmuUpdate, UVMF_ALL, UVMF_INVLPG, UVMF_TLB_FLUSH};
use guest_abi::multicall::MulticallEntry;

const MANY: usize = 32;

pub(super) fn run() {
    let tables = Tables::hook(SPARE);
    let pages: [Frame; MANY] = Frame::alloc_many();
    let entries = pages.map(|page| entry(page.mfn(), KERNEL_RW));
    let mut list = entries.map(|value| update(tables.l1.word_address(0), value));
    for (index, request) in list.iter_mut().enumerate() {
        request.ptr = tables.l1.word_address(index);
    }
    let list = core::cell::Cell::from_mut(&mut list);
    let set = |value: &dyn Fn(usize) -> u64| {
        let mut new = list.get();
        for (index, request) in new.iter_mut().enumerate() {
            request.val = value(index);
        }
        list.set(new);
    };
    let at = list.as_ptr() as u64;
    for count in [1, MANY] {
        let updates = |name: &str, before: &dyn Fn(usize) -> u64, value: &dyn Fn(usize) -> u64| {
            let arguments = [at, count as u64, 0, u64::from(DomId::SELF.0)];
            measure_call(name, Hypercall::MmuUpdate, |_| {
                set(before);
                assert_eq!(call(Hypercall::MmuUpdate.number(), arguments), 0);
                set(value);
                arguments
            });
        };
        let name = |what| match (count, what) {
            (1, 0) => "mmu_update of 1, a page mapped",
            (1, 1) => "mmu_update of 1, a page unmapped",
            (1, 2) => "mmu_update of 1, a page for another",
            (1, _) => "mmu_update of 1, flags only",
            (_, 0) => "mmu_update of 32, pages mapped",
            (_, 1) => "mmu_update of 32, pages unmapped",
            (_, 2) => "mmu_update of 32, pages for others",
            (_, _) => "mmu_update of 32, flags only",
        };
        updates(name(0), &|_| 0, &|index| entries[index]);
        updates(name(1), &|index| entries[index], &|_| 0);
        updates(name(2), &|index| entries[index], &|index| {
            entries[(index + 1) % MANY]
        });
        updates(name(3), &|index| entries[index], &|index| {
            entries[index] & !DIRTY
        });
    }
    set(&|_| 0);
    assert_eq!(memory::mmu_update(&list.get()).0, Ok(0));

    let at = SPARE.0;
    for (name, flags) in [
        ("update_va_mapping without a flush", 0),
        ("update_va_mapping, page flushed", UVMF_INVLPG),
        (
            "update_va_mapping, page flushed everywhere",
            UVMF_INVLPG | UVMF_ALL,
        ),
        ("update_va_mapping, all flushed", UVMF_TLB_FLUSH),
    ] {
        measure_call(name, Hypercall::UpdateVaMapping, |round| {
            [at, entries[round % 2], flags, 0]
        });
    }
    multicall(at, &entries);
    let mut updates: [MmuUpdate; MANY] = list.get();
    updates.iter_mut().for_each(|request| request.val = 0);
    assert_eq!(memory::mmu_update(&updates).0, Ok(0));
}

/// Eight mappings in one, as kernels batch them.
fn multicall(at: u64, entries: &[u64; MANY]) {
    let mut list = [MulticallEntry::new_zeroed(); 8];
    let list = core::cell::Cell::from_mut(&mut list);
    let address = list.as_ptr() as u64;
    measure_call(
        "multicall of 8 update_va_mapping",
        Hypercall::Multicall,
        |round| {
            let mut new = list.get();
            for (index, entry) in new.iter_mut().enumerate() {
                entry.op = Hypercall::UpdateVaMapping.number();
                entry.args[..3].copy_from_slice(&[
                    at + index as u64 * 4096,
                    entries[(index + round) % MANY],
                    0,
                ]);
            }
            list.set(new);
            [address, 8, 0, 0]
        },
    );
    assert!(list.get().iter().all(|entry| entry.result == 0));
}
