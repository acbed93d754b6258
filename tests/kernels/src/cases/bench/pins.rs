//! Address spaces: pinned, loaded, unpinned.

use super::*;
use crate::memory::{KERNEL_RO, PRESENT, TABLE, USER, entry};
use guest_abi::hypercall::Hypercall;
use guest_abi::mmu::{MmuextOp, MmuextOperation};

/// Pages of a process.
const PAGES: u64 = PRESENT | USER | KERNEL_RO;

/// A root with one table of level 3, one of level 2 and `TABLES` of level 1, each of which maps `pages` pages.
fn address_space<const TABLES: usize>(pages: usize) -> Frame {
    let [l4, l3, l2] = Frame::alloc_many();
    let l1: [Frame; TABLES] = Frame::alloc_many();
    l4.write(0, entry(l3.mfn(), TABLE));
    l3.write(0, entry(l2.mfn(), TABLE));
    for (index, table) in l1.iter().enumerate() {
        l2.write(index, entry(table.mfn(), TABLE));
        for page in 0..pages {
            table.write(page * 7, entry(Frame::alloc().mfn(), PAGES));
        }
    }
    [l4, l3, l2]
        .iter()
        .chain(&l1)
        .for_each(|table| memory::make_readonly(*table));
    l4
}

fn operation(op: MmuextOp, mfn: Mfn) -> MmuextOperation {
    let mut operation = MmuextOperation::new_zeroed();
    operation.cmd = op.number();
    operation.arg1 = mfn.0;
    operation
}

pub(super) fn run() {
    for (name, root) in [
        (
            [
                "pin of 4 tables and 60 pages",
                "unpin of 4 tables and 60 pages",
            ],
            address_space::<1>(60),
        ),
        (
            [
                "pin of 64 tables and 488 pages",
                "unpin of 64 tables and 488 pages",
            ],
            address_space::<61>(8),
        ),
    ] {
        let pin = operation(MmuextOp::PinL4Table, root.mfn());
        let unpin = operation(MmuextOp::UnpinTable, root.mfn());
        let arguments = |operation: &MmuextOperation| {
            let at = core::ptr::from_ref(operation) as u64;
            [at, 1, 0, u64::from(DomId::SELF.0)]
        };
        // Done until it is done: it may be interrupted.
        let all = |operation| {
            assert_eq!(call(Hypercall::MmuextOp.number(), arguments(operation)), 0);
        };
        measure(
            name[0],
            |round| {
                if round > 0 {
                    all(&unpin)
                }
            },
            |_| all(&pin),
        );
        measure(
            name[1],
            |round| {
                if round > 0 {
                    all(&pin)
                }
            },
            |_| all(&unpin),
        );
    }

    let roots = [address_space::<1>(1), address_space::<1>(1)];
    for root in roots {
        assert_eq!(memory::pin(4, root.mfn()), Ok(0));
    }
    let loads = roots.map(|root| operation(MmuextOp::NewUserBaseptr, root.mfn()));
    measure_call("new user root", Hypercall::MmuextOp, |round| {
        let at = &raw const loads[round % 2] as u64;
        [at, 1, 0, u64::from(DomId::SELF.0)]
    });
}
