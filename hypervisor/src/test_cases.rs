//! How many cases random tests try. Tests outside of the library share this file.

use core::ops::Mul;

/// By what `PARAVANE_TEST_FACTOR` multiplies their number: 1 without it.
pub(super) fn factor() -> u32 {
    let said = std::env::var("PARAVANE_TEST_FACTOR").ok();
    said.and_then(|said| said.parse().ok()).unwrap_or(1)
}

/// So many as usual, multiplied by that.
pub(super) fn cases<T: Mul<Output = T> + From<u32>>(usual: T) -> T {
    usual * T::from(factor())
}
