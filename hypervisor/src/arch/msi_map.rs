//! Whose messages are interrupts of this machine: finding a function's registers, and giving them a place.

use super::boot::{device_of_first_domain, is_ram};
use super::features;
use super::irq::lines;
use super::msi::{Message, Table};
use super::pci::Pci;
use crate::emulate::insn::Width;
use crate::growth;
use crate::irq::{Irq, IrqError};
use crate::lock::IrqLock;
use crate::machine::phys::PhysRange;
use crate::mm::platform::Device;
use crate::pci::capability::{MSIX_ENTRY_BYTES, Msi, MsiX, is_present, memory_bar};
use crate::pci::{ConfigSpace, Devices, Function, Guard};
use crate::sync::{Lock, rank};
use alloc::vec::Vec;
use guest_abi::ids::Mfn;

/// Functions that the first domain has announced.
pub(crate) static DEVICES: Devices = Devices::new();

/// Held by whoever maps or unmaps messages, and so by all who change the lists below.
static CHANGES: Lock<(), { rank::PCI_MESSAGES }> = Lock::new(());

/// Tables that are mapped; they stay, for functions come back to where they were.
static TABLES: IrqLock<Vec<Table>> = IrqLock::new(Vec::new());

/// Capabilities that hold messages which are interrupts: whose, and where. A leaf.
static GUARDED: IrqLock<Vec<(Function, Guard)>> = IrqLock::new(Vec::new());

/// Which of a function's messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wanted {
    /// The one in configuration space.
    Msi,
    /// This entry of its table.
    Entry(u16),
}

/// Why a message can't be an interrupt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum MessageError {
    /// There is no such function, or it has no such messages.
    NoDevice,
    /// Its table has no such entry.
    NoEntry,
    /// Its table can't be reached: its memory is not decoded, or is not a device's.
    NoTable,
    /// It is one already.
    InUse,
    /// No place or no vector is left.
    NoRoom,
}

impl From<IrqError> for MessageError {
    fn from(error: IrqError) -> Self {
        match error {
            IrqError::NoRoom => Self::NoRoom,
            IrqError::Invalid | IrqError::Busy | IrqError::InUse => Self::InUse,
        }
    }
}

/// All places that hold a message of `function`.
fn places_of(function: Function) -> impl Iterator<Item = (Irq, Option<u16>)> {
    let first = lines().nr_gsis();
    (first..first + super::irq::MAX_MESSAGES)
        .map(Irq)
        .filter_map(move |irq| {
            let entry = lines().hardware().with_message(irq, |message| {
                let message = message
                    .as_ref()
                    .filter(|message| message.function() == function)?;
                Some(match message {
                    Message::Msi { .. } => None,
                    Message::MsiX { entry, .. } => Some(*entry),
                })
            })??;
            Some((irq, entry))
        })
}

/// Makes a message of `function` an interrupt, towards processor `cpu`.
pub(crate) fn map(function: Function, wanted: Wanted, cpu: u32) -> Result<Irq, MessageError> {
    let _changes = CHANGES.lock();
    if !is_present(&Pci, function) {
        return Err(MessageError::NoDevice);
    }
    let entry = match wanted {
        Wanted::Msi => None,
        Wanted::Entry(entry) => Some(entry),
    };
    // A function sends by one of its two capabilities, not both.
    let is_in_use = places_of(function)
        .any(|(_, present)| present == entry || present.is_some() != entry.is_some());
    if is_in_use {
        return Err(MessageError::InUse);
    }
    let message = match wanted {
        Wanted::Msi => Message::Msi {
            function,
            registers: Msi::find(&Pci, function).ok_or(MessageError::NoDevice)?,
        },
        Wanted::Entry(entry) => {
            let registers = MsiX::find(&Pci, function).ok_or(MessageError::NoDevice)?;
            if entry >= registers.entries {
                return Err(MessageError::NoEntry);
            }
            Message::MsiX {
                function,
                registers,
                entry,
                address: table_of(function, &registers)?.entry(entry),
            }
        }
    };
    let guard = message.guard();
    let is_guarded = GUARDED.lock().contains(&(function, guard));
    if !is_guarded {
        make_room_in(&GUARDED)?;
    }
    message.disable();
    let is_maskable = message.is_maskable();
    let irq = lines().add_message(is_maskable, cpu, |irq| {
        lines()
            .hardware()
            .with_message(irq, |place| *place = Some(message));
    })?;
    if !is_guarded {
        GUARDED.lock().push((function, guard));
    }
    Ok(irq)
}

