//! `physdev_op` refuses levels, bitmaps and interrupts that do not exist.

use super::super::prelude::*;
use guest_abi::physdev::{Eoi, IrqStatusQuery, PhysdevOp, SetIobitmap, SetIopl};

pub(crate) fn run() {
    let outcome = hypercall!(PhysdevOp, PhysdevOp::SetIopl.number(), &SetIopl { iopl: 4 });
    assert_eq!(outcome, Err(Errno::EINVAL));
    let mut bitmap = SetIobitmap::new_zeroed();
    bitmap.nr_ports = 65537;
    let outcome = hypercall!(PhysdevOp, PhysdevOp::SetIobitmap.number(), &bitmap);
    assert_eq!(outcome, Err(Errno::EINVAL));
    let mut query = IrqStatusQuery::new_zeroed();
    query.irq = 0xffff_ffff;
    let outcome = hypercall!(PhysdevOp, PhysdevOp::IrqStatusQuery.number(), &mut query);
    assert_eq!(outcome, Err(Errno::EINVAL));
    let outcome = hypercall!(
        PhysdevOp,
        PhysdevOp::Eoi.number(),
        &Eoi { irq: 0xffff_ffff }
    );
    assert_eq!(outcome, Err(Errno::EINVAL));
}
