//! The device by which processes in a Linux domain use event channels.
//!
//! Binding requests return the local port. Reading gives ports that had events, 4 bytes each, and masks
//! them; writing a port unmasks it.

use crate::ids::{DomId, Port};

abi! {
    headers ["xen/sys/evtchn.h"];

    texts! {
        /// The device.
        pub const DEVICE: &str = "/dev/xen/evtchn" => (absent "a name in the file system");
    }

    enumeration! {
        /// Request numbers of ioctl.
        pub enum EvtchnIoctl: u32 {
            /// [`BindVirq`].
            BindVirq = 0x0004_4500 => "IOCTL_EVTCHN_BIND_VIRQ",
            /// [`BindInterdomain`].
            BindInterdomain = 0x0008_4501 => "IOCTL_EVTCHN_BIND_INTERDOMAIN",
            /// [`BindUnboundPort`].
            BindUnboundPort = 0x0004_4502 => "IOCTL_EVTCHN_BIND_UNBOUND_PORT",
            /// [`Unbind`].
            Unbind = 0x0004_4503 => "IOCTL_EVTCHN_UNBIND",
            /// [`Notify`].
            Notify = 0x0004_4504 => "IOCTL_EVTCHN_NOTIFY",
            /// Nothing more: forget events that were not read.
            Reset = 0x0000_4505 => "IOCTL_EVTCHN_RESET",
            /// [`RestrictDomid`].
            RestrictDomid = 0x0002_4506 => "IOCTL_EVTCHN_RESTRICT_DOMID",
        }
    }

    layout! {
        /// Binds a virtual interrupt.
        pub struct BindVirq [4] "struct ioctl_evtchn_bind_virq" {
            /// A [`Virq`](crate::event_channel::Virq).
            0 virq: u32,
        }

        /// Connects to a port of another domain.
        pub struct BindInterdomain [8] "struct ioctl_evtchn_bind_interdomain" {
            /// Which domain.
            0 remote_domain: u32,
            /// Which port.
            4 remote_port: Port,
        }

        /// Makes a port to which another domain can connect.
        pub struct BindUnboundPort [4] "struct ioctl_evtchn_bind_unbound_port" {
            /// Which domain.
            0 remote_domain: u32,
        }

        /// Closes a port.
        pub struct Unbind [4] "struct ioctl_evtchn_unbind" {
            /// Which.
            0 port: Port,
        }

        /// Sends an event.
        pub struct Notify [4] "struct ioctl_evtchn_notify" {
            /// To which port.
            0 port: Port,
        }

        /// From now on only connects to one domain.
        pub struct RestrictDomid [2] "struct ioctl_evtchn_restrict_domid" {
            /// Which.
            0 domid: DomId,
        }
    }
}
