//! Memory, page tables and event channels of other domains.

use super::privcmd::{Locked, Privcmd};
use crate::control::error::ControlError;
use guest_abi::event_channel::{AllocUnbound, EventChannelOp};
use guest_abi::hypercall::Hypercall;
use guest_abi::ids::{DomId, Mfn, Port, Vaddr};
use guest_abi::memory_map::{E820Entry, E820Type, ForeignMemoryMap, MemoryMap};
use guest_abi::memory_op::{MemFlags, MemoryOp, Reservation};
use guest_abi::mmu::{MmuextOp, MmuextOperation};
use nix::errno::Errno;

/// Where in a call's memory a list may lie behind the structure that names it.
const BEHIND: usize = 256;
/// Extents of one populating call, and frames, 32 MiB. All of them are cleaned in the call, and a stock kernel (one that can choose
/// its preemption at boot, such as Debian's) runs nothing else on the processor before the call has ended, however many
/// interrupts it takes meanwhile.
const EXTENTS_AT_ONCE: usize = 4096;
const FRAMES_AT_ONCE: usize = 8192;

impl Privcmd {
    /// Gives a domain frames: `extents` times `2^order` of them in one piece each, for its frame numbers from
    /// `first_pfn` on. Answers the first machine frame of each extent that it got, which may be fewer.
    ///
    /// # Errors
    ///
    /// The hypervisor's.
    pub fn populate(
        &self,
        domain: DomId,
        first_pfn: u64,
        extents: u64,
        order: u32,
    ) -> Result<Vec<Mfn>, ControlError> {
        let mut got = Vec::new();
        while (got.len() as u64) < extents {
            let left = usize::try_from(extents - got.len() as u64).unwrap_or(usize::MAX);
            let count = left.min(extents_at_once(order));
            let mut memory = self.locked(BEHIND + count * 8)?;
            for index in 0..count {
                let extent = (got.len() + index) as u64;
                memory.write(BEHIND + index * 8, &(first_pfn + (extent << order)));
            }
            let reservation = Reservation {
                extent_start: memory.address(BEHIND),
                nr_extents: count as u64,
                extent_order: order,
                mem_flags: MemFlags::empty(),
                domid: domain,
                pad0: [0; 6],
            };
            let done = self.memory_op(&mut memory, MemoryOp::PopulatePhysmap, &reservation);
            let done =
                done.map_err(|errno| ControlError::new("giving memory to the domain", errno))?;
            let done = (done as usize).min(count);
            got.extend(memory.read_list::<u64>(BEHIND, done).into_iter().map(Mfn));
            self.give_back(memory);
            if done < count {
                break;
            }
        }
        Ok(got)
    }

    /// Sets free frames aside for a domain until it has so many in all, its own included; 0 gives back what is set aside.
    ///
    /// # Errors
    ///
    /// The hypervisor's; that there is not so much free memory, too.
    pub fn claim(&self, domain: DomId, frames: u64) -> Result<(), ControlError> {
        let mut memory = self.locked(size_of::<Reservation>())?;
        let claim = Reservation {
            extent_start: Vaddr(0),
            nr_extents: frames,
            extent_order: 0,
            mem_flags: MemFlags::empty(),
            domid: domain,
            pad0: [0; 6],
        };
        let answer = self.memory_op(&mut memory, MemoryOp::ClaimPages, &claim);
        self.give_back(memory);
        answer
            .map(drop)
            .map_err(|errno| ControlError::new("setting memory aside", errno))
    }

    /// Says what memory map the domain reads: `bytes` of memory from 0 on.
    ///
    /// # Errors
    ///
    /// The hypervisor's.
    pub fn set_memory_map(&self, domain: DomId, bytes: u64) -> Result<(), ControlError> {
        let mut memory = self.locked(BEHIND + size_of::<E820Entry>())?;
        memory.write(
            BEHIND,
            &E820Entry {
                addr: 0.into(),
                size: bytes.into(),
                range_type: (E820Type::Ram as u32).into(),
            },
        );
        let map = ForeignMemoryMap {
            domid: domain,
            pad0: [0; 6],
            map: MemoryMap {
                nr_entries: 1,
                pad0: [0; 4],
                buffer: memory.address(BEHIND),
            },
        };
        let answer = self.memory_op(&mut memory, MemoryOp::SetMemoryMap, &map);
        self.give_back(memory);
        answer
            .map(drop)
            .map_err(|errno| ControlError::new("setting the memory map", errno))
    }

    /// An operation whose structure names lists behind it in the same memory.
    fn memory_op<T: zerocopy::IntoBytes + zerocopy::Immutable>(
        &self,
        memory: &mut Locked,
        operation: MemoryOp,
        argument: &T,
    ) -> Result<u64, Errno> {
        memory.write(0, argument);
        let arguments = [operation as u64, memory.address(0).0, 0, 0, 0];
        // SAFETY: the structure is in locked memory, and so are the lists that it names, as long as it says: all
        // callers, in this module, have made them so.
        unsafe { self.call(Hypercall::MemoryOp, arguments) }
    }

    /// Validates a domain's root page table and pins it.
    ///
    /// # Errors
    ///
    /// The hypervisor's.
    pub fn pin_root(&self, domain: DomId, root: Mfn) -> Result<(), ControlError> {
        let mut memory = self.locked(size_of::<MmuextOperation>())?;
        memory.write(
            0,
            &MmuextOperation {
                cmd: MmuextOp::PinL4Table as u32,
                pad0: [0; 4],
                arg1: root.0,
                arg2: 0,
            },
        );
        let arguments = [memory.address(0).0, 1, 0, u64::from(domain.0), 0];
        // SAFETY: the list of one operation is in locked memory, and no count of done ones is asked for.
        let answer = unsafe { self.call(Hypercall::MmuextOp, arguments) };
        self.give_back(memory);
        answer
            .map(drop)
            .map_err(|errno| ControlError::new("pinning the page tables", errno))
    }

    /// Makes a port of a domain that the first domain may bind.
    ///
    /// # Errors
    ///
    /// The hypervisor's.
    pub fn allocate_port(&self, domain: DomId) -> Result<Port, ControlError> {
        let mut memory = self.locked(size_of::<AllocUnbound>())?;
        memory.write(
            0,
            &AllocUnbound {
                dom: domain,
                remote_dom: DomId::DOM0,
                port: Port(0),
            },
        );
        let operation = EventChannelOp::AllocUnbound as u64;
        // SAFETY: the structure is in locked memory.
        let answer = unsafe {
            self.call(
                Hypercall::EventChannelOp,
                [operation, memory.address(0).0, 0, 0, 0],
            )
        };
        let port = memory.read::<AllocUnbound>(0).port;
        self.give_back(memory);
        answer
            .map(|_| port)
            .map_err(|errno| ControlError::new("making an event channel", errno))
    }
}

fn extents_at_once(order: u32) -> usize {
    FRAMES_AT_ONCE
        .checked_shr(order)
        .unwrap_or(0)
        .clamp(1, EXTENTS_AT_ONCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_gives_little_memory_and_something() {
        for order in [0, 1, 5, 9, 12] {
            assert!(extents_at_once(order) << order <= 8192);
        }
        assert_eq!(extents_at_once(0), 4096);
        assert_eq!(extents_at_once(9), 16);
        assert_eq!(extents_at_once(18), 1);
        assert_eq!(extents_at_once(u32::MAX), 1);
    }
}
