//! The hypervisor's console, for the first domain.

#![forbid(unsafe_code)]

use super::{Answer, Outcome};
use crate::arch::console_input;
use crate::arch::guest::access;
use crate::arch::guest::running::Guest;
use crate::arch::scheduler;
use crate::console;
use guest_abi::console_io::ConsoleIo;
use guest_abi::errno::Errno;
use guest_abi::ids::Vaddr;

/// Bytes that are copied and written at a time.
const PIECE: usize = 128;

pub(super) fn console_io(guest: &Guest<'_>, operation: u64, count: u64, buffer: u64) -> Outcome {
    if !guest.domain.is_privileged() {
        return Err(Errno::EPERM).into();
    }
    match u32::try_from(operation)
        .ok()
        .and_then(|op| ConsoleIo::try_from(op).ok())
    {
        Some(ConsoleIo::Write) => write(count, buffer),
        Some(ConsoleIo::Read) => read(count, buffer).into(),
        None => Err(Errno::ENOSYS).into(),
    }
}

/// Gives the guest what was typed, as much as it has room for. The answer is how many bytes. What can't be
/// written to its buffer is lost.
fn read(count: u64, buffer: u64) -> Answer {
    let mut room = count & 0xffff_ffff;
    if room > i32::MAX as u64 {
        return Err(Errno::EINVAL);
    }
    let mut done = 0;
    while room != 0 {
        let mut piece = [0; PIECE];
        let wanted = room.min(PIECE as u64) as usize;
        let taken = match piece.get_mut(..wanted) {
            Some(piece) => console_input::take(piece),
            None => 0,
        };
        let Some(bytes) = piece.get(..taken).filter(|bytes| !bytes.is_empty()) else {
            break;
        };
        access::write_bytes(Vaddr(buffer.wrapping_add(done)), bytes).map_err(|_| Errno::EFAULT)?;
        done += taken as u64;
        room -= taken as u64;
    }
    Ok(done)
}

/// Writes the guest's bytes; a long text in several calls.
fn write(count: u64, buffer: u64) -> Outcome {
    // The count is a C int.
    let mut left = count & 0xffff_ffff;
    let mut at = buffer;
    if left > i32::MAX as u64 {
        return Err(Errno::EINVAL).into();
    }
    while left != 0 {
        let mut piece = [0; PIECE];
        let wanted = left.min(PIECE as u64) as usize;
        let Some(bytes) = piece.get_mut(..wanted) else {
            break;
        };
        if access::read_bytes(Vaddr(at), bytes).is_err() {
            return Err(Errno::EFAULT).into();
        }
        console::write_guest(bytes);
        at = at.wrapping_add(wanted as u64);
        left -= wanted as u64;
        if left != 0 && scheduler::should_yield() {
            return Outcome::again([ConsoleIo::Write as u64, left, at]);
        }
    }
    Ok(0).into()
}
