//! A domain's ports: where they are, which are free, and which carry its virtual interrupts.
#![forbid(unsafe_code)]

extern crate alloc;

use super::domain::{EventDomain, SharedInfo};
use super::error::EventError;
use super::port::{Binding, MAX_VCPUS, PortWord, Snapshot};
use super::wait::Pollers;
use crate::sync::atomic::{AtomicU16, Ordering};
use crate::sync::{Lock, rank};
use alloc::boxed::Box;
use alloc::vec::Vec;
use guest_abi::event_channel::{NR_PORTS_2L, NR_VIRQS, Virq};
use guest_abi::ids::{Port, VcpuId};
use spin::once::Once;

/// Ports that are allocated together: 1 KiB of words. (The model checker pays for each atomic, and gets a
/// single bucket.)
const BUCKET_PORTS: usize = if cfg!(loom) { 4 } else { 128 };
const BUCKET_BYTES: usize = BUCKET_PORTS * size_of::<PortWord>();
const BUCKETS: usize = if cfg!(loom) {
    1
} else {
    NR_PORTS_2L as usize / BUCKET_PORTS
};
const WORD_BITS: u32 = u64::BITS;
const USED_WORDS: usize = (NR_PORTS_2L / WORD_BITS) as usize;
/// Virtual interrupts of which each vCPU has its own.
const PER_VCPU_VIRQS: [Virq; 4] = [Virq::Timer, Virq::Debug, Virq::Profiler, Virq::Pmu];
/// In the maps from virtual interrupt to port: not bound. Port 0 is never bound.
const NO_PORT: u16 = 0;

/// A domain's ports.
#[derive(Debug)]
pub struct PortTable {
    /// Grow only; a word's address stays.
    buckets: [Once<Vec<PortWord>>; BUCKETS],
    /// Protects which ports are free, and the binding of virtual interrupts.
    allocation: Lock<Allocation, { rank::EVENT_PORTS }>,
    /// Highest port number that the domain may have.
    max_port: u32,
    /// Port of each virtual interrupt of which the domain has one.
    global_virqs: [AtomicU16; NR_VIRQS as usize],
    /// Port of each of [`PER_VCPU_VIRQS`], for each vCPU.
    vcpu_virqs: Box<[[AtomicU16; PER_VCPU_VIRQS.len()]]>,
    pollers: Pollers,
}

#[derive(Debug)]
struct Allocation {
    /// Bit set: the port is not free.
    used: [u64; USED_WORDS],
    /// Bit set: no free port in that word of `used`.
    full: u64,
    /// The domain is being destroyed: no new ports.
    is_closed: bool,
}

impl Allocation {
    fn lowest_free(&self) -> Option<u32> {
        let word = self.full.trailing_ones();
        let used = self.used.get(word as usize)?;
        Some(word * WORD_BITS + used.trailing_ones())
    }

    fn mark_used(&mut self, port: u32) {
        let index = port / WORD_BITS;
        if let Some(word) = self.used.get_mut(index as usize) {
            *word |= 1 << (port % WORD_BITS);
            if *word == u64::MAX {
                self.full |= 1 << index;
            }
        }
    }

    fn mark_free(&mut self, port: u32) {
        let index = port / WORD_BITS;
        if let Some(word) = self.used.get_mut(index as usize) {
            *word &= !(1 << (port % WORD_BITS));
            self.full &= !(1 << index);
        }
    }
}

/// A port fresh from allocation: `Changing`, and in the hands of whoever holds this. It is published or
/// given back.
#[must_use]
#[derive(Debug)]
pub(super) struct Fresh<'a> {
    pub(super) port: Port,
    pub(super) word: &'a PortWord,
}

