//! Reading and writing the memory of the guest that runs, at its own addresses.
//!
//! An address is the guest's claim: it is checked to lie outside the hypervisor's part of the address
//! space, and the access itself may fault, which the exception table turns into an error. Nothing is ever
//! referenced in place: bytes are copied in once and used from the copy.
//!
//! Faults of the guest's own making are the only ones that are recovered: a non-canonical address, a page
//! that is not there, a page that is read-only.

use crate::arch::layout::{HYPERVISOR_END, HYPERVISOR_START};
use crate::arch::percpu::{self, MAX_CPUS};
use crate::registers::Registers;
use crate::speculation;
use core::arch::asm;
use core::mem::{MaybeUninit, offset_of, size_of};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use guest_abi::ids::Vaddr;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// The guest's memory could not be read or written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct AccessFault;

/// The last page fault of an access to guest memory on each processor: address, and error code.
static LAST_FAULT: [(AtomicU64, AtomicU32); MAX_CPUS] =
    [const { (AtomicU64::new(0), AtomicU32::new(0)) }; MAX_CPUS];

/// Called when an access to guest memory page-faults.
pub(in crate::arch) fn note_fault(address: u64, error_code: u32) {
    if let Some((at, code)) = LAST_FAULT.get(percpu::current_cpu() as usize) {
        at.store(address, Ordering::Relaxed);
        code.store(error_code, Ordering::Relaxed);
    }
}

/// What the access that has just failed on this processor raised: address, and error code. If it did not get as
/// far as the processor, the address `asked` for.
pub(in crate::arch) fn last_fault(asked: u64, is_write: bool) -> (u64, u32) {
    let write = if is_write { 1 << 1 } else { 0 };
    match LAST_FAULT.get(percpu::current_cpu() as usize) {
        // From the page that was asked for, or the next one: not left over from another access.
        Some((at, code)) if at.load(Ordering::Relaxed).wrapping_sub(asked & !4095) < 8192 => (
            at.load(Ordering::Relaxed),
            code.load(Ordering::Relaxed) & 1 | write,
        ),
        _ => (asked, write),
    }
}

/// Whether `length` bytes at `address` are outside the hypervisor's part of the address space. After its last byte
/// comes its first.
#[inline]
pub(crate) fn is_guest_range(address: u64, length: usize) -> bool {
    guest_range(address, length).is_some()
}

/// `address`, if `length` bytes there are outside the hypervisor's part of the address space, on paths that the processor
/// only guesses as well.
#[inline]
fn guest_range(address: u64, length: usize) -> Option<u64> {
    speculation::outside(address, length as u64, HYPERVISOR_START..HYPERVISOR_END)
}

/// Lets supervisor code touch user pages (SMAP) while it lives.
macro_rules! with_user_pages {
    ($($code:expr),* $(,)?) => {
        concat!(
            // Patched to STAC and CLAC at boot where the processor has SMAP.
            "1772: .byte 0x0f, 0x1f, 0x00\n",
            $($code, "\n",)*
            "1773: .byte 0x0f, 0x1f, 0x00\n",
            ".pushsection .smap_patch, \"a\", @progbits\n",
            ".balign 4\n",
            ".long 1773b - .\n",
            ".popsection\n",
            ".pushsection .smap_patch_stac, \"a\", @progbits\n",
            ".balign 4\n",
            ".long 1772b - .\n",
            ".popsection\n",
        )
    };
}

/// Copies `length` bytes between a guest address and our own memory. Returns how many were not copied.
///
/// # Safety
/// The side that is ours is valid for `length` bytes; the guest's side was checked by [`is_guest_range`].
unsafe fn copy(to: u64, from: u64, length: usize) -> usize {
    let left: usize;
    // SAFETY: our side is valid (caller); a fault on the guest's side goes on at label 3 with what is left
    // in RCX. The direction flag is clear (ABI).
    unsafe {
        asm!(
            with_user_pages!(
                "2: rep movsb",
                "3:",
                ".pushsection .extable, \"a\", @progbits",
                ".balign 4",
                ".long 2b - .",
                ".long 3b - .",
                ".popsection",
            ),
            inout("rcx") length => left,
            inout("rdi") to => _,
            inout("rsi") from => _,
            options(nostack),
        );
    }
    left
}

/// The longest value that is copied word by word: a string instruction takes longer to start.
const MAX_WORDS: usize = 12;

