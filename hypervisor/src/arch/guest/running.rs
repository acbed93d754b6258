//! The guest that a processor runs, as one value to pass around.

use crate::arch::percpu::CpuInfo;
use crate::domain::context::Context;
use crate::domain::{Domain, Vcpu};
use crate::registers::Registers;
use alloc::boxed::Box;
use alloc::sync::Arc;

/// What a processor holds while it runs a vCPU. The context is its own until it puts it back.
pub(in crate::arch) struct Running {
    pub(in crate::arch) domain: Arc<Domain>,
    pub(in crate::arch) vcpu: Arc<Vcpu>,
    pub(in crate::arch) context: Box<Context>,
}

/// The guest that an entry came from: its registers and state, for whoever handles the entry.
pub(crate) struct Guest<'g> {
    /// General registers.
    pub(crate) registers: &'g mut Registers,
    /// The rest of the processor's state.
    pub(crate) context: &'g mut Context,
    /// The vCPU.
    pub(crate) vcpu: &'g Arc<Vcpu>,
    /// Its domain.
    pub(crate) domain: &'g Arc<Domain>,
}

impl<'g> Guest<'g> {
    /// The guest that the processor runs.
    pub(in crate::arch) fn of(info: &'g mut CpuInfo) -> Option<Self> {
        let running = info.running.as_mut()?;
        Some(Self {
            registers: &mut info.guest,
            context: &mut running.context,
            vcpu: &running.vcpu,
            domain: &running.domain,
        })
    }
}
