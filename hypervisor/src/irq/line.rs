//! The state machine of one source of interrupts.

use super::error::IrqError;
use super::hardware::{Hardware, Mask, Signal, Target, Trigger};
use super::lines::Irq;
use super::throttle::{Rest, Throttle};
use super::vectors::{Route, Vectors};

/// Whoever gets an interrupt as an event.
pub trait Owner {
    /// Raises the event of interrupt `pirq` on `port`, if that is still its port. Called with interrupts off and a
    /// line's lock held; takes no lock that anybody waits under for this one. Says which processor the event goes to,
    /// if that is known.
    fn raise(&self, pirq: u32, port: u32) -> Option<u32>;
}

/// What has become of an interrupt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arrival {
    /// It belongs to nothing.
    Nobodys,
    /// It was passed on, or its line is bound to nobody any more.
    Passed,
    /// It was passed on, and the source is masked from now on, because there were too many.
    Rests(Irq, Rest),
}

/// After so many interrupts in a row to another processor than the one that their events go to, a line moves there: a vCPU
/// that runs here and there takes none along, one that has moved for good does.
const ASTRAY: u8 = if cfg!(test) { 3 } else { 16 };

/// What kind of source it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// Nothing: a place for a message that is not in use, or a number that no IO-APIC has.
    None,
    /// A pin of an IO-APIC.
    Pin(Signal),
    /// A pin that the hypervisor uses itself.
    Own,
    /// A message; whether its sender has a mask for it.
    Message { is_maskable: bool },
}

/// Whom it goes to.
struct Binding<O> {
    owner: O,
    pirq: u32,
    port: u32,
}

/// Legal only with a binding, but for `Masked`.
///
/// | from | to | by |
/// |---|---|---|
/// | `Masked` | `Open` | the port is published |
/// | `Open` | `InService` | an interrupt of a level line |
/// | `InService` | `Open` | the guest is done with it |
/// | `Open` | `Resting` | more interrupts of an edge or message than [`throttle`](super::throttle) allows |
/// | `Resting` | `Open` | the rest is over |
/// | any | `Masked` | the port is closed |
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Not let through.
    Masked,
    /// Let through.
    Open,
    /// A level line, masked until the guest is done with it.
    InService,
    /// An edge or message, masked for a while.
    Resting,
}

/// One source.
pub struct Line<O> {
    irq: Irq,
    kind: Kind,
    /// Whether its settings are the guest's own, rather than the firmware's.
    is_set_up: bool,
    /// Where it goes: a pin's while it is bound, a message's from the start.
    route: Option<Route>,
    /// Where it went before. Kept until something has come by the new way.
    leaving: Option<Route>,
    /// Which processor it is to go to when it can be moved.
    wanted: Option<u32>,
    binding: Option<Binding<O>>,
    phase: Phase,
    throttle: Throttle,
    /// Interrupts in a row that another processor than the one they came to has been told of.
    astray: u8,
}

/// What changing a line needs: the vectors and the hardware.
pub(super) struct Tools<'a, H> {
    pub(super) vectors: &'a Vectors,
    pub(super) hardware: &'a H,
}

impl<H: Hardware> Tools<'_, H> {
    /// A vector on `cpu`, or else on any processor.
    fn allocate(&self, cpu: u32, irq: Irq, processors: u32) -> Option<Route> {
        core::iter::once(cpu)
            .chain(0..processors)
            .filter(|&cpu| self.hardware.can_reach(cpu))
            .find_map(|cpu| self.vectors.allocate(cpu, irq))
    }
}

const fn target(route: Route) -> Target {
    Target {
        cpu: route.cpu,
        vector: route.vector,
    }
}

impl<O: Owner> Line<O> {
    const fn new(irq: Irq, kind: Kind) -> Self {
        Self {
            irq,
            kind,
            is_set_up: false,
            route: None,
            leaving: None,
            wanted: None,
            binding: None,
            phase: Phase::Masked,
            throttle: Throttle::new(),
            astray: 0,
        }
    }

    /// A place for a message, not in use.
    pub(super) const fn unused(irq: Irq) -> Self {
        Self::new(irq, Kind::None)
    }

