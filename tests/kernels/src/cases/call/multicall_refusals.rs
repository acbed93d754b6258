//! A multicall in a multicall, and a list that can't be read or written, are refused.

use super::super::prelude::*;
use guest_abi::hypercall::Hypercall;
use guest_abi::multicall::MulticallEntry;

pub(crate) fn run() {
    let mut inner = [MulticallEntry::new_zeroed()];
    inner[0].op = Hypercall::Version.number();
    inner[0].result = 77;
    let mut list = [MulticallEntry::new_zeroed(); 2];
    list[0].op = Hypercall::Multicall.number();
    list[0].args = [inner.as_ptr() as u64, 1, 0, 0, 0, 0];
    list[1].op = Hypercall::Version.number();
    assert_eq!(hypercall!(Multicall, &mut list[..], 2u64), Ok(0));
    assert_eq!(list[0].result as i64, -22, "the inner one");
    assert_eq!(list[1].result, 4 << 16 | 17, "what comes behind");
    assert_eq!(inner[0].result, 77, "the inner list");

    let readonly = Frame::alloc();
    readonly.write(0, Hypercall::Version.number());
    memory::make_readonly(readonly);
    assert_eq!(
        hypercall!(Multicall, readonly.va(), 1u64),
        Err(Errno::EFAULT)
    );
    // The list ends where its page does and is longer than that.
    let [page, hole] = Frame::alloc_many();
    assert_eq!(memory::update_va_mapping(hole.va(), 0, 2), Ok(0));
    page.write(504, Hypercall::Version.number());
    let last = page.va().0 + 4096 - 64;
    assert_eq!(hypercall!(Multicall, last, 2u64), Err(Errno::EFAULT));
    assert_eq!(page.read(505), 4 << 16 | 17, "the call before the hole");
}
