//! A vCPU is initialised with roots that were never tables before: both are validated, whatever interrupts that. If
//! it is refused for something else, all of it is plain memory again.

use super::super::prelude::*;
use crate::memory::{FRAME_MASK, KERNEL_RW, TABLE, entry};
use crate::start::start_info;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};
use guest_abi::vcpu_op::{SetPeriodicTimer, VcpuOp};

/// Level-1 tables of each tree; each hangs in its level-2 table several times.
const LEAVES: usize = 48;
/// As often as a vCPU may have its timer tick.
const TICK_NS: u64 = 1_000_000;
/// Slots of a root that are not the kernel's.
const HYPERVISORS: core::ops::Range<usize> = 256..272;
/// A slot of a root that nothing else uses.
const SLOT: usize = 40;

/// The root that the new vCPU has found, once it runs.
static ROOT: AtomicU64 = AtomicU64::new(0);

struct Tree {
    root: Frame,
    others: [Frame; 2],
    leaves: [Frame; LEAVES],
}

impl Tree {
    fn new() -> Self {
        let [root, l3, l2] = Frame::alloc_many();
        let leaves: [Frame; LEAVES] = Frame::alloc_many();
        let target = Frame::alloc();
        root.write(SLOT, entry(l3.mfn(), TABLE));
        l3.write(7, entry(l2.mfn(), TABLE));
        for place in 0..512 {
            l2.write(place, entry(leaves[place % LEAVES].mfn(), TABLE));
        }
        for leaf in leaves {
            (0..512).for_each(|place| leaf.write(place, entry(target.mfn(), KERNEL_RW)));
        }
        Self {
            root,
            others: [l3, l2],
            leaves,
        }
    }

    fn frames(&self) -> impl Iterator<Item = Frame> {
        let Self {
            root,
            others,
            leaves,
        } = self;
        [*root].into_iter().chain(*others).chain(*leaves)
    }

    fn protect(&self) {
        self.frames().for_each(memory::make_readonly);
    }
}

fn new(_: VcpuId) {
    let root: u64;
    let trap = probe!("mov {root}, cr3"; root = out(reg) root);
    assert!(trap.is_none());
    ROOT.store(root, SeqCst);
}

pub(crate) fn run() {
    smp::need(2);
    let timer = SetPeriodicTimer { period_ns: TICK_NS };
    assert_eq!(
        smp::operate(VcpuOp::SetPeriodicTimer, VcpuId(0), &timer),
        Ok(0)
    );
    let (kernel, user) = (Tree::new(), Tree::new());
    let loaded = Frame::at(start_info().pt_base);
    for slot in (0..512).filter(|slot| *slot != SLOT && !HYPERVISORS.contains(slot)) {
        kernel.root.write(slot, loaded.read(slot));
    }
    let other = VcpuId(1);
    let mut context = smp::context(other);
    context.ctrlreg[3] = kernel.root.mfn().address();
    context.ctrlreg[1] = user.root.mfn().address();
    for _ in 0..3 {
        // Tables of the address space can't be tables of descriptors.
        (context.gdt_ents, context.gdt_frames[0]) = (512, kernel.root.mfn().0);
        [&kernel, &user].into_iter().for_each(Tree::protect);
        let outcome = smp::operate(VcpuOp::Initialise, other, &context);
        assert_eq!(outcome, Err(Errno::EINVAL));
        kernel
            .frames()
            .chain(user.frames())
            .for_each(memory::make_writable);
        // Nor is a user root whose last table has a fault.
        context.gdt_ents = 0;
        let last = user.leaves[LEAVES - 1];
        last.write(511, entry(Mfn(FRAME_MASK >> 12), KERNEL_RW));
        [&kernel, &user].into_iter().for_each(Tree::protect);
        let outcome = smp::operate(VcpuOp::Initialise, other, &context);
        assert_eq!(outcome, Err(Errno::EINVAL));
        kernel
            .frames()
            .chain(user.frames())
            .for_each(memory::make_writable);
        last.write(511, 0);
    }
    [&kernel, &user].into_iter().for_each(Tree::protect);
    assert_eq!(smp::operate(VcpuOp::Initialise, other, &context), Ok(0));
    smp::set_main(other, new);
    assert_eq!(smp::operate_plain(VcpuOp::Up, other), Ok(0));
    smp::wait_until("the new vCPU", || ROOT.load(SeqCst) != 0);
    assert_eq!(ROOT.load(SeqCst), kernel.root.mfn().address());
    for frame in kernel.frames().chain(user.frames()) {
        let writable = entry(frame.mfn(), KERNEL_RW);
        let outcome = memory::update_va_mapping(frame.va(), writable, 2);
        assert_eq!(outcome, Err(Errno::EBUSY), "{frame:?} is in use");
    }
}
