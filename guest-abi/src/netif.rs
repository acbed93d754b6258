//! Network devices: what front end and back end put into their [`ring`](crate::ring)s.
//!
//! Directions are the front end's: it transmits to the back end. A packet may take several slots; the
//! second may be an [`ExtraInfo`] instead of a piece.

use crate::ids::GrantRef;

abi! {
    headers ["xen/io/netif.h"];

    enumeration! {
        /// Status of a response. For reception, a status that is not negative is a length.
        pub enum NetStatus: i16 {
            /// Lost.
            Dropped = -2 => "NETIF_RSP_DROPPED",
            /// Failed.
            Error = -1 => "NETIF_RSP_ERROR",
            /// Done.
            Okay = 0 => "NETIF_RSP_OKAY",
            /// The slot was an [`ExtraInfo`].
            Null = 1 => "NETIF_RSP_NULL",
        }

        /// [`ExtraInfo::info_type`].
        pub enum ExtraType: u8 {
            /// Never sent.
            None = 0 => "XEN_NETIF_EXTRA_TYPE_NONE",
            /// The packet is to be cut.
            Gso = 1 => "XEN_NETIF_EXTRA_TYPE_GSO",
            /// Receive packets to an address.
            McastAdd = 2 => "XEN_NETIF_EXTRA_TYPE_MCAST_ADD",
            /// Receive them no longer.
            McastDel = 3 => "XEN_NETIF_EXTRA_TYPE_MCAST_DEL",
            /// The packet's hash.
            Hash = 4 => "XEN_NETIF_EXTRA_TYPE_HASH",
        }

        /// [`ExtraInfo::gso_type`].
        pub enum GsoType: u8 {
            /// None.
            None = 0 => "XEN_NETIF_GSO_TYPE_NONE",
            /// TCP over IPv4.
            TcpV4 = 1 => "XEN_NETIF_GSO_TYPE_TCPV4",
            /// TCP over IPv6.
            TcpV6 = 2 => "XEN_NETIF_GSO_TYPE_TCPV6",
        }
    }

    numbers! {
        /// Slots of one packet that every back end accepts.
        pub const MIN_SLOTS_PER_PACKET: usize = 18 => "XEN_NETIF_NR_SLOTS_MIN";
        /// Bytes of one packet at most.
        pub const MAX_TRANSMIT_SIZE: u32 = 0xFFFF => "XEN_NETIF_MAX_TX_SIZE";
        /// Bytes of an entry of the transmit ring.
        pub const TRANSMIT_ENTRY_SIZE: usize = 12 => "sizeof(union netif_tx_sring_entry)";
        /// Entries of the transmit ring.
        pub const TRANSMIT_RING_ENTRIES: u32 = 256 => "__CONST_RING_SIZE(netif_tx, 4096)";
        /// Bytes of an entry of the receive ring.
        pub const RECEIVE_ENTRY_SIZE: usize = 8 => "sizeof(union netif_rx_sring_entry)";
        /// Entries of the receive ring.
        pub const RECEIVE_RING_ENTRIES: u32 = 256 => "__CONST_RING_SIZE(netif_rx, 4096)";
    }

    flags! {
        /// [`TransmitRequest::flags`].
        pub struct TransmitFlags: u16 {
            /// The protocol's checksum is not filled in.
            CSUM_BLANK = 1 << 0 => "NETTXF_csum_blank",
            /// The packet is known to be right.
            DATA_VALIDATED = 1 << 1 => "NETTXF_data_validated",
            /// The packet goes on in the next slot.
            MORE_DATA = 1 << 2 => "NETTXF_more_data",
            /// The next slot is an [`ExtraInfo`].
            EXTRA_INFO = 1 << 3 => "NETTXF_extra_info",
        }

        /// [`ReceiveResponse::flags`].
        pub struct ReceiveFlags: u16 {
            /// The packet is known to be right.
            DATA_VALIDATED = 1 << 0 => "NETRXF_data_validated",
            /// The protocol's checksum is not filled in.
            CSUM_BLANK = 1 << 1 => "NETRXF_csum_blank",
            /// The packet goes on in the next slot.
            MORE_DATA = 1 << 2 => "NETRXF_more_data",
            /// The next slot is an [`ExtraInfo`].
            EXTRA_INFO = 1 << 3 => "NETRXF_extra_info",
            /// The slot only says how to cut the packet that follows.
            GSO_PREFIX = 1 << 4 => "NETRXF_gso_prefix",
        }

        /// [`ExtraInfo::flags`].
        pub struct ExtraFlags: u8 {
            /// Another one follows.
            MORE = 1 << 0 => "XEN_NETIF_EXTRA_FLAG_MORE",
        }
    }

    layout! {
        /// A piece of a packet to send.
        pub struct TransmitRequest [12] "struct netif_tx_request" {
            /// Its frame.
            0 gref: GrantRef,
            /// Its first byte.
            4 offset: u16,
            /// Flags.
            6 flags: TransmitFlags,
            /// The front end's number for this slot.
            8 id: u16,
            /// Its bytes; in the first slot, the packet's.
            10 size: u16,
        }

        /// The answer.
        pub struct TransmitResponse [4] "struct netif_tx_response" {
            /// The request's number.
            0 id: u16,
            /// A [`NetStatus`].
            2 status: i16,
        }

        /// A frame for received packets.
        pub struct ReceiveRequest [8] "struct netif_rx_request" {
            /// The front end's number for this slot.
            0 id: u16,
            /// Zero.
            2 pad: u16,
            /// The frame.
            4 gref: GrantRef,
        }

        /// A piece of a received packet.
        pub struct ReceiveResponse [8] "struct netif_rx_response" {
            /// The request's number.
            0 id: u16,
            /// First byte.
            2 offset: u16,
            /// Flags.
            4 flags: ReceiveFlags,
            /// Bytes, or a [`NetStatus`].
            6 status: i16,
        }

        /// What else there is to know about a packet. The last four fields are of [`ExtraType::Gso`].
        pub struct ExtraInfo [8] "struct netif_extra_info" {
            /// An [`ExtraType`].
            0 info_type: u8 = "type",
            /// Flags.
            1 flags: ExtraFlags,
            /// Payload of each piece, in bytes.
            2 gso_size: u16 = "u.gso.size",
            /// A [`GsoType`].
            4 gso_type: u8 = "u.gso.type",
            /// Zero.
            5 gso_pad: u8 = "u.gso.pad",
            /// Zero.
            6 gso_features: u16 = "u.gso.features",
        }
    }
}

impl ExtraInfo {
    /// The Ethernet address of a multicast request, which lies where the other types have their fields.
    #[must_use]
    pub const fn multicast_address(&self) -> [u8; 6] {
        let [a, b] = self.gso_size.to_le_bytes();
        let [e, f] = self.gso_features.to_le_bytes();
        [a, b, self.gso_type, self.gso_pad, e, f]
    }

    /// Writes the Ethernet address of a multicast request.
    pub const fn set_multicast_address(&mut self, address: [u8; 6]) {
        let [a, b, c, d, e, f] = address;
        self.gso_size = u16::from_le_bytes([a, b]);
        self.gso_type = c;
        self.gso_pad = d;
        self.gso_features = u16::from_le_bytes([e, f]);
    }
}

#[cfg(test)]
mod tests {
    use zerocopy::{FromZeros, IntoBytes};

    use super::ExtraInfo;

    #[test]
    fn a_multicast_address_lies_behind_the_flags_in_order() {
        let mut info = ExtraInfo::new_zeroed();
        info.set_multicast_address([1, 2, 3, 4, 5, 6]);
        assert_eq!(info.as_bytes(), [0, 0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(info.multicast_address(), [1, 2, 3, 4, 5, 6]);
    }
}
