//! A table grows to what is asked for, up to its limit; its frames are listed, zero, and writable.

use super::super::prelude::*;
use crate::grant::{Table, query_size, setup_table};
use guest_abi::address_space::M2P_INVALID;
use guest_abi::grant_op::{GrantStatus, GrantTableOp, SetupTable};

const OKAY: i16 = GrantStatus::Okay.number();

pub(crate) fn run() {
    let (outcome, status, now, most) = query_size(DomId::SELF);
    assert_eq!((outcome, status), (Ok(0), OKAY));
    assert_eq!(most, 64);
    assert!(now <= most, "{now}");
    assert_eq!(query_size(DomId::DOM0), (Ok(0), OKAY, now, most));

    let mut list = [0u64; 64];
    let at = Vaddr(list.as_mut_ptr() as u64);
    for (wanted, then) in [(1, 1), (5, 5), (3, 5), (64, 64), (0, 64)] {
        assert_eq!(setup_table(DomId::SELF, wanted, at), (Ok(0), OKAY));
        let (_, _, now, _) = query_size(DomId::SELF);
        assert_eq!(now, then, "after asking for {wanted}");
    }
    // The same frames whenever asked, all of them different, none in the table of frame numbers.
    let first = list;
    assert_eq!(setup_table(DomId::DOM0, 64, at), (Ok(0), OKAY));
    assert_eq!(list, first);
    for (index, mfn) in list.iter().enumerate() {
        assert!(!list[..index].contains(mfn), "{mfn:#x} twice");
        assert_eq!(Frame::of_mfn(Mfn(*mfn)).pfn(), Pfn(M2P_INVALID));
    }
    let table = Table::map(64);
    for gref in [8, 511, 512, 64 * 512 - 1] {
        assert_eq!(table.flags(gref), 0);
        table.fill(gref, 1, DomId(3), Mfn(4));
        assert_eq!(table.flags(gref), 1);
    }

    // Too many; nobody's; nowhere to list them.
    let general = GrantStatus::GeneralError.number();
    assert_eq!(setup_table(DomId::SELF, 65, at), (Ok(0), general));
    assert_eq!(setup_table(DomId::SELF, u32::MAX, at), (Ok(0), general));
    let bad_domain = GrantStatus::BadDomain.number();
    assert_eq!(setup_table(DomId(77), 1, at), (Ok(0), bad_domain));
    assert_eq!(query_size(DomId(77)).1, bad_domain);
    let bad_address = GrantStatus::BadVirtAddr.number();
    assert_eq!(
        setup_table(DomId::SELF, 1, Vaddr(0x1000)),
        (Ok(0), bad_address)
    );
    // One element, no more and no less.
    let mut ops = [SetupTable::new_zeroed(); 2];
    for op in [GrantTableOp::SetupTable, GrantTableOp::QuerySize] {
        for count in [0u64, 2] {
            let outcome = hypercall!(GrantTableOp, op.number(), &mut ops[..], count);
            assert_eq!(outcome, Err(Errno::EINVAL), "{op:?} x{count}");
        }
    }
}
