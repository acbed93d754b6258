//! The time zone of the machine.

use nix::libc::{localtime_r, time_t, tm};
use std::mem::MaybeUninit;

/// How much later it is here than in Greenwich, at so many seconds since 1970, in seconds: as the environment's `TZ` says, or
/// /etc/localtime, or 0 where there is neither.
#[must_use]
pub fn offset_seconds(at: i64) -> i64 {
    let at: time_t = at;
    let mut local = MaybeUninit::<tm>::zeroed();
    // SAFETY: the call reads the one and writes the other, both of which live until it returns. It reads the environment,
    // which nothing in this program changes.
    let written = unsafe { localtime_r(&raw const at, local.as_mut_ptr()) };
    if written.is_null() {
        return 0;
    }
    // SAFETY: all zero is a value of this structure, and the call has written another one.
    unsafe { local.assume_init() }.tm_gmtoff
}
