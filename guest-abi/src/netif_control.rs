//! Network devices: the optional control ring, by which a front end chooses how packets are spread over
//! queues.

use crate::ids::GrantRef;

abi! {
    headers ["xen/io/netif.h"];

    enumeration! {
        /// [`ControlRequest::request_type`].
        pub enum ControlType: u16 {
            /// Never sent.
            Invalid = 0 => "XEN_NETIF_CTRL_TYPE_INVALID",
            /// Which hashes the back end knows.
            GetHashFlags = 1 => "XEN_NETIF_CTRL_TYPE_GET_HASH_FLAGS",
            /// Which hashes to use.
            SetHashFlags = 2 => "XEN_NETIF_CTRL_TYPE_SET_HASH_FLAGS",
            /// With which key.
            SetHashKey = 3 => "XEN_NETIF_CTRL_TYPE_SET_HASH_KEY",
            /// How large the table of queues may be.
            GetHashMappingSize = 4 => "XEN_NETIF_CTRL_TYPE_GET_HASH_MAPPING_SIZE",
            /// How large the table of queues is.
            SetHashMappingSize = 5 => "XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING_SIZE",
            /// The table of queues.
            SetHashMapping = 6 => "XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING",
            /// Which way to compute hashes.
            SetHashAlgorithm = 7 => "XEN_NETIF_CTRL_TYPE_SET_HASH_ALGORITHM",
            /// How many frames may stay mapped.
            GetGrefMappingSize = 8 => "XEN_NETIF_CTRL_TYPE_GET_GREF_MAPPING_SIZE",
            /// Frames that stay mapped: [`MappedGrant`]s.
            AddGrefMapping = 9 => "XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING",
            /// Frames that no longer do.
            DelGrefMapping = 10 => "XEN_NETIF_CTRL_TYPE_DEL_GREF_MAPPING",
        }

        /// [`ControlResponse::status`].
        pub enum ControlStatus: u32 {
            /// Done.
            Success = 0 => "XEN_NETIF_CTRL_STATUS_SUCCESS",
            /// Not offered.
            NotSupported = 1 => "XEN_NETIF_CTRL_STATUS_NOT_SUPPORTED",
            /// An argument is wrong.
            InvalidParameter = 2 => "XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER",
            /// Too much.
            BufferOverflow = 3 => "XEN_NETIF_CTRL_STATUS_BUFFER_OVERFLOW",
        }

        /// How hashes are computed.
        pub enum HashAlgorithm: u32 {
            /// Not at all.
            None = 0 => "XEN_NETIF_CTRL_HASH_ALGORITHM_NONE",
            /// Toeplitz.
            Toeplitz = 1 => "XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ",
        }
    }

    numbers! {
        /// Bytes of an entry of the control ring.
        pub const ENTRY_SIZE: usize = 16 => "sizeof(union xen_netif_ctrl_sring_entry)";
        /// Entries of the control ring.
        pub const RING_ENTRIES: u32 = 128 => "__CONST_RING_SIZE(xen_netif_ctrl, 4096)";
    }

    flags! {
        /// Which packets have a hash.
        pub struct HashFlags: u32 {
            /// IPv4.
            IPV4 = 1 << 0 => "XEN_NETIF_CTRL_HASH_TYPE_IPV4",
            /// TCP over IPv4.
            IPV4_TCP = 1 << 1 => "XEN_NETIF_CTRL_HASH_TYPE_IPV4_TCP",
            /// IPv6.
            IPV6 = 1 << 2 => "XEN_NETIF_CTRL_HASH_TYPE_IPV6",
            /// TCP over IPv6.
            IPV6_TCP = 1 << 3 => "XEN_NETIF_CTRL_HASH_TYPE_IPV6_TCP",
        }

        /// [`MappedGrant::flags`].
        pub struct MappedGrantFlags: u16 {
            /// Map without write access.
            READONLY = 1 << 0 => "XEN_NETIF_CTRLF_GREF_readonly",
        }
    }

    layout! {
        /// A request.
        pub struct ControlRequest [16] "struct xen_netif_ctrl_request" {
            /// The front end's number for this request.
            0 id: u16,
            /// A [`ControlType`].
            2 request_type: u16 = "type",
            /// Arguments.
            4 data: [u32; 3],
        }

        /// The answer.
        pub struct ControlResponse [12] "struct xen_netif_ctrl_response" {
            /// The request's number.
            0 id: u16,
            /// The request's type.
            2 request_type: u16 = "type",
            /// A [`ControlStatus`].
            4 status: u32,
            /// Result.
            8 data: u32,
        }

        /// A frame that stays mapped.
        pub struct MappedGrant [8] "struct xen_netif_gref" {
            /// Which.
            0 gref: GrantRef = "ref",
            /// Flags.
            4 flags: MappedGrantFlags,
            /// Out: a [`ControlStatus`].
            6 status: u16,
        }
    }
}
