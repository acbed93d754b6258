//! How front end and back end of a device come together and part, by a number that each writes to its
//! `state` key.

abi! {
    headers ["xen/io/xenbus.h", "xen/io/protocols.h"];

    enumeration! {
        /// The state of one end.
        pub enum DeviceState: u32 {
            /// No key, or no meaning.
            Unknown = 0 => "XenbusStateUnknown",
            /// The tools made the keys.
            Initialising = 1 => "XenbusStateInitialising",
            /// The back end waits for the front end's details.
            InitWait = 2 => "XenbusStateInitWait",
            /// The front end's details are there.
            Initialised = 3 => "XenbusStateInitialised",
            /// In use.
            Connected = 4 => "XenbusStateConnected",
            /// Ends.
            Closing = 5 => "XenbusStateClosing",
            /// Ended.
            Closed = 6 => "XenbusStateClosed",
            /// Details change while connected.
            Reconfiguring = 7 => "XenbusStateReconfiguring",
            /// Changed details are there.
            Reconfigured = 8 => "XenbusStateReconfigured",
        }
    }

    texts! {
        /// Layout of shared frames, as 64-bit front ends announce it in their `protocol` key.
        pub const PROTOCOL_X86_64: &str = "x86_64-abi" => "XEN_IO_PROTO_ABI_X86_64";
        /// Layout of shared frames of 32-bit front ends.
        pub const PROTOCOL_X86_32: &str = "x86_32-abi" => "XEN_IO_PROTO_ABI_X86_32";
    }
}
