//! Maps of memory: the machine's, a domain's, that of the machine-to-physical table, and of what a domain shares
//! with the hypervisor.

#![forbid(unsafe_code)]

use super::{Answer, admit, read, subject, write};
use crate::arch::guest::running::Guest;
use crate::arch::memory::{self, ArcMemory};
use crate::control::privilege;
use crate::domain::charge::OverLimit;
use crate::domain::{Domain, Domains};
use crate::grant::{GrantDomain, SharedEntries};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem::size_of;
use guest_abi::errno::Errno;
use guest_abi::ids::Vaddr;
use guest_abi::memory_map::{
    E820Entry, ForeignMemoryMap, MachphysMapping, MachphysMfnList, MemoryMap,
};
use guest_abi::memory_op::{AcquireResource, GRANT_TABLE_SHARED, MemoryOp, Resource};

/// The most ranges of a map that somebody sets for a domain.
const MAX_RANGES: u32 = 1024;

/// Where an element of a list is.
fn element<T>(list: Vaddr, index: u32) -> Result<u64, Errno> {
    list.0
        .checked_add(u64::from(index) * size_of::<T>() as u64)
        .ok_or(Errno::EFAULT)
}

pub(super) fn machphys_mapping(argument: u64) -> Answer {
    let mapping = MachphysMapping {
        v_start: Vaddr::M2P_START,
        v_end: Vaddr::M2P_END,
        max_mfn: memory::frames_end().0 - 1,
    };
    write(argument, &mapping)?;
    Ok(0)
}

/// The frames of the machine-to-physical table, by the first of each 2 MiB, for tools to look at it.
pub(super) fn machphys_mfn_list(argument: u64) -> Answer {
    let mut wish: MachphysMfnList = read(argument)?;
    // Bounded by the table: an element stands for 1 GiB of memory.
    let mut count = 0;
    while count < wish.max_extents
        && let Some(mfn) = memory::machine_to_phys_piece(count as usize)
    {
        write(element::<u64>(wish.extent_start, count)?, &mfn.0)?;
        count += 1;
    }
    wish.nr_extents = count;
    write(argument, &wish)?;
    Ok(0)
}

/// The memory map that the caller was given.
pub(super) fn memory_map(guest: &Guest<'_>, argument: u64) -> Answer {
    let mut wish: MemoryMap = read(argument)?;
    let map = guest.domain.memory_map().ok_or(Errno::ENOSYS)?;
    wish.nr_entries = wish.nr_entries.min(map.len() as u32);
    for (index, entry) in (0..wish.nr_entries).zip(map.iter()) {
        write(element::<E820Entry>(wish.buffer, index)?, entry)?;
    }
    write(argument, &wish)?;
    Ok(0)
}

/// Gives a domain a memory map; one without ranges is none.
pub(super) fn set_memory_map(guest: &Guest<'_>, argument: u64) -> Answer {
    let wish: ForeignMemoryMap = read(argument)?;
    if wish.map.nr_entries > MAX_RANGES {
        return Err(Errno::EINVAL);
    }
    let check = privilege::memory(MemoryOp::SetMemoryMap);
    let domain = subject(guest, wish.domid, check)?;
    if wish.map.nr_entries == 0 {
        return set(&domain, None);
    }
    // A guest asks for this of itself, too: it is told if there is no memory for any part of it.
    let memory = ArcMemory::new().ok_or(Errno::ENOMEM)?;
    let mut map = Vec::new();
    map.try_reserve_exact(wish.map.nr_entries as usize)
        .map_err(|_| Errno::ENOMEM)?;
    for index in 0..wish.map.nr_entries {
        map.push(read(element::<E820Entry>(wish.map.buffer, index)?)?);
    }
    set(&domain, Some(memory.fill(map)))
}

fn set(domain: &Domain, map: Option<Arc<Vec<E820Entry>>>) -> Answer {
    let set = domain.set_memory_map(map);
    set.map(|()| 0).map_err(|OverLimit| Errno::ENOMEM)
}

/// The machine's memory map, for the domain that owns the hardware.
pub(super) fn machine_memory_map(guest: &Guest<'_>, argument: u64) -> Answer {
    admit(guest, privilege::memory(MemoryOp::MachineMemoryMap))?;
    let mut wish: MemoryMap = read(argument)?;
    // Without a buffer the question is how many there are.
    let is_count_only = wish.buffer.0 == 0;
    let room = wish.nr_entries;
    let mut count = 0u32;
    let mut result = Ok(());
    memory::for_each_range(|entry: E820Entry| {
        if result.is_err() {
            return;
        }
        if is_count_only {
            count += 1;
            return;
        }
        if count >= room {
            result = Err(Errno::EINVAL);
            return;
        }
        result = element::<E820Entry>(wish.buffer, count).and_then(|at| write(at, &entry));
        count += 1;
    });
    result?;
    wish.nr_entries = count;
    write(argument, &wish)?;
    Ok(0)
}

/// Frames that another domain shares with the hypervisor, for its builder to map and fill.
pub(super) fn acquire_resource(guest: &Guest<'_>, argument: u64) -> Answer {
    let mut wish: AcquireResource = read(argument)?;
    let end = u32::try_from(wish.frame)
        .ok()
        .and_then(|first| first.checked_add(wish.nr_frames))
        .filter(|_| wish.pad == 0)
        .ok_or(Errno::EINVAL)?;
    Domains.find(wish.domid).ok_or(Errno::ESRCH)?;
    let check = privilege::memory(MemoryOp::AcquireResource);
    let domain = subject(guest, wish.domid, check)?;
    if wish.resource != Resource::GrantTable.number() {
        return Err(Errno::EOPNOTSUPP);
    }
    let grants = domain.grants();
    // A table of version 1 has no status frames.
    let most = match wish.id {
        GRANT_TABLE_SHARED => grants.size().1,
        _ => return Err(Errno::EINVAL),
    };
    if wish.frame_list.0 == 0 {
        if wish.nr_frames != 0 {
            return Err(Errno::EINVAL);
        }
        wish.nr_frames = most;
        write(argument, &wish)?;
        return Ok(0);
    }
    if wish.nr_frames == 0 || end > most {
        return Err(Errno::EINVAL);
    }
    grants.grow(&*domain, end).map_err(|_| Errno::ENOMEM)?;
    // Bounded by the table's limit.
    for (index, frame) in (0..wish.nr_frames).zip(wish.frame as u32..end) {
        let mfn = domain.entries().frame(frame).ok_or(Errno::EINVAL)?;
        write(element::<u64>(wish.frame_list, index)?, &mfn.0)?;
    }
    Ok(0)
}
