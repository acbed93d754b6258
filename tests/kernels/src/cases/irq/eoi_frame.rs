//! A frame in which the hypervisor shows which interrupts must be ended by hypercall: those of level lines.

use super::*;
use guest_abi::event_channel::BindPirqFlags;
use guest_abi::physdev::{PhysdevOp, PirqEoiGmfn};

pub(crate) fn run() {
    // A page table is no such frame, nor is what is not the domain's.
    for gmfn in [
        Frame::at(crate::start::start_info().pt_base).mfn(),
        Mfn(0xfec00),
        Mfn(1 << 40),
    ] {
        let mut wish = PirqEoiGmfn { gmfn };
        assert!(pirq::operate(PhysdevOp::PirqEoiGmfnV2, &mut wish).is_err());
    }
    let frame = Frame::alloc();
    let mut wish = PirqEoiGmfn { gmfn: frame.mfn() };
    assert_eq!(pirq::operate(PhysdevOp::PirqEoiGmfnV2, &mut wish), Ok(0));
    let mut again = PirqEoiGmfn {
        gmfn: Frame::alloc().mfn(),
    };
    assert_eq!(
        pirq::operate(PhysdevOp::PirqEoiGmfnV2, &mut again),
        Err(Errno::EBUSY)
    );

    const LEVEL: u32 = 17;
    const EDGE: u32 = 3;
    for (gsi, trigger) in [(LEVEL, 1), (EDGE, 0)] {
        let number = gsi as i32;
        assert_eq!(pirq::map(&mut pirq::line(number, number)), Ok(number));
        assert_eq!(pirq::set_up(number, trigger, trigger), Ok(0));
    }
    let ports =
        [LEVEL, EDGE].map(|gsi| pirq::bind(gsi, BindPirqFlags::empty()).expect("nobody has it"));
    assert_eq!(frame.read(0) & 1 << LEVEL, 1 << LEVEL);
    assert_eq!(frame.read(0) & 1 << EDGE, 0);
    for port in ports {
        assert_eq!(event::close(port), Ok(0));
    }
}
