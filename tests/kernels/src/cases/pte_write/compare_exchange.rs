//! CMPXCHG stores when the entry is as expected, gives it back when it is not, and sets the zero flag.

use super::super::prelude::*;
use super::Live;
use crate::memory::WRITABLE;

pub(crate) fn run() {
    let live = Live::new();
    let readonly = live.value & !WRITABLE;
    for is_locked in [false, true] {
        let (mut rax, mut is_equal): (u64, u8);
        let try_it = |expected: u64, new: u64| {
            let (found, is_equal): (u64, u8);
            let trap = if is_locked {
                probe!(
                    "lock cmpxchg [{at}], {new}",
                    "sete {flag}";
                    at = in(reg) live.at(0),
                    new = in(reg) new,
                    flag = out(reg_byte) is_equal,
                    inout("rax") expected => found,
                )
            } else {
                probe!(
                    "cmpxchg [{at}], {new}",
                    "sete {flag}";
                    at = in(reg) live.at(0),
                    new = in(reg) new,
                    flag = out(reg_byte) is_equal,
                    inout("rax") expected => found,
                )
            };
            assert_eq!(trap, None);
            (found, is_equal)
        };
        (rax, is_equal) = try_it(live.value, readonly);
        assert_eq!((rax, is_equal, live.read(0)), (live.value, 1, readonly));
        (rax, is_equal) = try_it(0x1234, live.value);
        assert_eq!((rax, is_equal, live.read(0)), (readonly, 0, readonly));
        (rax, is_equal) = try_it(readonly, live.value);
        assert_eq!((rax, is_equal, live.read(0)), (readonly, 1, live.value));
    }
}
