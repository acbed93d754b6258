//! Event delivery by queues: up to 131072 ports and 16 priorities.
//!
//! A port has a word in an array of guest frames. A vCPU has a control block with a bit map of
//! non-empty queues and the heads of its queues; words link to each other.

use crate::ids::{Mfn, Port, VcpuId};

abi! {
    headers ["xen/event_channel.h"];

    numbers! {
        /// Highest priority. (A lower number goes first.)
        pub const PRIORITY_MAX: u32 = 0 => "EVTCHN_FIFO_PRIORITY_MAX";
        /// Priority of a new port.
        pub const PRIORITY_DEFAULT: u32 = 7 => "EVTCHN_FIFO_PRIORITY_DEFAULT";
        /// Lowest priority.
        pub const PRIORITY_MIN: u32 = 15 => "EVTCHN_FIFO_PRIORITY_MIN";
        /// Queues of one vCPU, one for each priority.
        pub const NR_QUEUES: usize = 16 => "EVTCHN_FIFO_MAX_QUEUES";
        /// Width of a link.
        pub const LINK_BITS: u32 = 17 => "EVTCHN_FIFO_LINK_BITS";
        /// The link bits of an event word: the next port in the queue, 0 at its end.
        pub const LINK_MASK: u32 = (1 << 17) - 1 => "EVTCHN_FIFO_LINK_MASK";
        /// Ports of this scheme.
        pub const NR_PORTS_FIFO: u32 = 1 << 17 => "EVTCHN_FIFO_NR_CHANNELS";
        /// Event words in a frame.
        pub const WORDS_PER_FRAME: u32 = 1024 => (absent "follows from the sizes of a frame and of a word");
    }

    flags! {
        /// The state bits of an event word.
        pub struct EventWord: u32 {
            /// The event is pending.
            PENDING = 1 << 31 => "1u << EVTCHN_FIFO_PENDING",
            /// The guest does not want it now.
            MASKED = 1 << 30 => "1u << EVTCHN_FIFO_MASKED",
            /// The word is in some queue.
            LINKED = 1 << 29 => "1u << EVTCHN_FIFO_LINKED",
            /// The guest is handling the word; it may not be changed.
            BUSY = 1 << 28 => "1u << EVTCHN_FIFO_BUSY",
        }
    }

    layout! {
        /// Queue heads of one vCPU, in a guest frame.
        pub struct ControlBlock [72] "struct evtchn_fifo_control_block" {
            /// Bit for each non-empty queue.
            0 ready: u32,
            /// Zero.
            4 reserved: u32 = "_rsvd",
            /// First port of each queue; meaningful while the queue's bit is set.
            8 head: [u32; NR_QUEUES],
        }

        /// Registers a vCPU's control block; the first one switches the domain to this scheme.
        pub struct InitControl [24] "struct evtchn_init_control" {
            /// Frame of the control block.
            0 control_gfn: Mfn,
            /// Bytes into the frame.
            8 offset: u32,
            /// The vCPU.
            12 vcpu: VcpuId,
            /// Out: [`LINK_BITS`].
            16 link_bits: u8,
            /// Zero.
            17 pad: [u8; 7] = "_pad",
        }

        /// Adds one frame of event words.
        pub struct ExpandArray [8] "struct evtchn_expand_array" {
            /// The frame.
            0 array_gfn: Mfn,
        }

        /// Moves a port to another queue.
        pub struct SetPriority [8] "struct evtchn_set_priority" {
            /// The port.
            0 port: Port,
            /// [`PRIORITY_MAX`] to [`PRIORITY_MIN`].
            4 priority: u32,
        }
    }
}
