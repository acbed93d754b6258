//! The hypervisor's console, for the first domain.
#![forbid(unsafe_code)]

use super::CallersMemory;
use guest_abi::errno::Errno;

/// Bytes that are copied and written at a time, with interrupts off: 3 ms of a line of 115200 bits a second.
pub const PIECE: usize = 32;

/// The console, and the processor's time.
pub trait Console {
    /// Shows bytes of the guest's.
    fn show(&self, bytes: &[u8]);
    /// Takes what was typed, as much as there is room for; says how many bytes.
    fn take(&self, room: &mut [u8]) -> usize;
    /// Whether the processor is wanted for something else.
    fn should_yield(&self) -> bool;
}

/// How far a text is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shown {
    /// All of it.
    All,
    /// The call is to be made again with this count and this address.
    Until {
        /// Bytes that are left.
        left: u64,
        /// Where they are.
        at: u64,
    },
}

/// The count is a C int.
fn count_of(argument: u64) -> Result<u64, Errno> {
    match argument & 0xffff_ffff {
        count if count > i32::MAX as u64 => Err(Errno::EINVAL),
        count => Ok(count),
    }
}

/// Gives the guest what was typed, as much as it has room for. The answer is how many bytes. What can't be
/// written to its buffer is lost.
///
/// # Errors
/// `EINVAL` for a count that is negative, `EFAULT`.
pub fn read(
    memory: &impl CallersMemory,
    console: &impl Console,
    count: u64,
    buffer: u64,
) -> Result<u64, Errno> {
    let mut room = count_of(count)?;
    let mut done = 0;
    while room != 0 {
        let mut piece = [0; PIECE];
        let wanted = room.min(PIECE as u64) as usize;
        let taken = match piece.get_mut(..wanted) {
            Some(piece) => console.take(piece),
            None => 0,
        };
        let Some(bytes) = piece.get(..taken).filter(|bytes| !bytes.is_empty()) else {
            break;
        };
        memory.write_bytes(buffer.wrapping_add(done), bytes)?;
        done += taken as u64;
        room -= taken as u64;
    }
    Ok(done)
}

/// Shows the guest's bytes; a long text in several calls.
///
/// # Errors
/// `EINVAL` for a count that is negative; `EFAULT`, when what can be read is shown up to a piece that can't.
pub fn write(
    memory: &impl CallersMemory,
    console: &impl Console,
    count: u64,
    buffer: u64,
) -> Result<Shown, Errno> {
    let mut left = count_of(count)?;
    let mut at = buffer;
    while left != 0 {
        let mut piece = [0; PIECE];
        let wanted = left.min(PIECE as u64) as usize;
        let Some(bytes) = piece.get_mut(..wanted) else {
            break;
        };
        memory.read_bytes(at, bytes)?;
        console.show(bytes);
        at = at.wrapping_add(wanted as u64);
        left -= wanted as u64;
        if left != 0 && console.should_yield() {
            return Ok(Shown::Until { left, at });
        }
    }
    Ok(Shown::All)
}
