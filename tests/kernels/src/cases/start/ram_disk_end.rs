//! Behind the RAM disk's last byte there is nothing of anybody else's on its last page.

use super::super::prelude::*;
use super::ram_disk::{BYTES, PAGES, mask};
use crate::start::start_info;

pub(crate) fn run() {
    let start = start_info().mod_start;
    println!(
        "RAM disk at machine address {:#x}",
        Frame::at(Vaddr(start)).mfn().address()
    );
    for index in BYTES / 8..PAGES * 512 {
        // SAFETY: mapped, and no reference points to it; a fault is reported.
        let found = unsafe { ((start + 8 * index) as *const u64).read_volatile() };
        assert_eq!(found & !mask(index), 0, "word {index}");
    }
}