/// Makes room for one more in a list, before its lock is taken to put it there.
fn make_room_in<T>(list: &IrqLock<Vec<T>>) -> Result<(), MessageError> {
    let wanted = (list.lock().len() + 1).next_power_of_two();
    growth::make_room(wanted, |action| action(&mut *list.lock())).map_err(|_| MessageError::NoRoom)
}

/// What becomes of a domain's write to configuration space: the value that is written, if any is.
pub(super) fn filter_write(
    function: Function,
    offset: u16,
    width: Width,
    value: u32,
) -> Option<u32> {
    let touched = GUARDED
        .lock()
        .iter()
        .find(|(owner, guard)| *owner == function && guard.covers(offset, width))
        .map(|&(_, guard)| guard);
    match touched {
        Some(guard) => guard.filter(offset, width, value),
        None => Some(value),
    }
}

/// Whether a function has a table of messages.
pub(crate) fn has_table(function: Function) -> bool {
    is_present(&Pci, function) && MsiX::find(&Pci, function).is_some()
}

/// The table of a function's messages, mapped. The caller holds `CHANGES`.
fn table_of(function: Function, registers: &MsiX) -> Result<Table, MessageError> {
    const COMMAND: u16 = 4;
    const DECODES_MEMORY: u32 = 1 << 1;
    if Pci.read(function, COMMAND, Width::Word) & DECODES_MEMORY == 0 {
        return Err(MessageError::NoTable);
    }
    let (bar, offset) = registers.table;
    let base = memory_bar(&Pci, function, bar).ok_or(MessageError::NoTable)?;
    let machine = base
        .checked_add(u64::from(offset))
        .ok_or(MessageError::NoTable)?;
    let range = PhysRange::from_len(machine, u64::from(registers.entries) * MSIX_ENTRY_BYTES)
        .touched_frames();
    // What a function says of itself is not bounded by what the processor can address, nor by anything.
    let is_reachable = !range.is_empty() && range.end <= 1 << features::address_bits();
    let is_devices = is_reachable
        && (range.start..range.end)
            .step_by(4096)
            .map(Mfn::of_address)
            .all(|mfn| !is_ram(mfn) && is_for_devices(mfn));
    if !is_devices {
        return Err(MessageError::NoTable);
    }
    let is_it = |table: &&Table| table.machine == machine && table.entries >= registers.entries;
    let known = TABLES.lock().iter().find(is_it).copied();
    if let Some(known) = known {
        return Ok(known);
    }
    make_room_in(&TABLES)?;
    // SAFETY: the function decodes it, and neither memory nor a device of the hypervisor's is there.
    let table = unsafe { Table::map(registers, machine) }.ok_or(MessageError::NoRoom)?;
    TABLES.lock().push(table);
    Ok(table)
}

/// Whether a frame outside of RAM belongs to devices, rather than to interrupt controllers and timers.
fn is_for_devices(mfn: Mfn) -> bool {
    is_table(mfn) || device_of_first_domain(mfn) == Device::Allowed
}

/// Whether a frame holds entries of a table of messages that the hypervisor has mapped.
pub(super) fn is_table(mfn: Mfn) -> bool {
    TABLES.lock().iter().any(|table| {
        let bytes = u64::from(table.entries) * MSIX_ENTRY_BYTES;
        let frames = PhysRange::from_len(table.machine, bytes).touched_frames();
        (frames.start..frames.end).contains(&mfn.address())
    })
}

/// Takes a message away that is not bound.
pub(crate) fn unmap(irq: Irq) {
    let _changes = CHANGES.lock();
    let hardware = lines().hardware();
    let function = hardware
        .with_message(irq, |message| {
            message.as_ref().map(|message| {
                message.disable();
                message.function()
            })
        })
        .flatten();
    lines().remove_message(irq);
    hardware.with_message(irq, |message| *message = None);
    if let Some(function) = function
        && places_of(function).next().is_none()
    {
        GUARDED.lock().retain(|(owner, _)| *owner != function);
    }
}

/// Programs all messages of a function again, after it has lost them. Says whether it is announced.
pub(crate) fn restore(function: Function) -> bool {
    let _changes = CHANGES.lock();
    for (irq, _) in places_of(function) {
        lines().restore_message(irq);
    }
    DEVICES.contains(function)
}

/// A function has gone. Says whether it was announced.
pub(crate) fn remove(function: Function) -> bool {
    DEVICES.remove(function)
}
