//! The frame that a device's front end and back end share: four indices, then entries.
//!
//! Indices run freely and are cut to the number of entries, a power of two. A side sets its event index
//! to the next index that it wants to be notified of. Request and response share an entry.

abi! {
    headers ["xen/io/blkif.h"];

    numbers! {
        /// Byte of the frame where the first entry starts.
        pub const ENTRIES_AT: usize = 64 => "offsetof(struct blkif_sring, ring)";
    }

    layout! {
        /// How the frame starts.
        pub struct RingHeader [64] (absent "in C it is the beginning of each protocol's own structure; see the numbers") {
            /// Behind the last request. The front end writes it.
            0 req_prod: u32,
            /// The request that the back end waits for. The back end writes it.
            4 req_event: u32,
            /// Behind the last response. The back end writes it.
            8 rsp_prod: u32,
            /// The response that the front end waits for. The front end writes it.
            12 rsp_event: u32,
            /// Zero.
            16 private: [u8; 4],
            /// Zero.
            20 pad0: [u8; 44],
        }
    }

    numbers! {
        /// Byte of the frame where `req_prod` lies.
        pub const REQ_PROD_AT: usize = core::mem::offset_of!(RingHeader, req_prod) => "offsetof(struct blkif_sring, req_prod)";
        /// Byte of the frame where `req_event` lies.
        pub const REQ_EVENT_AT: usize = core::mem::offset_of!(RingHeader, req_event) => "offsetof(struct blkif_sring, req_event)";
        /// Byte of the frame where `rsp_prod` lies.
        pub const RSP_PROD_AT: usize = core::mem::offset_of!(RingHeader, rsp_prod) => "offsetof(struct blkif_sring, rsp_prod)";
        /// Byte of the frame where `rsp_event` lies.
        pub const RSP_EVENT_AT: usize = core::mem::offset_of!(RingHeader, rsp_event) => "offsetof(struct blkif_sring, rsp_event)";
    }
}
