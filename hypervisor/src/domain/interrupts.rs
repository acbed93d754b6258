//! A domain's physical interrupts: from the numbers that it knows to the machine's lines and messages, and to its events.
#![forbid(unsafe_code)]

use super::domains::{Domain, Domains};
use crate::arch::irq::{self, lines};
use crate::arch::memory::mm;
use crate::arch::shared::InterruptBits;
use crate::event::{EventError, Pirqs as BoundPirqs};
use crate::irq::{IrqError, Pirqs};
use crate::lock::IrqLock;
use crate::mm::reference::WritableRef;
use guest_abi::ids::{Mfn, Port, VcpuId};

/// The physical interrupts of one domain.
pub(crate) struct DomainPirqs {
    /// What its numbers stand for.
    pub(crate) numbers: Pirqs,
    /// The frame that tells it which of them it must end by hypercall, if it has asked for one.
    needs_end: IrqLock<Option<InterruptBits>>,
}

impl DomainPirqs {
    pub(super) const fn new(nr_gsis: u32) -> Self {
        Self {
            numbers: Pirqs::new(nr_gsis, nr_gsis + irq::MAX_MESSAGES as u32),
            needs_end: IrqLock::new(None),
        }
    }

    /// Shows the domain whether `pirq` must be ended by hypercall.
    fn show(&self, pirq: u32, needs_end: NeedsEnd) {
        if let Some(bits) = *self.needs_end.lock() {
            bits.set(pirq, needs_end == NeedsEnd::Yes);
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum NeedsEnd {
    Yes,
    No,
}

impl From<IrqError> for EventError {
    fn from(error: IrqError) -> Self {
        match error {
            IrqError::Invalid => Self::Invalid,
            IrqError::Busy => Self::Busy,
            IrqError::InUse => Self::InUse,
            IrqError::NoRoom => Self::NoPort,
        }
    }
}

impl Domain {
    /// The processor that a vCPU is on.
    pub(crate) fn processor_of(&self, vcpu: VcpuId) -> u32 {
        self.vcpu(vcpu).map_or(0, |vcpu| vcpu.processor())
    }

    /// The domain shows in `bits` which interrupts it must end. `false` if it has such a frame.
    pub(crate) fn show_interrupts_in(&self, bits: InterruptBits) -> bool {
        {
            let mut shown_in = self.pirqs.needs_end.lock();
            if shown_in.is_some() {
                return false;
            }
            *shown_in = Some(bits);
        }
        self.pirqs.numbers.for_each(|pirq, irq| {
            bits.set(pirq, lines().needs_end(irq));
        });
        true
    }

    /// The frame in which it shows them, on which it holds a writable reference.
    pub(crate) fn interrupts_shown_in(&self) -> Option<Mfn> {
        self.pirqs.needs_end.lock().map(|bits| bits.0.mfn())
    }

    /// The domain is at its end: gives that frame back.
    pub(super) fn put_interrupt_bits(&self) {
        let bits = self.pirqs.needs_end.lock().take();
        if let Some(bits) = bits {
            mm().put_writable_frame(WritableRef::recall(bits.0.mfn()));
        }
    }

    /// The domain is done with interrupt `pirq`.
    pub(crate) fn end_interrupt(&self, pirq: u32) {
        if let Some(irq) = self.pirqs.numbers.irq(pirq) {
            lines().end(irq);
        }
    }
}

impl BoundPirqs for Domain {
    fn bind(&self, pirq: u32, port: Port, _is_shared: bool) -> Result<(), EventError> {
        if pirq >= self.pirqs.numbers.limit() {
            return Err(EventError::Invalid);
        }
        let owner = Domains.find(self.id()).ok_or(EventError::NoSuchDomain)?;
        let cpu = self.processor_of(VcpuId(0));
        // The number is not taken away meanwhile: who does that frees the line afterwards.
        self.pirqs
            .numbers
            .with_irq(pirq, |irq| lines().bind(irq, owner, pirq, port.0, cpu))
            .ok_or(EventError::NotPermitted)??;
        Ok(())
    }

    fn activate(&self, pirq: u32, port: Port) {
        if let Some(irq) = self.pirqs.numbers.irq(pirq) {
            if lines().needs_end(irq) {
                self.pirqs.show(pirq, NeedsEnd::Yes);
            }
            lines().activate(irq, port.0);
        }
    }

    fn unbind(&self, pirq: u32, port: Port) {
        if let Some(irq) = self.pirqs.numbers.irq(pirq)
            && lines().unbind(irq, Some(port.0))
        {
            self.pirqs.show(pirq, NeedsEnd::No);
        }
    }

    fn retarget(&self, pirq: u32, vcpu: VcpuId) {
        if let Some(irq) = self.pirqs.numbers.irq(pirq) {
            lines().retarget(irq, self.processor_of(vcpu));
        }
    }
}
