//! An entry of the root that is in force gets a tree of tables, and loses it. What is left of it then is done in the next call.

use super::super::prelude::*;
use super::{Tree, UPCALLS, calls_made_anew, gives_way, listen};
use crate::memory::{SPARE, TABLE, entry, set_entry};
use crate::start::start_info;

pub(crate) fn run() {
    listen();
    let root = Frame::at(start_info().pt_base);
    let tree = Tree::new(SPARE);
    let place = root.word_address(memory::index(SPARE, 4));
    let fill = || assert_eq!(set_entry(place, entry(tree.l3.mfn(), TABLE)), Ok(0));
    let clear = || {
        assert_eq!(set_entry(place, 0), Ok(0));
        assert_eq!(set_entry(place, 0), Ok(0));
    };
    gives_way("an entry that is filled", clear, fill);
    // The first timer comes at the first call's end.
    let anew = calls_made_anew("an entry that is cleared", fill, clear);
    assert!(anew >= UPCALLS - 1, "{anew}");
    memory::make_writable(tree.l3);
}
