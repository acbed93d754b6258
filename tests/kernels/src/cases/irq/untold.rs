//! A number that the caller can't be told of, as what it asks with can't be written, is neither kept for it nor given to a line.

use super::*;
use crate::memory::{KERNEL_RO, KERNEL_RW, entry, update_va_mapping};
use guest_abi::physdev::{GetFreePirq, MapPirqType, PhysdevOp};
use zerocopy::IntoBytes;

/// `UVMF_INVLPG`.
const FLUSH_PAGE: u64 = 2;
const GSI: i32 = 17;

pub(crate) fn run() {
    let page = Frame::alloc();
    let ask = |op: PhysdevOp, wish: &[u8]| {
        for (index, word) in wish.chunks(8).enumerate() {
            let mut bytes = [0; 8];
            bytes[..word.len()].copy_from_slice(word);
            page.write(index, u64::from_le_bytes(bytes));
        }
        let map = |flags| update_va_mapping(page.va(), entry(page.mfn(), flags), FLUSH_PAGE);
        assert_eq!(map(KERNEL_RO), Ok(0));
        let outcome = hypercall!(PhysdevOp, op.number(), page.va().0);
        assert_eq!(outcome, Err(Errno::EFAULT), "{op:?}");
        assert_eq!(map(KERNEL_RW), Ok(0));
    };
    ask(PhysdevOp::MapPirq, pirq::line(GSI, GSI).as_bytes());
    assert_eq!(pirq::unmap(GSI), Err(Errno::EINVAL));

    let mut wish = GetFreePirq::new_zeroed();
    wish.map_type = MapPirqType::Gsi as i32;
    ask(PhysdevOp::GetFreePirq, wish.as_bytes());
    let mut free = || {
        assert_eq!(pirq::operate(PhysdevOp::GetFreePirq, &mut wish), Ok(0));
        wish.pirq
    };
    // The lowest that any may have.
    assert_eq!(free(), 16);
    assert_eq!(free(), 17);
}
