//! `update_va_mapping_otherdomain` maps frames of the owner that it is told: the caller itself, or the
//! owner of device memory.

use super::super::prelude::*;
use crate::memory::{KERNEL_RO, KERNEL_RW, entry};

pub(crate) fn run() {
    let [place, frame] = Frame::alloc_many();
    frame.write(3, 0x3333);
    let map = |entry: u64, owner: u16| {
        hypercall!(UpdateVaMappingOtherdomain, place.va(), entry, 2u64, owner)
    };
    assert_eq!(map(entry(frame.mfn(), KERNEL_RO), DomId::SELF.0), Ok(0));
    assert_eq!(place.read(3), 0x3333);
    assert_eq!(map(entry(Mfn(0xb8), KERNEL_RW), DomId::IO.0), Ok(0));
    assert_eq!(
        map(entry(frame.mfn(), KERNEL_RO), 0x1234),
        Err(Errno::ESRCH)
    );
    // Its own memory is not the other owner's.
    assert!(map(entry(frame.mfn(), KERNEL_RO), DomId::IO.0).is_err());
    assert_eq!(map(entry(frame.mfn(), KERNEL_RO), DomId::SELF.0), Ok(0));
}
