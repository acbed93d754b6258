//! A root of user mode that is no table yet becomes one when it is loaded.

use super::super::prelude::*;
use super::{Tree, UPCALLS, calls_made_anew, gives_way, listen};
use crate::memory::{SPARE, mmuext_one, set_entry};
use crate::start::start_info;
use guest_abi::mmu::MmuextOp;

pub(crate) fn run() {
    listen();
    let root = Tree::new(Vaddr(0x40_0000)).l4;
    let load = |root| assert_eq!(mmuext_one(MmuextOp::NewUserBaseptr, root), Ok(0));
    // What is left of it is done in the next call that changes tables.
    let unused = Frame::at(start_info().pt_base).word_address(memory::index(SPARE, 4));
    let unload = || {
        load(Mfn(0));
        assert_eq!(set_entry(unused, 0), Ok(0));
    };
    gives_way("a root that is loaded", unload, || load(root.mfn()));
    let anew = calls_made_anew("a root that is unloaded", || load(root.mfn()), unload);
    assert!(anew >= UPCALLS - 1, "{anew}");
    memory::make_writable(root);
}
