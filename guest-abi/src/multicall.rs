//! A list of hypercalls in one. Arguments are the list and its length.

abi! {
    headers ["xen/xen.h"];

    layout! {
        /// One call of the list.
        pub struct MulticallEntry [64] "struct multicall_entry" {
            /// A [`Hypercall`](crate::hypercall::Hypercall).
            0 op: u64,
            /// Out: what the call returned.
            8 result: u64,
            /// Arguments.
            16 args: [u64; 6],
        }
    }
}
