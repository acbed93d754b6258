//! An update of a word in a frame that is no table is a store, whatever the value.

use super::super::prelude::*;

pub(crate) fn run() {
    let frame = Frame::alloc();
    for (index, value) in [(0, u64::MAX), (7, 0x1234), (511, 0xdead_beef_0000_0001)] {
        assert_eq!(memory::set_entry(frame.word_address(index), value), Ok(0));
        assert_eq!(frame.read(index), value);
    }
}