/// Instructions for one word of a short value, if it has so many: load, store, and where to go on when the
/// guest's side, at the label `$guest`, faults.
macro_rules! move_word {
    ($guest:literal, $index:literal) => {
        concat!(
            ".if {words} > ",
            $index,
            "\n",
            "2: mov {scratch}, [{from} + 8 * ",
            $index,
            "]\n",
            "3: mov [{to} + 8 * ",
            $index,
            "], {scratch}\n",
            recovers!($guest),
            ".endif\n",
        )
    };
}

/// An entry of the exception table: a fault at the label `$guest` goes on at label 4.
macro_rules! recovers {
    ($guest:literal) => {
        concat!(
            ".pushsection .extable, \"a\", @progbits\n",
            ".balign 4\n",
            ".long ",
            $guest,
            " - .\n",
            ".long 4f - .\n",
            ".popsection\n",
        )
    };
}

/// Copies `WORDS` words, at most [`MAX_WORDS`], and a rest of `REST` bytes, 0 or 4. `true` if nothing faulted.
/// `$guest` is the label of the side that is the guest's: 2 for the source, 3 for the destination.
macro_rules! copy_short {
    ($guest:literal, $to:expr, $from:expr, $size:expr) => {{
        let failed: u64;
        asm!(
            with_user_pages!(
                move_word!($guest, "0"),
                move_word!($guest, "1"),
                move_word!($guest, "2"),
                move_word!($guest, "3"),
                move_word!($guest, "4"),
                move_word!($guest, "5"),
                move_word!($guest, "6"),
                move_word!($guest, "7"),
                move_word!($guest, "8"),
                move_word!($guest, "9"),
                move_word!($guest, "10"),
                move_word!($guest, "11"),
                ".if {rest}",
                "2: mov {scratch:e}, [{from} + 8 * {words}]",
                "3: mov [{to} + 8 * {words}], {scratch:e}",
                recovers!($guest),
                ".endif",
                "xor {failed:e}, {failed:e}",
                "4:",
            ),
            from = in(reg) $from,
            to = in(reg) $to,
            words = const { $size / 8 },
            rest = const { $size % 8 },
            failed = inout(reg) 1u64 => failed,
            scratch = out(reg) _,
            options(nostack),
        );
        failed == 0
    }};
}

/// Whether a value of `size` bytes is copied by `copy_short`.
const fn is_short(size: usize) -> bool {
    size <= MAX_WORDS * 8 && size.is_multiple_of(4)
}

/// Reads a value from the guest.
///
/// # Errors
/// Some byte of it can't be read.
#[inline]
pub(crate) fn read<T: FromBytes>(address: Vaddr) -> Result<T, AccessFault> {
    let address = guest_range(address.0, size_of::<T>()).ok_or(AccessFault)?;
    let mut value = MaybeUninit::<T>::uninit();
    let to = value.as_mut_ptr();
    let is_read = if const { is_short(size_of::<T>()) } {
        // SAFETY: the destination is as long as a `T`; a fault on the guest's side goes on at label 4.
        unsafe { copy_short!("2b", to, address, size_of::<T>()) }
    } else {
        // SAFETY: the destination is as long as a `T`.
        unsafe { copy(to as u64, address, size_of::<T>()) == 0 }
    };
    if !is_read {
        return Err(AccessFault);
    }
    // SAFETY: all bytes are written, and any bytes are a `T` (FromBytes).
    Ok(unsafe { value.assume_init() })
}

/// Writes a value to the guest.
///
/// # Errors
/// Some byte of it can't be written; those before it may have been.
#[inline]
pub(crate) fn write<T: IntoBytes + Immutable>(
    address: Vaddr,
    value: &T,
) -> Result<(), AccessFault> {
    if !const { is_short(size_of::<T>()) } {
        return write_bytes(address, value.as_bytes());
    }
    let address = guest_range(address.0, size_of::<T>()).ok_or(AccessFault)?;
    // SAFETY: the source is as long as a `T`, all of it bytes (IntoBytes); a fault on the guest's side goes on
    // at label 4.
    if unsafe { copy_short!("3b", address, core::ptr::from_ref(value), size_of::<T>()) } {
        Ok(())
    } else {
        Err(AccessFault)
    }
}

/// Reads bytes from the guest.
///
/// # Errors
/// Some of them can't be read; `bytes` then holds anything.
pub(crate) fn read_bytes(address: Vaddr, bytes: &mut [u8]) -> Result<(), AccessFault> {
    let address = guest_range(address.0, bytes.len()).ok_or(AccessFault)?;
    // SAFETY: the destination is as long as the slice.
    match unsafe { copy(bytes.as_mut_ptr() as u64, address, bytes.len()) } {
        0 => Ok(()),
        _ => Err(AccessFault),
    }
}