impl PortTable {
    /// An empty table for a domain that may have ports up to and including `max_port` (more than the
    /// two-level scheme has mean all of those) and vCPUs below `max_vcpus`.
    pub fn new(max_port: u32, max_vcpus: u32) -> Result<Self, EventError> {
        if max_vcpus > MAX_VCPUS {
            return Err(EventError::Invalid);
        }
        let mut vcpu_virqs = Vec::new();
        vcpu_virqs
            .try_reserve_exact(max_vcpus as usize)
            .map_err(|_| EventError::NoMemory)?;
        vcpu_virqs
            .extend((0..max_vcpus).map(|_| core::array::from_fn(|_| AtomicU16::new(NO_PORT))));
        let mut used = [0; USED_WORDS];
        if let Some(first) = used.first_mut() {
            // Port 0 is never valid.
            *first = 1;
        }
        let buckets = [const { Once::new() }; BUCKETS];
        if let Some(first) = buckets.first() {
            let words = new_bucket()?;
            first.call_once(|| words);
        }
        Ok(Self {
            buckets,
            allocation: Lock::new(Allocation {
                used,
                full: 0,
                is_closed: false,
            }),
            max_port: max_port.min(NR_PORTS_2L - 1),
            global_virqs: core::array::from_fn(|_| AtomicU16::new(NO_PORT)),
            vcpu_virqs: vcpu_virqs.into_boxed_slice(),
            pollers: Pollers::new(max_vcpus)?,
        })
    }

    /// Bytes of memory that an empty table for `max_vcpus` takes, for the domain's account. More ports
    /// are charged as they are used.
    #[must_use]
    pub const fn fixed_bytes(max_vcpus: u32) -> usize {
        size_of::<Self>()
            + BUCKET_BYTES
            + max_vcpus as usize * size_of::<[AtomicU16; PER_VCPU_VIRQS.len()]>()
            + Pollers::bytes(max_vcpus)
    }

    /// The vCPUs that poll ports.
    #[must_use]
    pub const fn pollers(&self) -> &Pollers {
        &self.pollers
    }

    /// The word of a port, if there is memory for it.
    #[inline]
    pub(super) fn word(&self, port: Port) -> Option<&PortWord> {
        let index = crate::speculation::index(port.0 as usize, NR_PORTS_2L as usize)?;
        self.buckets
            .get(index / BUCKET_PORTS)?
            .get()?
            .get(index % BUCKET_PORTS)
    }

    /// A port as it is now. `None` if the number is out of range, or so high that no
    /// port near it was ever in use.
    #[must_use]
    pub fn snapshot(&self, port: Port) -> Option<Snapshot> {
        self.word(port).map(PortWord::load)
    }

    /// The highest port number that may be in use now, for a walk over all of them.
    #[must_use]
    pub const fn max_port(&self) -> Port {
        Port(self.max_port)
    }

