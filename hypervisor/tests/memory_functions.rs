//! The hypervisor's own memcpy, memmove and memset do what they must, for every size, alignment and distance.

#![cfg(target_arch = "x86_64")]

use std::arch::global_asm;

global_asm!(
    include_str!("../src/arch/memory_functions.S"),
    options(att_syntax)
);

unsafe extern "C" {
    fn pv_memmove(to: *mut u8, from: *const u8, bytes: usize) -> *mut u8;
    fn pv_memset(to: *mut u8, byte: i32, bytes: usize) -> *mut u8;
}

/// Every size up to this, and some larger ones.
const SMALL: usize = 140;

fn sizes() -> impl Iterator<Item = usize> {
    (0..SMALL).chain([
        255, 256, 257, 511, 512, 513, 519, 520, 527, 1024, 1031, 4096,
    ])
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length)
        .map(|index| (index as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0])
        .collect()
}

fn check_move(from: usize, to: usize, size: usize) {
    let before = pattern(from.max(to) + size + 16);
    let mut wanted = before.clone();
    wanted.copy_within(from..from + size, to);
    let mut found = before;
    let base = found.as_mut_ptr();
    // SAFETY: both areas are inside the vector.
    let returned = unsafe { pv_memmove(base.add(to), base.add(from), size) };
    assert_eq!(returned as usize, base as usize + to);
    assert!(found == wanted, "{size} bytes from {from} to {to}");
}

#[test]
fn areas_may_overlap_in_any_way() {
    for size in sizes() {
        for distance in (0..80).chain([size.saturating_sub(1), size, size + 1]) {
            for start in [0, 1, 5, 8] {
                check_move(start, start + distance, size);
                check_move(start + distance, start, size);
            }
        }
    }
}

#[test]
fn exactly_the_area_is_filled() {
    for size in sizes() {
        for start in 0..9 {
            for byte in [0, 1, 0x7f, 0x80, 0xff] {
                let mut wanted = pattern(start + size + 16);
                let mut found = wanted.clone();
                wanted[start..start + size].fill(byte as u8);
                // SAFETY: inside the vector.
                let returned = unsafe { pv_memset(found.as_mut_ptr().add(start), byte, size) };
                assert_eq!(returned as usize, found.as_ptr() as usize + start);
                assert!(found == wanted, "{size} bytes at {start}");
            }
        }
    }
}

#[test]
fn only_the_lowest_byte_of_the_value_counts() {
    let mut found = [0u8; 40];
    // SAFETY: inside the array.
    unsafe { pv_memset(found.as_mut_ptr(), 0x1234_56ab, 40) };
    assert_eq!(found, [0xab; 40]);
}