    /// A pin of an IO-APIC.
    pub(super) const fn pin(irq: Irq, signal: Signal) -> Self {
        Self::new(irq, Kind::Pin(signal))
    }

    /// The hypervisor takes a pin for itself.
    pub(super) fn keep(&mut self) {
        self.kind = Kind::Own;
    }

    /// Whether there is such a source.
    pub(super) const fn exists(&self) -> bool {
        !matches!(self.kind, Kind::None)
    }

    /// Whether it is a message.
    pub(super) const fn is_message(&self) -> bool {
        matches!(self.kind, Kind::Message { .. })
    }

    /// The guest must say when it is done with each interrupt.
    pub(super) const fn needs_end(&self) -> bool {
        match self.kind {
            Kind::Pin(signal) => matches!(signal.trigger, Trigger::Level),
            Kind::None | Kind::Own | Kind::Message { .. } => false,
        }
    }

    /// The processor it goes to.
    #[cfg(test)]
    pub(super) fn route(&self) -> Option<Route> {
        self.route
    }

    /// Whether it waits for the guest.
    #[cfg(test)]
    pub(super) fn is_in_service(&self) -> bool {
        self.phase == Phase::InService
    }

    /// Sets how a pin signals: once, and before it is bound.
    pub(super) fn set_up(
        &mut self,
        hardware: &impl Hardware,
        signal: Signal,
    ) -> Result<(), IrqError> {
        match self.kind {
            Kind::Pin(_) if self.is_set_up || self.binding.is_some() => Err(IrqError::InUse),
            Kind::Own => Err(IrqError::InUse),
            Kind::Pin(_) => {
                self.is_set_up = true;
                self.kind = Kind::Pin(signal);
                let nowhere = Target { cpu: 0, vector: 0 };
                hardware.set_pin(self.irq, signal, nowhere, Mask::Masked);
                Ok(())
            }
            Kind::None | Kind::Message { .. } => Err(IrqError::Invalid),
        }
    }

    /// Puts a message in this place, towards processor `cpu` if it can be.
    pub(super) fn put_message<H: Hardware>(
        &mut self,
        tools: &Tools<'_, H>,
        is_maskable: bool,
        cpu: u32,
        processors: u32,
    ) -> Result<(), IrqError> {
        if self.kind != Kind::None {
            return Err(IrqError::InUse);
        }
        let route = tools
            .allocate(cpu, self.irq, processors)
            .ok_or(IrqError::NoRoom)?;
        *self = Self::new(self.irq, Kind::Message { is_maskable });
        self.route = Some(route);
        tools.hardware.mask_message(self.irq, Mask::Masked);
        tools.hardware.set_message(self.irq, target(route));
        Ok(())
    }

    /// Writes a message's registers again, after its device has lost them.
    pub(super) fn restore_message(&self, hardware: &impl Hardware) {
        if let (Kind::Message { .. }, Some(route)) = (self.kind, self.route) {
            hardware.mask_message(self.irq, Mask::Masked);
            hardware.set_message(self.irq, target(route));
            if self.phase == Phase::Open {
                hardware.mask_message(self.irq, Mask::Open);
            }
        }
    }

    /// Takes a message out of this place.
    pub(super) fn take_message<H: Hardware>(&mut self, tools: &Tools<'_, H>) {
        if self.is_message() {
            tools.hardware.mask_message(self.irq, Mask::Masked);
            self.free_vectors(tools.vectors);
            *self = Self::new(self.irq, Kind::None);
        }
    }

    fn free_vectors(&mut self, vectors: &Vectors) {
        for route in [self.route.take(), self.leaving.take()]
            .into_iter()
            .flatten()
        {
            vectors.free(route);
        }
        self.wanted = None;
    }

    /// Reserves the interrupt for `port` of `owner`, who knows it as `pirq`; not let through yet. It goes to
    /// processor `cpu` if it can.
    pub(super) fn bind<H: Hardware>(
        &mut self,
        tools: &Tools<'_, H>,
        (owner, pirq, port): (O, u32, u32),
        cpu: u32,
        processors: u32,
    ) -> Result<(), IrqError> {
        match self.kind {
            Kind::None => return Err(IrqError::Invalid),
            Kind::Own => return Err(IrqError::Busy),
            Kind::Pin(_) | Kind::Message { .. } => {}
        }
        if self.binding.is_some() {
            return Err(IrqError::InUse);
        }
        if self.route.is_none() {
            self.route = tools.allocate(cpu, self.irq, processors);
        }
        if self.route.is_none() {
            return Err(IrqError::NoRoom);
        }
        self.binding = Some(Binding { owner, pirq, port });
        Ok(())
    }

