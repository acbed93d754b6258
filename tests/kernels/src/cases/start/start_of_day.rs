//! The start-of-day page says what the ABI promises the first domain.

use super::super::prelude::*;
use crate::notes::VIRT_BASE;
use crate::start::start_info;
use guest_abi::start_of_day::{MAGIC_DOM0, StartFlags, VGA_OFFSET_AT, VGA_SIZE_AT};

pub(crate) fn run() {
    let info = start_info();
    let magic = &info.magic[..MAGIC_DOM0.len()];
    assert_eq!(magic, MAGIC_DOM0.as_bytes());
    assert_eq!(info.magic[MAGIC_DOM0.len()], 0, "the magic's end");
    assert!(
        info.flags
            .contains(StartFlags::PRIVILEGED | StartFlags::INITDOMAIN)
    );
    assert_eq!(
        info.nr_pages,
        64 << 20 >> 12,
        "frames of the domain, asked for in the options"
    );
    assert!(info.shared_info != 0 && info.shared_info.is_multiple_of(4096));
    assert_eq!((info.store_mfn, info.store_evtchn), (Mfn(0), Port(0)));
    assert_eq!(
        (info.mod_start, info.mod_len),
        (0, 0),
        "no module was given"
    );
    let own = core::ptr::from_ref(info) as u64;

    // Behind the structure, and the screen's description if there is one, the page is empty.
    let page = own as *const u8;
    // SAFETY: the page is mapped, and all bytes of it are numbers.
    let byte = |at: usize| unsafe { page.add(at).read_volatile() };
    let number = |at: usize| u32::from_le_bytes(core::array::from_fn(|index| byte(at + index)));
    let (screen, bytes) = (number(VGA_OFFSET_AT), number(VGA_SIZE_AT));
    let filled = match bytes {
        0 => size_of_val(info),
        _ => (screen + bytes) as usize,
    };
    assert!((filled..4096).all(|at| byte(at) == 0), "from {filled} on");

    // Everything lies in order behind the kernel: the list of frames, this page, tables, stack.
    assert!(info.mfn_list.0 > VIRT_BASE && info.mfn_list.0 < own);
    assert!(info.pt_base.0 > own && info.pt_base.0.is_multiple_of(4096));
    let stack = crate::start::initial()
        .rsp
        .load(core::sync::atomic::Ordering::Relaxed);
    assert!(info.pt_base.0 + info.nr_pt_frames * 4096 <= stack - 4096);
    // A root, one of level 3, one of level 2, and a level-1 table for each 2 MiB.
    let end = (stack - VIRT_BASE + (512 << 10)).next_multiple_of(4 << 20);
    assert!(
        info.nr_pt_frames >= 3 + end / (2 << 20),
        "{} tables",
        info.nr_pt_frames
    );
}
