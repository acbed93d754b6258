//! The front end of a network interface.

use super::grants::Grants;
use super::keys::{Device, Keys};
use super::ring::{Ring, new_port, notify};
use super::{ANSWER_LIMIT_MS, Done, FrontEnd, LOOK_MS, comes, sleep};
use crate::chance::Chance;
use crate::event;
use crate::memory::Frame;
use guest_abi::grant_table::AccessFlags;
use guest_abi::ids::Port;
use guest_abi::netif::{
    ExtraFlags, ExtraInfo, NetStatus, RECEIVE_ENTRY_SIZE, RECEIVE_RING_ENTRIES, ReceiveRequest,
    TRANSMIT_ENTRY_SIZE, TRANSMIT_RING_ENTRIES, TransmitFlags, TransmitRequest,
};
use zerocopy::{FromZeros, IntoBytes};

/// Bytes of the packet that must be sent.
const PACKET_BYTES: u16 = 64;
/// Packets of a round: all of the ring would take the first domain seconds.
const BURST: u32 = 48;

pub(super) struct Network {
    transmit: Ring,
    receive: Ring,
    port: Port,
    /// What is connected.
    device: Option<Device>,
    pub(super) done: Done,
}

impl Network {
    pub(super) fn new(grants: &mut Grants) -> Self {
        let mut ring = |entry_size, entries| {
            let frame = Frame::alloc();
            Ring::new(frame, grants.ring(frame), entry_size, entries)
        };
        Self {
            transmit: ring(TRANSMIT_ENTRY_SIZE, TRANSMIT_RING_ENTRIES),
            receive: ring(RECEIVE_ENTRY_SIZE, RECEIVE_RING_ENTRIES),
            port: new_port(),
            device: None,
            done: Done::default(),
        }
    }

    fn publish(&mut self) {
        self.transmit.publish();
        notify(self.port);
    }

    fn burst(&self) -> u32 {
        self.transmit.room().min(BURST)
    }

    /// Frames for what comes.
    fn be_ready_to_receive(&mut self, grants: &Grants, chance: &mut Chance) {
        for number in 0..self.receive.room().min(BURST) {
            let mut request = ReceiveRequest::new_zeroed();
            request.id = number as u16;
            request.gref = grants.good(chance).0;
            self.receive.put(request.as_bytes());
        }
        self.receive.publish();
        notify(self.port);
    }

    /// Requests of any bytes.
    fn garbage(&mut self, chance: &mut Chance) {
        for _ in 0..self.burst() {
            let mut bytes = [0; TRANSMIT_ENTRY_SIZE];
            bytes.fill_with(|| chance.below(256) as u8);
            self.transmit.put(&bytes);
        }
        self.publish();
    }

    /// A piece of a packet that lies in its frame, if that is one.
    fn piece(grants: &Grants, chance: &mut Chance) -> TransmitRequest {
        let mut request = TransmitRequest::new_zeroed();
        request.gref = grants.any(chance);
        request.offset = chance.below(2048) as u16;
        request.size = match chance.below(4) {
            0 => chance.below(20) as u16,
            _ => chance.below(1600) as u16,
        };
        request.flags = TransmitFlags::from_bits_retain(chance.below(4) as u16);
        request.id = chance.below(1 << 16) as u16;
        request
    }

    /// Packets that are nowhere, too short, or in many pieces.
    fn lies(&mut self, grants: &Grants, chance: &mut Chance) {
        let mut left = self.burst();
        while left != 0 {
            // A back end takes eighteen.
            let pieces = (1 + chance.below(17) as u32 * chance.below(2) as u32).min(left);
            for number in 0..pieces {
                let mut request = Self::piece(grants, chance);
                if number + 1 < pieces {
                    request.flags |= TransmitFlags::MORE_DATA;
                }
                if number == 0 && pieces > 1 {
                    // It says how long all of it is.
                    (request.offset, request.size) = (0, 4000);
                } else if pieces > 1 {
                    request.size = chance.below(200) as u16;
                }
                self.transmit.put(request.as_bytes());
            }
            left -= pieces;
        }
        self.publish();
    }

    /// Lies after which the back end is useless for good: pieces that leave their frame, do not add up, or do not end.
    fn worse_lies(&mut self, grants: &Grants, chance: &mut Chance) {
        for _ in 0..self.burst() {
            let mut request = Self::piece(grants, chance);
            request.offset = chance.below(1 << 16) as u16;
            request.size = chance.below(1 << 16) as u16;
            request.flags = TransmitFlags::from_bits_retain(chance.below(1 << 16) as u16);
            self.transmit.put(request.as_bytes());
        }
        self.publish();
    }

    /// Packets that say more of themselves than is true, or do not end.
    fn extras(&mut self, grants: &Grants, chance: &mut Chance) {
        let room = self.burst();
        for number in 0..room {
            if number % 2 == 1 {
                let mut extra = ExtraInfo::new_zeroed();
                extra.info_type = chance.below(6) as u8;
                extra.flags = ExtraFlags::from_bits_retain(u8::from(chance.below(8) == 0));
                extra.gso_size = chance.below(3) as u16;
                extra.gso_type = chance.below(4) as u8;
                self.transmit.put(extra.as_bytes());
                continue;
            }
            let mut request = Self::piece(grants, chance);
            (request.offset, request.size) = (0, PACKET_BYTES);
            request.flags = TransmitFlags::EXTRA_INFO;
            if chance.below(16) == 0 {
                request.flags |= TransmitFlags::MORE_DATA;
            }
            self.transmit.put(request.as_bytes());
        }
        self.publish();
    }

