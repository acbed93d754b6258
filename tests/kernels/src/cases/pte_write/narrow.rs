//! Stores narrower than an entry change their part of it only.

use super::super::prelude::*;
use super::Live;
use crate::memory::WRITABLE;

pub(crate) fn run() {
    let live = Live::new();
    let at = live.at(0);
    assert_eq!(probe!("and byte ptr [{at}], 0xfd"; at = in(reg) at), None);
    assert_eq!(live.read(0), live.value & !WRITABLE);
    assert_eq!(
        probe!("mov [{at}], {low:l}"; at = in(reg) at, low = in(reg) live.value),
        None
    );
    assert_eq!(live.read(0), live.value);
    assert_eq!(
        probe!("lock and dword ptr [{at}], 0xfffffffd"; at = in(reg) at),
        None
    );
    assert_eq!(live.read(0), live.value & !WRITABLE);
    assert_eq!(
        probe!("mov [{at}], {low:e}"; at = in(reg) at, low = in(reg) live.value),
        None
    );
    assert_eq!(live.read(0), live.value);
    assert_eq!(probe!("bts word ptr [{at}], 9"; at = in(reg) at), None);
    assert_eq!(live.read(0), live.value | 1 << 9);
    // The upper half: no execution.
    let upper = (live.value >> 32) as u32 | 1 << 31;
    assert_eq!(
        probe!("mov [{at} + 4], {upper:e}"; at = in(reg) at, upper = in(reg) upper),
        None
    );
    assert_eq!(live.read(0), live.value | 1 << 9 | 1 << 63);
    // The half that holds half of a frame number: refused as the whole would be.
    let trap = probe!("or dword ptr [{at} + 4], 0x4000"; at = in(reg) at);
    trap::expect(trap, PF, PF_PRESENT | PF_WRITE);
    assert_eq!(live.read(0), live.value | 1 << 9 | 1 << 63);
}
