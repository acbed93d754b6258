//! Event channels: operations and the two-level bitmaps.
//!
//! The other delivery scheme is in [`fifo_events`](crate::fifo_events).

use crate::ids::{DomId, Port, VcpuId};

abi! {
    headers ["xen/event_channel.h"];

    enumeration! {
        /// First argument of the hypercall; the second points to the structure named.
        pub enum EventChannelOp: u32 {
            /// [`BindInterdomain`].
            BindInterdomain = 0 => "EVTCHNOP_bind_interdomain",
            /// [`BindVirq`].
            BindVirq = 1 => "EVTCHNOP_bind_virq",
            /// [`BindPirq`].
            BindPirq = 2 => "EVTCHNOP_bind_pirq",
            /// [`Close`].
            Close = 3 => "EVTCHNOP_close",
            /// [`Send`].
            Send = 4 => "EVTCHNOP_send",
            /// [`Status`].
            Status = 5 => "EVTCHNOP_status",
            /// [`AllocUnbound`].
            AllocUnbound = 6 => "EVTCHNOP_alloc_unbound",
            /// [`BindIpi`].
            BindIpi = 7 => "EVTCHNOP_bind_ipi",
            /// [`BindVcpu`].
            BindVcpu = 8 => "EVTCHNOP_bind_vcpu",
            /// [`Unmask`].
            Unmask = 9 => "EVTCHNOP_unmask",
            /// [`Reset`].
            Reset = 10 => "EVTCHNOP_reset",
            /// [`InitControl`](crate::fifo_events::InitControl).
            InitControl = 11 => "EVTCHNOP_init_control",
            /// [`ExpandArray`](crate::fifo_events::ExpandArray).
            ExpandArray = 12 => "EVTCHNOP_expand_array",
            /// [`SetPriority`](crate::fifo_events::SetPriority).
            SetPriority = 13 => "EVTCHNOP_set_priority",
        }

        /// What [`Status::status`] says about a port.
        pub enum ChannelStatus: u32 {
            /// Not in use.
            Closed = 0 => "EVTCHNSTAT_closed",
            /// Waits for the other domain; [`Status::remote_dom`] says which.
            Unbound = 1 => "EVTCHNSTAT_unbound",
            /// Connected; [`Status::remote_dom`] and [`Status::remote_port`] say to what.
            Interdomain = 2 => "EVTCHNSTAT_interdomain",
            /// Bound to a physical interrupt.
            Pirq = 3 => "EVTCHNSTAT_pirq",
            /// Bound to a virtual interrupt.
            Virq = 4 => "EVTCHNSTAT_virq",
            /// Bound to an interrupt between vCPUs.
            Ipi = 5 => "EVTCHNSTAT_ipi",
        }

        /// Virtual interrupts.
        pub enum Virq: u32 {
            /// Timer. One for each vCPU.
            Timer = 0 => "VIRQ_TIMER",
            /// Asks the guest to print its state. One for each vCPU.
            Debug = 1 => "VIRQ_DEBUG",
            /// Console input has arrived. For the hardware domain.
            Console = 2 => "VIRQ_CONSOLE",
            /// Some domain shut down or died. For the control domain.
            DomainException = 3 => "VIRQ_DOM_EXC",
            /// Trace buffer has records.
            TraceBuffer = 4 => "VIRQ_TBUF",
            /// A domain paused for its debugger.
            Debugger = 6 => "VIRQ_DEBUGGER",
            /// Profiler sample. One for each vCPU.
            Profiler = 7 => "VIRQ_XENOPROF",
            /// The hypervisor's log has new text.
            ConsoleRing = 8 => "VIRQ_CON_RING",
            /// A physical CPU went on or off line.
            PcpuState = 9 => "VIRQ_PCPU_STATE",
            /// A memory event.
            MemoryEvent = 10 => "VIRQ_MEM_EVENT",
            /// A message between domains.
            Argo = 11 => "VIRQ_ARGO",
            /// The machine is short of memory.
            OutOfMemory = 12 => "VIRQ_ENOMEM",
            /// Performance counter overflow. One for each vCPU.
            Pmu = 13 => "VIRQ_XENPMU",
            /// Machine-check telemetry. For the hardware domain.
            Mca = 16 => "VIRQ_MCA",
            /// Reserved for the architecture.
            Arch1 = 17 => "VIRQ_ARCH_1",
            /// Reserved for the architecture.
            Arch2 = 18 => "VIRQ_ARCH_2",
            /// Reserved for the architecture.
            Arch3 = 19 => "VIRQ_ARCH_3",
            /// Reserved for the architecture.
            Arch4 = 20 => "VIRQ_ARCH_4",
            /// Reserved for the architecture.
            Arch5 = 21 => "VIRQ_ARCH_5",
            /// Reserved for the architecture.
            Arch6 = 22 => "VIRQ_ARCH_6",
            /// Reserved for the architecture.
            Arch7 = 23 => "VIRQ_ARCH_7",
        }
    }

    numbers! {
        /// Virtual interrupt numbers are below this. Unnamed ones can be bound too.
        pub const NR_VIRQS: u32 = 24 => "NR_VIRQS";
        /// Ports of the two-level scheme: 64 words of 64 bits.
        pub const NR_PORTS_2L: u32 = 4096 => "EVTCHN_2L_NR_CHANNELS";
    }

    flags! {
        /// Flags of [`BindPirq`].
        pub struct BindPirqFlags: u32 {
            /// The interrupt may be shared with other ports.
            WILL_SHARE = 1 => "BIND_PIRQ__WILL_SHARE",
        }
    }

    layout! {
        /// Allocates a port in `dom` that `remote_dom` may bind.
        pub struct AllocUnbound [8] "struct evtchn_alloc_unbound" {
            /// Owner of the new port.
            0 dom: DomId,
            /// Who may bind it.
            2 remote_dom: DomId,
            /// Out: the port.
            4 port: Port,
        }

        /// Connects a new local port to an unbound port of another domain.
        pub struct BindInterdomain [12] "struct evtchn_bind_interdomain" {
            /// Owner of the unbound port.
            0 remote_dom: DomId,
            /// Zero.
            2 pad0: [u8; 2] = _,
            /// The unbound port.
            4 remote_port: Port,
            /// Out: the local port.
            8 local_port: Port,
        }

        /// Binds a virtual interrupt.
        pub struct BindVirq [12] "struct evtchn_bind_virq" {
            /// A [`Virq`].
            0 virq: u32,
            /// vCPU to notify; zero for global interrupts.
            4 vcpu: VcpuId,
            /// Out: the port.
            8 port: Port,
        }

        /// Binds a physical interrupt.
        pub struct BindPirq [12] "struct evtchn_bind_pirq" {
            /// Number from `map_pirq`.
            0 pirq: u32,
            /// Flags.
            4 flags: BindPirqFlags,
            /// Out: the port.
            8 port: Port,
        }

        /// Allocates a port by which a vCPU is interrupted.
        pub struct BindIpi [8] "struct evtchn_bind_ipi" {
            /// vCPU to notify.
            0 vcpu: VcpuId,
            /// Out: the port.
            4 port: Port,
        }

        /// Closes a port.
        pub struct Close [4] "struct evtchn_close" {
            /// The port.
            0 port: Port,
        }

        /// Sends an event to the other end of a port.
        pub struct Send [4] "struct evtchn_send" {
            /// The local port.
            0 port: Port,
        }

        /// Asks for the state of a port. The last two fields depend on `status`.
        pub struct Status [24] "struct evtchn_status" {
            /// Owner of the port.
            0 dom: DomId,
            /// Zero.
            2 pad0: [u8; 2] = _,
            /// The port.
            4 port: Port,
            /// Out: a [`ChannelStatus`].
            8 status: u32,
            /// Out: vCPU that is notified.
            12 vcpu: VcpuId,
            /// Out: the other domain (unbound, interdomain). With
            /// [`set_interrupt`](Status::set_interrupt), the low half of the interrupt number.
            16 remote_dom: DomId = "u.interdomain.dom",
            /// Out: zero, or the high half of the interrupt number.
            18 pad1: u16 = (absent "upper half of u.virq and u.pirq, which remote_dom begins"),
            /// Out: the other port (interdomain).
            20 remote_port: Port = "u.interdomain.port",
        }

        /// Moves a port's notifications to another vCPU.
        pub struct BindVcpu [8] "struct evtchn_bind_vcpu" {
            /// The port.
            0 port: Port,
            /// vCPU to notify.
            4 vcpu: VcpuId,
        }

        /// Clears a port's mask and notifies if it is pending.
        pub struct Unmask [4] "struct evtchn_unmask" {
            /// The port.
            0 port: Port,
        }

        /// Closes all ports of a domain.
        pub struct Reset [2] "struct evtchn_reset" {
            /// The domain.
            0 dom: DomId,
        }
    }
}

impl Status {
    /// Writes the number of the virtual or physical interrupt, which shares its place with
    /// `remote_dom`.
    pub const fn set_interrupt(&mut self, number: u32) {
        let [a, b, c, d] = number.to_le_bytes();
        self.remote_dom = DomId(u16::from_le_bytes([a, b]));
        self.pad1 = u16::from_le_bytes([c, d]);
    }

    /// The number of the virtual or physical interrupt.
    #[must_use]
    pub const fn interrupt(&self) -> u32 {
        let [a, b] = self.remote_dom.0.to_le_bytes();
        let [c, d] = self.pad1.to_le_bytes();
        u32::from_le_bytes([a, b, c, d])
    }
}

impl Virq {
    /// Whether each vCPU has its own binding. The others exist once in a domain and start on vCPU 0.
    #[must_use]
    pub const fn is_per_vcpu(self) -> bool {
        matches!(self, Self::Timer | Self::Debug | Self::Profiler | Self::Pmu)
    }
}