    /// Frames for what comes that are none, or may not be written.
    fn receive_badly(&mut self, grants: &Grants, chance: &mut Chance) {
        for _ in 0..self.receive.room() {
            let mut request = ReceiveRequest::new_zeroed();
            request.id = chance.below(1 << 16) as u16;
            request.pad = chance.below(1 << 16) as u16;
            request.gref = grants.any(chance);
            self.receive.put(request.as_bytes());
        }
        self.receive.publish();
        notify(self.port);
    }
}

impl FrontEnd for Network {
    const KIND: &'static str = "vif";

    fn device(&mut self) -> &mut Option<Device> {
        &mut self.device
    }

    fn done(&mut self) -> &mut Done {
        &mut self.done
    }

    fn requests(&self) -> (&Ring, Port) {
        (&self.transmit, self.port)
    }

    fn offer(&mut self, device: &Device, keys: &mut Keys, grants: &Grants) {
        let _ = event::close(self.port);
        self.port = new_port();
        for (ring, name) in [
            (&mut self.transmit, "tx-ring-ref"),
            (&mut self.receive, "rx-ring-ref"),
        ] {
            ring.empty();
            grants.set_ring_readonly(ring.gref, ring.frame, AccessFlags::empty());
            keys.set(device, name, format_args!("{}", ring.gref.0));
        }
        keys.unset(device, &["multi-queue-num-queues"]);
        keys.set(device, "event-channel", format_args!("{}", self.port.0));
        for feature in [
            "request-rx-copy",
            "feature-rx-notify",
            "feature-sg",
            "feature-gso-tcpv4",
            "request-multicast-control",
        ] {
            keys.set(device, feature, format_args!("1"));
        }
    }

    fn offer_nonsense(
        &mut self,
        device: &Device,
        keys: &mut Keys,
        grants: &Grants,
        chance: &mut Chance,
    ) {
        self.transmit.empty();
        self.receive.empty();
        for name in ["tx-ring-ref", "rx-ring-ref"] {
            keys.set(device, name, format_args!("{}", grants.any(chance).0));
        }
        keys.set(device, "event-channel", format_args!("{}", self.port.0));
        keys.set(device, "request-rx-copy", format_args!("1"));
        match chance.below(5) {
            0 => keys.set(device, "event-channel", format_args!("99999")),
            1 => keys.set(device, "tx-ring-ref", format_args!("none")),
            2 => keys.set(device, "request-rx-copy", format_args!("0")),
            3 => {
                let queues = chance.below(1 << 32);
                keys.set(device, "multi-queue-num-queues", format_args!("{queues}"));
            }
            _ => {
                let ring = &self.transmit;
                grants.set_ring_readonly(ring.gref, ring.frame, AccessFlags::READONLY);
                keys.set(device, "tx-ring-ref", format_args!("{}", ring.gref.0));
            }
        }
    }

    fn attack(&mut self, way: usize, grants: &mut Grants, chance: &mut Chance) {
        self.be_ready_to_receive(grants, chance);
        // After some, the tools have to make another back end.
        let is_worst = chance.below(8) == 0;
        match way {
            0 if is_worst => self.garbage(chance),
            0 | 1 => self.lies(grants, chance),
            2 => self.extras(grants, chance),
            3 => self.receive_badly(grants, chance),
            4 => {
                self.lies(grants, chance);
                grants.take_away(chance);
                if is_worst {
                    self.transmit.scribble(chance);
                }
                self.receive.scribble(chance);
            }
            5 => {
                self.lies(grants, chance);
                self.transmit.move_indices(chance);
                self.receive.move_indices(chance);
            }
            6 => {
                for _ in 0..2000 {
                    notify(self.port);
                }
            }
            7 if is_worst => {
                self.transmit.run_ahead(chance);
                self.receive.run_ahead(chance);
                notify(self.port);
                // Until it has looked.
                sleep(LOOK_MS);
            }
            _ if is_worst => self.worse_lies(grants, chance),
            _ => self.receive.run_ahead(chance),
        }
    }

    /// Sends a packet to nobody.
    fn is_served(&mut self, grants: &Grants, chance: &mut Chance) -> bool {
        let (gref, frame) = grants.good(chance);
        // A locally administered address, and a type for experiments.
        frame.write(0, 0x02_00_00_00_00_00_00_02);
        frame.write(1, 0x0000_b588_0100_0000);
        let mut request = TransmitRequest::new_zeroed();
        request.gref = gref;
        request.size = PACKET_BYTES;
        let place = self.transmit.produced;
        self.transmit.put(request.as_bytes());
        self.publish();
        let ring = &self.transmit;
        if !comes(ANSWER_LIMIT_MS, || ring.answered() == ring.produced) {
            return false;
        }
        let status = [2, 3].map(|offset| ring.answer_byte(place, offset));
        i16::from_le_bytes(status) == NetStatus::Okay.number()
    }
}
