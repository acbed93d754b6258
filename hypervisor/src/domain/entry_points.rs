//! Where a guest kernel is entered: exception handlers and callbacks, as its hypercalls set them, and the GDT's frames as
//! another one lists them.
//!
//! The arguments are in the guest's memory, which changes at any time: each is read once.

#![forbid(unsafe_code)]

use super::context::{
    Callback, Callbacks, Context, EventMask, GDT_PAGES, TrapHandler, is_canonical,
};
use super::image::trap_handler;
use guest_abi::callback_op::{
    CallbackFlags, CallbackOp, CallbackRegister, CallbackType, CallbackUnregister,
};
use guest_abi::errno::Errno;
use guest_abi::ids::{Mfn, PAGE_SIZE};
use guest_abi::segment::{FIRST_RESERVED_GDT_ENTRY, FLAT_RING3_CS64};
use guest_abi::trap::{NR_VECTORS, TrapInfo};
use zerocopy::FromBytes;

/// The memory of the guest that calls. Each access may fail.
pub trait Arguments {
    /// Reads what is at `at`.
    ///
    /// # Errors
    /// `EFAULT`.
    fn read<T: FromBytes>(&self, at: u64) -> Result<T, Errno>;
}

/// Vector of the non-maskable interrupt.
const NMI: usize = 2;

/// Registers the exception handlers of the list at `list`; a null one removes all of them.
///
/// # Errors
/// `EFAULT`, or `EINVAL` for a handler's address that no processor has; the handlers before that in the list are registered
/// then.
pub fn set_trap_table(
    traps: &mut [TrapHandler; NR_VECTORS],
    memory: &impl Arguments,
    list: u64,
) -> Result<(), Errno> {
    if list == 0 {
        *traps = [TrapHandler::NONE; NR_VECTORS];
        return Ok(());
    }
    // The list ends at an address of 0; one longer than there are vectors says something twice.
    for index in 0..=NR_VECTORS as u64 {
        let at = list
            .checked_add(index * size_of::<TrapInfo>() as u64)
            .ok_or(Errno::EFAULT)?;
        let entry: TrapInfo = memory.read(at)?;
        if entry.address.0 == 0 {
            return Ok(());
        }
        traps[usize::from(entry.vector)] = trap_handler(&entry)?;
    }
    Ok(())
}

/// Registers or removes an entry point.
///
/// # Errors
/// `ENOSYS`: no such operation or entry point. `EFAULT`. `EINVAL`: an address that no processor has, or an entry point that
/// can be replaced only. Nothing is changed then.
pub fn callback_op(
    context: &mut Context,
    memory: &impl Arguments,
    operation: u64,
    argument: u64,
) -> Result<(), Errno> {
    let operation = u32::try_from(operation)
        .ok()
        .and_then(|op| CallbackOp::try_from(op).ok())
        .ok_or(Errno::ENOSYS)?;
    let (kind, callback) = match operation {
        CallbackOp::Register => {
            let wish: CallbackRegister = memory.read(argument)?;
            let mask = if wish.flags.contains(CallbackFlags::MASK_EVENTS) {
                EventMask::Mask
            } else {
                EventMask::Keep
            };
            let callback = Callback {
                address: wish.address,
                mask,
            };
            (wish.callback_type, callback)
        }
        CallbackOp::Unregister => {
            let wish: CallbackUnregister = memory.read(argument)?;
            (wish.callback_type, Callback::NONE)
        }
    };
    if !is_canonical(callback.address.0) {
        return Err(Errno::EINVAL);
    }
    let kind = CallbackType::try_from(kind).map_err(|_| Errno::ENOSYS)?;
    match slot(&mut context.callbacks, kind) {
        // These can be replaced only.
        Some(_) if operation == CallbackOp::Unregister => return Err(Errno::EINVAL),
        Some(slot) => *slot = callback,
        None if kind == CallbackType::Nmi => {
            context.traps[NMI] = TrapHandler {
                address: callback.address,
                cs: FLAT_RING3_CS64,
                dpl: 0,
                mask: callback.mask,
            };
        }
        None => return Err(Errno::ENOSYS),
    }
    Ok(())
}

/// The place of an entry point that is one of these.
fn slot(callbacks: &mut Callbacks, kind: CallbackType) -> Option<&mut Callback> {
    match kind {
        CallbackType::Event => Some(&mut callbacks.event),
        CallbackType::Failsafe => Some(&mut callbacks.failsafe),
        CallbackType::Syscall => Some(&mut callbacks.syscall),
        CallbackType::Syscall32 => Some(&mut callbacks.syscall32),
        CallbackType::Sysenter => Some(&mut callbacks.sysenter),
        CallbackType::Nmi | CallbackType::SysenterDeprecated => None,
    }
}

/// The frames of a GDT, of which the first are in use, as many as its entries need.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GdtFrames {
    /// The frames, and 0 in the places that are not in use.
    pub frames: [Mfn; GDT_PAGES],
    /// Entries of the table.
    pub entries: u32,
}

impl GdtFrames {
    /// Reads the list at `list` of the frames of a table of so many entries.
    ///
    /// # Errors
    /// `EINVAL`: more entries than there may be. `EFAULT`.
    pub fn read(memory: &impl Arguments, list: u64, entries: u64) -> Result<Self, Errno> {
        if entries > FIRST_RESERVED_GDT_ENTRY as u64 {
            return Err(Errno::EINVAL);
        }
        let entries = entries as u32;
        let mut table = Self {
            frames: [Mfn(0); GDT_PAGES],
            entries,
        };
        let count = table.count();
        for (index, frame) in (0u64..).zip(table.frames.iter_mut().take(count)) {
            let at = list.checked_add(8 * index).ok_or(Errno::EFAULT)?;
            *frame = Mfn(memory.read::<u64>(at)?);
        }
        Ok(table)
    }

    fn count(&self) -> usize {
        (self.entries as usize).div_ceil(PAGE_SIZE / 8)
    }

    /// The frames that are in use.
    #[must_use]
    pub fn used(&self) -> &[Mfn] {
        self.frames.get(..self.count()).unwrap_or(&self.frames)
    }
}
