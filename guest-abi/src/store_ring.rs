//! The frame by which a guest and the store talk: a stream of messages each way.
//!
//! Indices run freely and are cut to [`RING_SIZE`]. After writing or reading, the other side is
//! notified.

abi! {
    headers ["xen/io/xs_wire.h"];

    numbers! {
        /// Bytes of each direction.
        pub const RING_SIZE: usize = 1024 => "XENSTORE_RING_SIZE";
    }

    flags! {
        /// [`StoreRing::server_features`].
        pub struct StoreFeatures: u32 {
            /// The guest may ask for a new connection.
            RECONNECTION = 1 << 0 => "XENSTORE_SERVER_FEATURE_RECONNECTION",
            /// [`StoreRing::error`] has a meaning.
            ERROR = 1 << 1 => "XENSTORE_SERVER_FEATURE_ERROR",
        }
    }

    enumeration! {
        /// [`StoreRing::connection`].
        pub enum ConnectionState: u32 {
            /// In use.
            Connected = 0 => "XENSTORE_CONNECTED",
            /// The guest asks for a new connection.
            Reconnect = 1 => "XENSTORE_RECONNECT",
        }

        /// [`StoreRing::error`].
        pub enum ConnectionError: u32 {
            /// None.
            None = 0 => "XENSTORE_ERROR_NONE",
            /// The connection broke.
            Communication = 1 => "XENSTORE_ERROR_COMM",
            /// An index is wrong.
            RingIndex = 2 => "XENSTORE_ERROR_RINGIDX",
            /// A message is wrong.
            Protocol = 3 => "XENSTORE_ERROR_PROTO",
        }
    }

    layout! {
        /// The frame's content. The frame's rest is unused.
        pub struct StoreRing [2076] "struct xenstore_domain_interface" {
            /// From the guest.
            0 req: [u8; RING_SIZE],
            /// To the guest.
            1024 rsp: [u8; RING_SIZE],
            /// How far the store has read.
            2048 req_cons: u32,
            /// How far the guest has written.
            2052 req_prod: u32,
            /// How far the guest has read.
            2056 rsp_cons: u32,
            /// How far the store has written.
            2060 rsp_prod: u32,
            /// What the store can do.
            2064 server_features: StoreFeatures,
            /// A [`ConnectionState`].
            2068 connection: u32,
            /// A [`ConnectionError`].
            2072 error: u32,
        }
    }
}