    /// Takes the lowest free port.
    pub(super) fn allocate<D: EventDomain>(&self, domain: &D) -> Result<Fresh<'_>, EventError> {
        self.allocate_locked(&mut self.allocation.lock(), domain)
    }

    fn allocate_locked<D: EventDomain>(
        &self,
        allocation: &mut Allocation,
        domain: &D,
    ) -> Result<Fresh<'_>, EventError> {
        if allocation.is_closed {
            return Err(EventError::Invalid);
        }
        let number = allocation
            .lowest_free()
            .filter(|port| *port <= self.max_port);
        let port = Port(number.ok_or(EventError::NoPort)?);
        let word = self.word_with_memory(port, domain)?;
        allocation.mark_used(port.0);
        // A port starts with nothing pending, whatever its last user or the guest left in the bit.
        domain.shared().clear_pending(port);
        let is_published = word.publish(Binding::Changing, VcpuId(0));
        debug_assert!(is_published);
        Ok(Fresh { port, word })
    }

    /// The word of a port, after making its bucket if need be. Called under the allocation lock.
    fn word_with_memory<D: EventDomain>(
        &self,
        port: Port,
        domain: &D,
    ) -> Result<&PortWord, EventError> {
        if let Some(word) = self.word(port) {
            return Ok(word);
        }
        let once = self
            .buckets
            .get(port.0 as usize / BUCKET_PORTS)
            .ok_or(EventError::NoPort)?;
        domain.charge(BUCKET_BYTES)?;
        let words = new_bucket().inspect_err(|_| domain.uncharge(BUCKET_BYTES))?;
        once.call_once(|| words);
        self.word(port).ok_or(EventError::NoPort)
    }

    /// Makes a port free that the caller holds as `Changing` or `Connecting`, its deliveries drained.
    pub(super) fn give_back<D: EventDomain>(&self, domain: &D, port: Port, word: &PortWord) {
        domain.shared().clear_pending(port);
        let mut allocation = self.allocation.lock();
        let is_published = word.publish(Binding::Free, VcpuId(0));
        debug_assert!(is_published);
        allocation.mark_free(port.0);
    }

    /// Refuses new ports from now on: the domain is being destroyed.
    pub fn close_for_good(&self) {
        self.allocation.lock().is_closed = true;
    }

    /// Whether it does.
    pub(super) fn is_closed_for_good(&self) -> bool {
        self.allocation.lock().is_closed
    }

    /// Binds a virtual interrupt that is not bound to a fresh port.
    pub(super) fn allocate_virq<D: EventDomain>(
        &self,
        domain: &D,
        virq: u32,
        vcpu: VcpuId,
    ) -> Result<Port, EventError> {
        let slot = self.virq_slot(virq, vcpu).ok_or(EventError::Invalid)?;
        let mut allocation = self.allocation.lock();
        if slot.load(Ordering::Acquire) != NO_PORT {
            return Err(EventError::InUse);
        }
        let fresh = self.allocate_locked(&mut allocation, domain)?;
        // Before the port is bound: once it is, another vCPU may close it, which empties the slot. Ports
        // are below 4096.
        slot.store(fresh.port.0 as u16, Ordering::Release);
        if !fresh.word.publish(Binding::Virq(virq), vcpu) {
            slot.store(NO_PORT, Ordering::Release);
            allocation.mark_free(fresh.port.0);
            let is_published = fresh.word.publish(Binding::Free, VcpuId(0));
            debug_assert!(is_published);
            return Err(EventError::Invalid);
        }
        Ok(fresh.port)
    }

    /// Forgets that `port` carries a virtual interrupt. `vcpu` is the one that the port notifies: where
    /// each vCPU has its own interrupt, such a port never moves, so this finds the right one.
    pub(super) fn forget_virq(&self, virq: u32, vcpu: VcpuId, port: Port) {
        if let Some(slot) = self.virq_slot(virq, vcpu) {
            let was = slot.swap(NO_PORT, Ordering::AcqRel);
            debug_assert_eq!(u32::from(was), port.0);
        }
    }

    /// The port of a virtual interrupt (of a vCPU, if each has its own).
    #[must_use]
    pub fn virq_port(&self, virq: u32, vcpu: VcpuId) -> Option<Port> {
        let port = self.virq_slot(virq, vcpu)?.load(Ordering::Acquire);
        (port != NO_PORT).then_some(Port(u32::from(port)))
    }

    fn virq_slot(&self, virq: u32, vcpu: VcpuId) -> Option<&AtomicU16> {
        match per_vcpu_index(virq) {
            Some(index) => {
                let vcpu = crate::speculation::index(vcpu.0 as usize, self.vcpu_virqs.len())?;
                self.vcpu_virqs.get(vcpu)?.get(index)
            }
            None => {
                let virq = crate::speculation::index(virq as usize, self.global_virqs.len())?;
                self.global_virqs.get(virq)
            }
        }
    }
}

fn new_bucket() -> Result<Vec<PortWord>, EventError> {
    let mut words = Vec::new();
    words
        .try_reserve_exact(BUCKET_PORTS)
        .map_err(|_| EventError::NoMemory)?;
    words.resize_with(BUCKET_PORTS, PortWord::free);
    Ok(words)
}

/// Whether each vCPU has its own binding of a virtual interrupt. Unnamed ones are global.
#[must_use]
pub(super) fn is_per_vcpu(virq: u32) -> bool {
    per_vcpu_index(virq).is_some()
}

fn per_vcpu_index(virq: u32) -> Option<usize> {
    PER_VCPU_VIRQS.iter().position(|own| own.number() == virq)
}