    /// Lets an interrupt through that is reserved for `port`.
    pub(super) fn activate<H: Hardware>(&mut self, tools: &Tools<'_, H>, port: u32) {
        let hardware = tools.hardware;
        let is_bound = self
            .binding
            .as_ref()
            .is_some_and(|binding| binding.port == port);
        let Some(route) = self.route else { return };
        if !is_bound || self.phase != Phase::Masked {
            return;
        }
        self.phase = Phase::Open;
        match self.kind {
            Kind::Pin(signal) => {
                if self.needs_end() {
                    hardware.settle_pin(self.irq);
                }
                hardware.set_pin(self.irq, signal, target(route), Mask::Open);
            }
            Kind::Message { .. } => hardware.mask_message(self.irq, Mask::Open),
            Kind::None | Kind::Own => {}
        }
        if let Some(cpu) = self.wanted.take() {
            self.retarget(tools, cpu);
        }
    }

    /// Takes the interrupt from `port`, if it is that one's; from any if `port` is `None`. Returns the owner, for the caller
    /// to drop when it holds no lock.
    pub(super) fn unbind<H: Hardware>(
        &mut self,
        tools: &Tools<'_, H>,
        port: Option<u32>,
    ) -> Option<O> {
        let binding = self
            .binding
            .take_if(|binding| port.is_none_or(|port| port == binding.port))?;
        self.phase = Phase::Masked;
        match self.kind {
            Kind::Pin(_) => {
                tools.hardware.mask_pin(self.irq, Mask::Masked);
                self.free_vectors(tools.vectors);
            }
            Kind::Message { .. } => tools.hardware.mask_message(self.irq, Mask::Masked),
            Kind::None | Kind::Own => {}
        }
        Some(binding.owner)
    }

    /// An interrupt has come by `route`.
    pub(super) fn arrive<H: Hardware>(
        &mut self,
        tools: &Tools<'_, H>,
        route: Route,
        now_ns: u64,
    ) -> Arrival {
        if self.route != Some(route) && self.leaving != Some(route) {
            tools.hardware.end_of_interrupt();
            return Arrival::Nobodys;
        }
        if self.needs_end() {
            // Before the local APIC is done with it: it would come again at once.
            tools.hardware.mask_pin(self.irq, Mask::Masked);
            match self.phase {
                Phase::Open => self.phase = Phase::InService,
                // A late interrupt of a line that had the vector before has come first, or comes now. The guest knows, and what
                // the line still asks for comes once it is done.
                Phase::InService => {
                    tools.hardware.end_of_interrupt();
                    return Arrival::Passed;
                }
                Phase::Masked | Phase::Resting => {}
            }
        }
        tools.hardware.end_of_interrupt();
        if self.route == Some(route) && !self.needs_end() {
            if let Some(old) = self.leaving.take() {
                tools.vectors.free(old);
            }
            if self.phase != Phase::Resting
                && let Some(cpu) = self.wanted.take()
            {
                self.move_to(tools, cpu);
            }
        }
        if self.phase == Phase::Masked {
            return Arrival::Passed;
        }
        self.raise(tools);
        if self.phase == Phase::Open
            && !self.needs_end()
            && let Some(rest) = self.throttle.count(now_ns)
        {
            self.phase = Phase::Resting;
            match self.kind {
                Kind::Message { .. } => tools.hardware.hush_message(self.irq),
                _ => tools.hardware.mask_pin(self.irq, Mask::Masked),
            }
            return Arrival::Rests(self.irq, rest);
        }
        Arrival::Passed
    }

    /// Raises the event, and lets the line follow where that goes.
    fn raise<H: Hardware>(&mut self, tools: &Tools<'_, H>) {
        let Some(binding) = &self.binding else { return };
        let handled_on = binding.owner.raise(binding.pirq, binding.port);
        match (handled_on, self.route) {
            (Some(cpu), Some(route)) if cpu != route.cpu => {
                self.astray += 1;
                if self.astray >= ASTRAY {
                    self.astray = 0;
                    self.retarget(tools, cpu);
                }
            }
            _ => self.astray = 0,
        }
    }

