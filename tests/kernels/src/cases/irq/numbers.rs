//! Numbers of interrupts: what is refused, and what is the same twice.

use super::*;
use guest_abi::physdev::{
    GetFreePirq, IrqStatus, IrqStatusQuery, IrqVector, MapPirqType, PhysdevOp,
};

pub(crate) fn run() {
    // Lines.
    assert_eq!(pirq::map(&mut pirq::line(-1, -1)), Err(Errno::EINVAL));
    assert_eq!(pirq::map(&mut pirq::line(4000, 4000)), Err(Errno::EINVAL));
    assert_eq!(pirq::map(&mut pirq::line(17, 1 << 20)), Err(Errno::EINVAL));
    // The interval timer's, wherever it is wired to.
    assert_eq!(pirq::map(&mut pirq::line(0, 0)), Err(Errno::EPERM));
    assert_eq!(pirq::map(&mut pirq::line(17, 17)), Ok(17));
    assert_eq!(pirq::map(&mut pirq::line(17, 17)), Ok(17));
    assert_eq!(pirq::map(&mut pirq::line(17, 18)), Err(Errno::EEXIST));
    let mut elsewhere = pirq::line(18, 18);
    elsewhere.domid = DomId(77);
    assert_eq!(pirq::map(&mut elsewhere), Err(Errno::ESRCH));
    let mut unknown = pirq::line(18, 18);
    unknown.map_type = MapPirqType::Unknown as i32;
    assert_eq!(pirq::map(&mut unknown), Err(Errno::EINVAL));

    // Ends.
    assert_eq!(pirq::end(17), Ok(0));
    assert_eq!(pirq::end(19), Err(Errno::EINVAL));
    let mut query = IrqStatusQuery::new_zeroed();
    for irq in [17, 19] {
        query.irq = irq;
        assert_eq!(pirq::operate(PhysdevOp::IrqStatusQuery, &mut query), Ok(0));
        assert_eq!(query.flags, IrqStatus::NEEDS_EOI);
    }

    // Vectors are dummies.
    for irq in [17, 12345] {
        let mut wish = IrqVector { irq, vector: 0 };
        assert_eq!(pirq::operate(PhysdevOp::AllocIrqVector, &mut wish), Ok(0));
        assert_eq!(wish.vector, irq);
    }

    assert_eq!(pirq::unmap(17), Ok(0));
    assert_eq!(pirq::unmap(17), Err(Errno::EINVAL));
    assert_eq!(pirq::unmap(-1), Err(Errno::EINVAL));
    assert_eq!(pirq::unmap(1 << 20), Err(Errno::EINVAL));
    assert_eq!(pirq::end(17), Err(Errno::EINVAL));

    // Numbers for later.
    let mut free = GetFreePirq::new_zeroed();
    free.map_type = MapPirqType::Gsi as i32;
    assert_eq!(pirq::operate(PhysdevOp::GetFreePirq, &mut free), Ok(0));
    assert_eq!(free.pirq, 16);
    assert_eq!(pirq::operate(PhysdevOp::GetFreePirq, &mut free), Ok(0));
    assert_eq!(free.pirq, 17);

    // How a line signals is said once.
    assert_eq!(pirq::set_up(0, 0, 0), Err(Errno::EEXIST));
    assert_eq!(pirq::set_up(16, 1, 1), Ok(0));
    assert_eq!(pirq::set_up(16, 1, 1), Err(Errno::EEXIST));
    assert_eq!(pirq::set_up(-1, 1, 1), Err(Errno::EINVAL));
    assert_eq!(pirq::set_up(4000, 1, 1), Err(Errno::EINVAL));
}
