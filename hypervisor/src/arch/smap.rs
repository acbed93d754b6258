//! Supervisor-mode access prevention: the few instructions that lift it are put in at boot, where the
//! processor has it; elsewhere their places hold no-operations.

use super::features::{self, Features};

const STAC: [u8; 3] = [0x0f, 0x01, 0xcb];
const CLAC: [u8; 3] = [0x0f, 0x01, 0xca];

/// Puts STAC and CLAC where they belong.
///
/// # Safety
/// Called once, by the first processor, on the early page tables, which map the image writable.
pub(super) unsafe fn patch() {
    unsafe extern "C" {
        static __smap_patch_start: i32;
        static __smap_patch_end: i32;
        static __smap_patch_stac_start: i32;
        static __smap_patch_stac_end: i32;
    }
    if !features::get().contains(Features::SMAP) {
        return;
    }
    let tables = [
        (
            &raw const __smap_patch_start,
            &raw const __smap_patch_end,
            CLAC,
        ),
        (
            &raw const __smap_patch_stac_start,
            &raw const __smap_patch_stac_end,
            STAC,
        ),
    ];
    for (start, end, code) in tables {
        let count = (end as usize - start as usize) / 4;
        // SAFETY: the linker script puts exactly the places between the symbols.
        for place in unsafe { core::slice::from_raw_parts(start, count) } {
            let at = (&raw const *place as u64).wrapping_add_signed(i64::from(*place));
            // SAFETY: three bytes of no-operation, not executed while they change (one processor runs).
            unsafe { (at as *mut [u8; 3]).write_volatile(code) };
        }
    }
}