    /// Lets a source through again whose rest is over, and raises its event: what came meanwhile may be lost. Says until when
    /// it rests otherwise.
    pub(super) fn wake<H: Hardware>(&mut self, tools: &Tools<'_, H>, now_ns: u64) -> Option<u64> {
        if self.phase != Phase::Resting {
            return None;
        }
        let until = self.throttle.rests_until_ns();
        if now_ns < until {
            return Some(until);
        }
        self.phase = Phase::Open;
        match self.kind {
            Kind::Message { .. } => tools.hardware.mask_message(self.irq, Mask::Open),
            _ => tools.hardware.mask_pin(self.irq, Mask::Open),
        }
        if let Some(cpu) = self.wanted.take() {
            self.retarget(tools, cpu);
        }
        self.raise(tools);
        None
    }

    /// The guest is done with an interrupt.
    pub(super) fn end<H: Hardware>(&mut self, tools: &Tools<'_, H>) {
        if self.phase != Phase::InService {
            return;
        }
        self.phase = Phase::Open;
        tools.hardware.settle_pin(self.irq);
        match self.wanted.take() {
            Some(cpu) => self.move_to(tools, cpu),
            None => tools.hardware.mask_pin(self.irq, Mask::Open),
        }
    }

    /// Moves the interrupt to processor `cpu`, now or when it can be.
    pub(super) fn retarget<H: Hardware>(&mut self, tools: &Tools<'_, H>, cpu: u32) {
        if self.phase != Phase::Open || self.leaving.is_some() {
            self.wanted = Some(cpu);
            return;
        }
        self.wanted = None;
        if self.needs_end() {
            tools.hardware.mask_pin(self.irq, Mask::Masked);
            if tools.hardware.is_pin_busy(self.irq) {
                // Its handler is about to run, and will find it masked, as it would have left it.
                tools.hardware.mask_pin(self.irq, Mask::Open);
                self.wanted = Some(cpu);
                return;
            }
        }
        self.move_to(tools, cpu);
    }

    /// Moves it: a level line that is masked with nothing on its way, or an edge or message that is open.
    fn move_to<H: Hardware>(&mut self, tools: &Tools<'_, H>, cpu: u32) {
        let (Kind::Pin(_) | Kind::Message { .. }, Some(old)) = (self.kind, self.route) else {
            return;
        };
        let same = Route {
            cpu,
            vector: old.vector,
        };
        let is_elsewhere = cpu != old.cpu && tools.hardware.can_reach(cpu);
        let new = if !is_elsewhere {
            None
        } else if tools.vectors.take(same, self.irq) {
            Some(same)
        } else if self.may_change_vector() {
            tools.vectors.allocate(cpu, self.irq)
        } else {
            None
        };
        match (self.kind, new) {
            (Kind::Pin(signal), new) if self.needs_end() => {
                let route = new.unwrap_or(old);
                tools
                    .hardware
                    .set_pin(self.irq, signal, target(route), Mask::Open);
                if new.is_some() {
                    self.route = new;
                    tools.vectors.free(old);
                }
            }
            (Kind::Pin(_), Some(route)) => {
                tools.hardware.move_pin(self.irq, route.cpu);
                (self.route, self.leaving) = (new, Some(old));
            }
            (Kind::Message { .. }, Some(route)) => {
                if route.vector != old.vector {
                    tools.hardware.mask_message(self.irq, Mask::Masked);
                }
                tools.hardware.set_message(self.irq, target(route));
                if route.vector != old.vector {
                    tools.hardware.mask_message(self.irq, Mask::Open);
                }
                (self.route, self.leaving) = (new, Some(old));
            }
            _ => {}
        }
    }

    /// Whether its vector can change without a moment in which an interrupt could go astray.
    fn may_change_vector(&self) -> bool {
        match self.kind {
            Kind::Message { is_maskable } => is_maskable,
            Kind::Pin(_) => self.needs_end(),
            Kind::None | Kind::Own => false,
        }
    }
}
