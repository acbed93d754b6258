//! `set_trap_table` refuses handlers at addresses that no processor accepts, and lists that it can't read;
//! without a list it clears the table.

use super::super::prelude::*;
use crate::verdict;

pub(crate) fn run() {
    let mut entry = trap::info(UD as u8, 0);
    entry.address = Vaddr(NON_CANONICAL);
    assert_eq!(trap::set_table(&[entry]), Err(Errno::EINVAL));
    for pointer in [
        0x1000u64,
        Vaddr::HYPERVISOR_START.0 + 0x4000_0000_0000,
        NON_CANONICAL,
    ] {
        assert_eq!(
            hypercall!(SetTrapTable, pointer),
            Err(Errno::EFAULT),
            "{pointer:#x}"
        );
    }
    // What was there before is still there.
    trap::expect(probe!("ud2"), UD, 0);

    assert_eq!(hypercall!(SetTrapTable, 0u64), Ok(0));
    verdict::expect_crash();
    probe!("ud2");
    panic!("the table is not cleared");
}
