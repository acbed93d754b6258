//! Bytes for tests that read calls from bytes, where no fuzzer has made them.
#![forbid(unsafe_code)]

use std::vec::Vec;

/// So many lists of so many bytes, the same each time. A generator by multiplication is random enough.
pub(crate) fn made_up_bytes(lists: usize, length: usize) -> impl Iterator<Item = Vec<u8>> {
    let mut state = 1_u64;
    let mut byte = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..lists).map(move |_| (0..length).map(|_| byte()).collect())
}
