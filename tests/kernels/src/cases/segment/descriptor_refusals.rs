//! `update_descriptor` refuses descriptors that no guest may have, addresses between two, and frames that
//! are tables of pages or not the domain's.

use super::super::prelude::*;
use super::{data, load_gdt};

pub(crate) fn run() {
    let [table, pages] = Frame::alloc_many();
    memory::make_readonly(table);
    assert_eq!(load_gdt(table.mfn()), Ok(0));
    let update = |address: u64, descriptor: u64| hypercall!(UpdateDescriptor, address, descriptor);
    for bad in [
        0x0000_ee00_0000_0000, // interrupt gate
        0x0000_ef00_0000_0000, // trap gate
        0x0000_8900_0000_0067, // task segment
        0x0000_8200_0000_0fff, // local table
        0x0000_e500_0000_0000, // task gate
    ] {
        assert_eq!(
            update(table.word_address(3), bad),
            Err(Errno::EINVAL),
            "{bad:#x}"
        );
        assert_eq!(table.read(3), 0);
    }
    assert_eq!(
        update(table.word_address(3) + 4, data(0, 3)),
        Err(Errno::EINVAL)
    );
    assert_eq!(update(0x7f_ffff_f000, data(0, 3)), Err(Errno::EINVAL));
    memory::make_readonly(pages);
    assert_eq!(memory::pin(1, pages.mfn()), Ok(0));
    assert_eq!(
        update(pages.word_address(3), data(0, 3)),
        Err(Errno::EINVAL)
    );
    assert_eq!(pages.read(3), 0);
}
