//! The hypervisor's log, and its debug keys.

#![forbid(unsafe_code)]

use super::{Answer, Done};
use crate::arch::console_input;
use crate::arch::guest::access;
use crate::arch::scheduler;
use crate::console;
use crate::hypercall::read as get;
use guest_abi::errno::Errno;
use guest_abi::ids::Vaddr;
use guest_abi::sysctl::{DebugKeys, ReadConsole, Sysctl};

/// Bytes that are copied at a time.
const PIECE: usize = 256;

/// Reads the log: from its oldest byte on, or from where the caller has come. More than the log holds is never
/// read, and what has not been read is never cleared: tools read it in pieces, each of which they clear.
pub(super) fn read(wish: &mut Sysctl) -> Answer {
    let mut range: ReadConsole = wish.u.read();
    let (start, end) = console::log_range();
    let mut at = if range.incremental == 0 {
        start
    } else {
        console::position_of(range.index, start, end)
    };
    let mut done = 0u32;
    while at < end && done < range.count {
        let mut piece = [0; PIECE];
        let wanted = ((range.count - done) as usize).min(PIECE);
        let room = piece.get_mut(..wanted).unwrap_or(&mut []);
        let (next, count) = console::read_log(at, room);
        let bytes = piece.get(..count).unwrap_or(&[]);
        if bytes.is_empty() {
            break;
        }
        let to = range
            .buffer
            .0
            .checked_add(done.into())
            .ok_or(Errno::EFAULT)?;
        access::write_bytes(Vaddr(to), bytes).map_err(|_| Errno::EFAULT)?;
        (at, done) = (next, done + count as u32);
    }
    if range.clear != 0 {
        console::clear_log_to(at);
    }
    range.count = done;
    range.index = at as u32;
    wish.u.write(&range);
    Ok(Done::WithAnswer)
}

/// Keys that are pressed at once at most.
const MOST_KEYS: u32 = 64;

/// Presses debug keys, as if they had been typed. They are handled before the caller goes on.
pub(super) fn press(wish: &Sysctl) -> Answer {
    let keys: DebugKeys = wish.u.read();
    if keys.nr_keys > MOST_KEYS {
        return Err(Errno::E2BIG);
    }
    for index in 0..u64::from(keys.nr_keys) {
        let at = keys.keys.0.checked_add(index).ok_or(Errno::EFAULT)?;
        console_input::press_later(get::<u8>(at)?);
    }
    scheduler::look_again();
    Ok(Done::Quietly)
}
