//! A tree of tables is pinned and unpinned.

use super::super::prelude::*;
use super::{Tree, gives_way, listen};
use crate::memory::{pin, unpin};

pub(crate) fn run() {
    listen();
    let root = Tree::new(Vaddr(0x40_0000)).l4;
    let is_pinned = core::cell::Cell::new(false);
    let take = || {
        assert_eq!(pin(4, root.mfn()), Ok(0));
        is_pinned.set(true);
    };
    let drop = || {
        assert_eq!(unpin(root.mfn()), Ok(0));
        is_pinned.set(false);
    };
    let have = |wanted: bool| {
        if is_pinned.get() != wanted {
            if wanted { take() } else { drop() }
        }
    };
    gives_way("pin", || have(false), take);
    assert_eq!(pin(4, root.mfn()), Err(Errno::EINVAL), "twice");
    gives_way("unpin", || have(true), drop);
    // It is nobody's table any more.
    memory::make_writable(root);
}
