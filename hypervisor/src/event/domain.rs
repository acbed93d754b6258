//! What this room needs to know of a domain.
#![forbid(unsafe_code)]

use super::error::EventError;
use super::table::PortTable;
use core::ops::Deref;
use guest_abi::ids::{DomId, Port, VcpuId};

/// The bits that a domain shares with the hypervisor for two-level event delivery: `shared_info` and
/// each vCPU's `vcpu_info`.
///
/// The guest writes all of them at any time, so an answer is only what was there at that moment. Each
/// operation that changes a bit is one locked instruction and a full barrier
/// ([`Ordering::SeqCst`](core::sync::atomic::Ordering)); the reads are `SeqCst` loads.
///
/// `port` is below [`NR_PORTS_2L`](guest_abi::event_channel::NR_PORTS_2L) and `word` below 64 in every
/// call; `vcpu` is one of the domain's, and one without a `vcpu_info` of its own uses a dummy.
pub trait SharedInfo {
    /// Sets a port's pending bit; says whether it was set.
    fn set_pending(&self, port: Port) -> bool;
    /// Clears a port's pending bit.
    fn clear_pending(&self, port: Port);
    /// Reads a port's pending bit.
    fn is_pending(&self, port: Port) -> bool;
    /// Reads a port's mask bit.
    fn is_masked(&self, port: Port) -> bool;
    /// Clears a port's mask bit; says whether it was set.
    fn clear_mask(&self, port: Port) -> bool;
    /// Sets the bit of a word of pending bits in the vCPU's selector; says whether it was set.
    fn select(&self, vcpu: VcpuId, word: u32) -> bool;
    /// Sets the vCPU's `evtchn_upcall_pending`; says whether it was set.
    fn set_upcall_pending(&self, vcpu: VcpuId) -> bool;
    /// Reads the vCPU's `evtchn_upcall_pending`.
    fn is_upcall_pending(&self, vcpu: VcpuId) -> bool;
    /// Clears the vCPU's `evtchn_upcall_mask`.
    fn clear_upcall_mask(&self, vcpu: VcpuId);
    /// Reads the vCPU's `evtchn_upcall_mask`.
    fn is_upcall_masked(&self, vcpu: VcpuId) -> bool;
}

/// A bound physical interrupt's other half: the lines and vectors of the machine.
pub trait Pirqs {
    /// Reserves the interrupt for `port`, its line still masked. Refuses a number the domain does not
    /// have ([`EventError::Invalid`]), may not use ([`EventError::NotPermitted`]), has bound
    /// ([`EventError::InUse`]), or that the hypervisor uses itself ([`EventError::Busy`]).
    fn bind(&self, pirq: u32, port: Port, is_shared: bool) -> Result<(), EventError>;
    /// Lets a bound interrupt through. Does nothing if `port` is no longer its port.
    fn activate(&self, pirq: u32, port: Port);
    /// Undoes `bind`. Does nothing if `port` is not its port.
    fn unbind(&self, pirq: u32, port: Port);
    /// Moves the interrupt near the processor of a vCPU. A hint.
    fn retarget(&self, pirq: u32, vcpu: VcpuId);
}

/// A domain, as this room sees it.
pub trait EventDomain {
    /// Its shared bits.
    type Shared: SharedInfo;
    /// Its physical interrupts.
    type Pirqs: Pirqs;

    /// Its number.
    fn id(&self) -> DomId;
    /// Its ports.
    fn ports(&self) -> &PortTable;
    /// Its shared bits.
    fn shared(&self) -> &Self::Shared;
    /// Its physical interrupts.
    fn pirqs(&self) -> &Self::Pirqs;
    /// Whether it has that vCPU (on line or not).
    fn has_vcpu(&self, vcpu: VcpuId) -> bool;
    /// Makes a vCPU look at its upcall: [ends its wait](super::wait::end) if it waits, and interrupts it
    /// if it runs on another processor. Called from interrupt handlers too.
    fn kick(&self, vcpu: VcpuId);
    /// Charges the domain for memory of the hypervisor's that it makes the hypervisor use.
    fn charge(&self, bytes: usize) -> Result<(), EventError>;
    /// Gives a charge back.
    fn uncharge(&self, bytes: usize);
}

/// All domains.
pub trait EventDomains {
    /// A domain.
    type Domain: EventDomain;
    /// Keeps a domain from being freed. Getting and dropping one never waits.
    type Ref<'a>: Deref<Target = Self::Domain>
    where
        Self: 'a;

    /// The domain with that number, dying ones included.
    fn get(&self, id: DomId) -> Option<Self::Ref<'_>>;
}
