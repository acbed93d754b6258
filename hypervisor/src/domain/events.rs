//! A domain as the event room sees it.

use super::charge::OverLimit;
use super::domains::{Domain, Domains};
use crate::arch::shared::{AtomicPlace, SharedInfoPlace, VcpuInfoPlace};
use crate::arch::{memory, percpu, scheduler};
use crate::event::{EventDomain, EventDomains, EventError, PortTable, SharedInfo, wait};
use crate::sched::run_state::Change;
use alloc::sync::Arc;
use core::sync::atomic::Ordering;
use guest_abi::ids::{DomId, Port, VcpuId};

/// The bits of one domain.
pub(crate) struct DomainBits(AtomicPlace);

impl DomainBits {
    pub(super) fn new(shared: SharedInfoPlace) -> Self {
        Self(AtomicPlace::new(shared.0))
    }

    /// Where they are.
    pub(crate) fn shared(&self) -> SharedInfoPlace {
        SharedInfoPlace(self.0.get())
    }

    /// Where the `vcpu_info` of a vCPU is that has registered no place of its own: nobody looks there if it has none.
    pub(super) fn vcpu_info(&self, id: VcpuId) -> VcpuInfoPlace {
        self.shared()
            .vcpu_info(id.0)
            .or_else(|| memory::nobodys_shared_info().vcpu_info(0))
            .expect("the first vCPU has a place")
    }

    /// The domain's own are not used from here on: who still looks at some looks at those of nobody.
    pub(super) fn leave(&self, nobodys: SharedInfoPlace) -> SharedInfoPlace {
        SharedInfoPlace(self.0.swap(nobodys.0))
    }
}

impl SharedInfo for Domain {
    fn set_pending(&self, port: Port) -> bool {
        let (word, bit) = self.bits.shared().pending(port.0);
        word.fetch_or(bit, Ordering::SeqCst) & bit != 0
    }
    fn clear_pending(&self, port: Port) {
        let (word, bit) = self.bits.shared().pending(port.0);
        word.fetch_and(!bit, Ordering::SeqCst);
    }
    fn is_pending(&self, port: Port) -> bool {
        let (word, bit) = self.bits.shared().pending(port.0);
        word.load(Ordering::SeqCst) & bit != 0
    }
    fn is_masked(&self, port: Port) -> bool {
        let (word, bit) = self.bits.shared().mask(port.0);
        word.load(Ordering::SeqCst) & bit != 0
    }
    fn clear_mask(&self, port: Port) -> bool {
        let (word, bit) = self.bits.shared().mask(port.0);
        word.fetch_and(!bit, Ordering::SeqCst) & bit != 0
    }
    fn select(&self, vcpu: VcpuId, word: u32) -> bool {
        self.known_vcpu(vcpu)
            .is_none_or(|vcpu| vcpu.info().select(word))
    }
    fn set_upcall_pending(&self, vcpu: VcpuId) -> bool {
        self.known_vcpu(vcpu)
            .is_none_or(|vcpu| vcpu.info().set_upcall_pending())
    }
    fn is_upcall_pending(&self, vcpu: VcpuId) -> bool {
        self.known_vcpu(vcpu)
            .is_some_and(|vcpu| vcpu.info().is_upcall_pending())
    }
    fn clear_upcall_mask(&self, vcpu: VcpuId) {
        if let Some(vcpu) = self.known_vcpu(vcpu) {
            vcpu.info().set_upcall_mask(0);
        }
    }
    fn is_upcall_masked(&self, vcpu: VcpuId) -> bool {
        self.known_vcpu(vcpu)
            .is_some_and(|vcpu| vcpu.info().upcall_mask() != 0)
    }
}

impl EventDomain for Domain {
    type Shared = Self;
    type Pirqs = Self;

    fn id(&self) -> DomId {
        self.id
    }
    fn ports(&self) -> &PortTable {
        &self.ports
    }
    fn shared(&self) -> &Self {
        self
    }
    fn pirqs(&self) -> &Self {
        self
    }
    fn has_vcpu(&self, vcpu: VcpuId) -> bool {
        self.vcpu(vcpu).is_some()
    }
    fn kick(&self, vcpu: VcpuId) {
        let Some(vcpu) = self.known_vcpu(vcpu) else {
            return;
        };
        if wait::end(self, vcpu.id(), &vcpu.run) == Change::BecameRunnable {
            scheduler::wake(vcpu);
        } else if !percpu::runs_here(vcpu) {
            // Whoever runs here looks at its events on its way to the guest.
            scheduler::poke(vcpu);
        }
    }
    fn charge(&self, bytes: usize) -> Result<(), EventError> {
        self.charge
            .add(bytes)
            .map_err(|OverLimit| EventError::NoMemory)
    }
    fn uncharge(&self, bytes: usize) {
        self.charge.remove(bytes);
    }
}

impl EventDomains for Domains {
    type Domain = Domain;
    type Ref<'a> = Arc<Domain>;

    fn get(&self, id: DomId) -> Option<Arc<Domain>> {
        self.find(id)
    }
}