/// Reads up to `bytes.len()` bytes and says how many could be read.
pub(crate) fn read_some(address: Vaddr, bytes: &mut [u8]) -> usize {
    let Some(address) = guest_range(address.0, bytes.len()) else {
        return 0;
    };
    // SAFETY: the destination is as long as the slice.
    bytes.len() - unsafe { copy(bytes.as_mut_ptr() as u64, address, bytes.len()) }
}

/// Writes bytes to the guest.
///
/// # Errors
/// Some of them can't be written; those before may have been.
pub(crate) fn write_bytes(address: Vaddr, bytes: &[u8]) -> Result<(), AccessFault> {
    let address = guest_range(address.0, bytes.len()).ok_or(AccessFault)?;
    // SAFETY: the source is as long as the slice.
    match unsafe { copy(address, bytes.as_ptr() as u64, bytes.len()) } {
        0 => Ok(()),
        _ => Err(AccessFault),
    }
}

/// What an exception frame has besides what is in the interrupted registers.
pub(in crate::arch) struct FrameWords {
    pub(in crate::arch) error_code: Option<u32>,
    pub(in crate::arch) cs: u64,
    pub(in crate::arch) rflags: u64,
}

/// Writes an exception frame that ends at `top`: RCX, R11, the error code if there is one, and what the processor
/// would push. Returns where the frame starts.
///
/// # Errors
/// As [`write_bytes`].
#[inline]
pub(in crate::arch) fn write_frame(
    top: u64,
    registers: &Registers,
    words: &FrameWords,
) -> Result<u64, AccessFault> {
    let below = if words.error_code.is_some() { 24 } else { 16 };
    let start = top.wrapping_sub(5 * 8 + below);
    let start = guest_range(start, 8 * 8).ok_or(AccessFault)?;
    let common = start.wrapping_add(below);
    let failed: u64;
    // SAFETY: reads the interrupted registers; a fault on the guest's side goes on at label 4. The error code is
    // written first: without one R11 takes its place.
    unsafe {
        asm!(
            with_user_pages!(
                "3: mov [{common} - 8], {code}",
                recovers!("3b"),
                "mov {scratch}, [{registers} + {rcx}]",
                "3: mov [{start}], {scratch}",
                recovers!("3b"),
                "mov {scratch}, [{registers} + {r11}]",
                "3: mov [{start} + 8], {scratch}",
                recovers!("3b"),
                "mov {scratch}, [{registers} + {rip}]",
                "3: mov [{common}], {scratch}",
                recovers!("3b"),
                "3: mov [{common} + 8], {cs}",
                recovers!("3b"),
                "3: mov [{common} + 16], {rflags}",
                recovers!("3b"),
                "mov {scratch}, [{registers} + {rsp}]",
                "3: mov [{common} + 24], {scratch}",
                recovers!("3b"),
                "mov {scratch}, [{registers} + {ss}]",
                "3: mov [{common} + 32], {scratch}",
                recovers!("3b"),
                "xor {failed:e}, {failed:e}",
                "4:",
            ),
            registers = in(reg) registers,
            common = in(reg) common,
            start = in(reg) start,
            code = in(reg) u64::from(words.error_code.unwrap_or(0)),
            cs = in(reg) words.cs,
            rflags = in(reg) words.rflags,
            rcx = const offset_of!(Registers, rcx),
            r11 = const offset_of!(Registers, r11),
            rip = const offset_of!(Registers, rip),
            rsp = const offset_of!(Registers, rsp),
            ss = const offset_of!(Registers, ss),
            failed = inout(reg) 1u64 => failed,
            scratch = out(reg) _,
            options(nostack),
        );
    }
    if failed == 0 {
        Ok(start)
    } else {
        Err(AccessFault)
    }
}

/// Finds out whether the byte at `address` can be written, without changing it.
///
/// # Errors
/// It can't.
pub(crate) fn probe_write(address: Vaddr) -> Result<(), AccessFault> {
    let address = guest_range(address.0, 1).ok_or(AccessFault)?;
    let failed: u64;
    // SAFETY: a locked OR with zero changes nothing; a fault on the guest's side goes on at label 4.
    unsafe {
        asm!(
            with_user_pages!(
                "3: lock or byte ptr [{at}], 0",
                "xor {failed:e}, {failed:e}",
                recovers!("3b"),
                "4:",
            ),
            at = in(reg) address,
            failed = inout(reg) 1u64 => failed,
            options(nostack),
        );
    }
    if failed == 0 {
        Ok(())
    } else {
        Err(AccessFault)
    }
}
