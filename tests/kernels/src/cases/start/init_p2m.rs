//! A kernel that asks for it finds its list of frames at the address that it names, or (where that is not
//! offered) in the initial mapping; either way the list agrees with the machine-to-physical table.

use crate::memory::Frame;
use crate::notes::VIRT_BASE;
use crate::start::start_info;

/// The address in the note.
const WANTED: u64 = 0x80_0000_0000;

pub(crate) fn run() {
    let info = start_info();
    let list = info.mfn_list.0;
    if list == WANTED {
        assert!(info.nr_p2m_frames >= info.nr_pages.div_ceil(512));
        assert!(info.first_p2m_pfn.0 + info.nr_p2m_frames <= info.nr_pages);
    } else {
        assert!(list > VIRT_BASE, "the list is at {list:#x}");
    }
    let frame = Frame::alloc();
    assert_eq!(Frame::of_mfn(frame.mfn()), frame);
}
