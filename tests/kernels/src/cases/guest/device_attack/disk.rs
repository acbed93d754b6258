//! The front end of a disk.

use super::grants::Grants;
use super::keys::{Device, Keys};
use super::ring::{Ring, new_port, notify};
use super::{ANSWER_LIMIT_MS, Done, FrontEnd, LOOK_MS, comes, sleep};
use crate::chance::Chance;
use crate::event;
use crate::memory::Frame;
use guest_abi::blkif::{
    BlockOperation, BlockRequest, BlockStatus, DiscardFlags, DiscardRequest, ENTRY_SIZE,
    IndirectRequest, MAX_INDIRECT_FRAMES, MAX_SEGMENTS, RING_ENTRIES, Segment,
};
use guest_abi::device_state::{PROTOCOL_X86_32, PROTOCOL_X86_64};
use guest_abi::grant_table::AccessFlags;
use guest_abi::ids::{GrantRef, Port};
use zerocopy::{FromZeros, IntoBytes};

/// Sectors that are surely there.
const SECTORS: u64 = 2048;

pub(super) struct Disk {
    ring: Ring,
    port: Port,
    /// What is connected.
    device: Option<Device>,
    pub(super) done: Done,
}

impl Disk {
    pub(super) fn new(grants: &mut Grants) -> Self {
        let frame = Frame::alloc();
        let gref = grants.ring(frame);
        Self {
            ring: Ring::new(frame, gref, ENTRY_SIZE, RING_ENTRIES),
            port: new_port(),
            device: None,
            done: Done::default(),
        }
    }

    fn publish(&mut self) {
        self.ring.publish();
        notify(self.port);
    }

    /// Requests of any bytes.
    fn garbage(&mut self, chance: &mut Chance) {
        for _ in 0..self.ring.room() {
            let mut bytes = [0; ENTRY_SIZE];
            bytes.fill_with(|| chance.below(256) as u8);
            self.ring.put(&bytes);
        }
        self.publish();
    }

    fn segment(grants: &Grants, chance: &mut Chance) -> Segment {
        Segment {
            gref: grants.any(chance),
            first_sect: chance.below(10) as u8,
            last_sect: chance.below(12) as u8,
            pad0: [0; 2],
        }
    }

    fn sector(chance: &mut Chance) -> u64 {
        match chance.below(4) {
            0 => chance.below(1 << 32) << 32,
            1 => u64::MAX - chance.below(16),
            _ => chance.below(SECTORS),
        }
    }

    /// Requests that look like some, and are wrong in one thing or several.
    fn lies(&mut self, grants: &Grants, chance: &mut Chance) {
        for number in 0..self.ring.room() {
            let mut request = BlockRequest::new_zeroed();
            request.operation = chance.below(8) as u8;
            request.nr_segments = match chance.below(4) {
                0 => chance.below(256) as u8,
                _ => chance.below(MAX_SEGMENTS as u64 + 2) as u8,
            };
            request.handle = chance.below(3) as u16;
            request.id = u64::from(number);
            request.sector_number = Self::sector(chance);
            request.seg.fill_with(|| Self::segment(grants, chance));
            self.ring.put(request.as_bytes());
        }
        self.publish();
    }

    /// Lists of segments in frames of their own, which are none, or are anything.
    fn indirect_lies(&mut self, grants: &Grants, chance: &mut Chance) {
        let (gref, frame) = grants.good(chance);
        for number in 0..self.ring.room() {
            let mut request = IndirectRequest::new_zeroed();
            request.operation = BlockOperation::Indirect.number();
            request.indirect_op = chance.below(4) as u8;
            request.nr_segments = match chance.below(4) {
                0 => chance.below(1 << 16) as u16,
                1 => 0,
                _ => chance.below(300) as u16,
            };
            request.id = u64::from(number);
            request.sector_number = Self::sector(chance);
            let mut list = [GrantRef(0); MAX_INDIRECT_FRAMES];
            list.fill_with(|| grants.any(chance));
            list[0] = gref;
            request.indirect_grefs = list;
            self.ring.put(request.as_bytes());
        }
        for index in 0..512 {
            let segment = Self::segment(grants, chance);
            let bytes = segment.as_bytes().try_into().unwrap_or_default();
            frame.write(index, u64::from_le_bytes(bytes));
        }
        self.publish();
        Grants::scribble(frame, chance);
    }

    fn discards(&mut self, chance: &mut Chance) {
        for number in 0..self.ring.room() {
            let mut request = DiscardRequest::new_zeroed();
            request.operation = BlockOperation::Discard.number();
            request.flag = DiscardFlags::from_bits_retain(chance.below(256) as u8);
            request.id = u64::from(number);
            request.sector_number = Self::sector(chance);
            request.nr_sectors = Self::sector(chance);
            self.ring.put(request.as_bytes());
        }
        self.publish();
    }
}

impl FrontEnd for Disk {
    const KIND: &'static str = "vbd";

    fn device(&mut self) -> &mut Option<Device> {
        &mut self.device
    }

    fn done(&mut self) -> &mut Done {
        &mut self.done
    }

    fn requests(&self) -> (&Ring, Port) {
        (&self.ring, self.port)
    }

    fn offer(&mut self, device: &Device, keys: &mut Keys, grants: &Grants) {
        let _ = event::close(self.port);
        self.port = new_port();
        self.ring.empty();
        grants.set_ring_readonly(self.ring.gref, self.ring.frame, AccessFlags::empty());
        keys.unset(device, &["ring-page-order", "multi-queue-num-queues"]);
        keys.set(device, "ring-ref", format_args!("{}", self.ring.gref.0));
        keys.set(device, "event-channel", format_args!("{}", self.port.0));
        keys.set(device, "protocol", format_args!("{PROTOCOL_X86_64}"));
    }

    fn offer_nonsense(
        &mut self,
        device: &Device,
        keys: &mut Keys,
        grants: &Grants,
        chance: &mut Chance,
    ) {
        self.ring.empty();
        let ring = grants.any(chance);
        keys.set(device, "ring-ref", format_args!("{}", ring.0));
        keys.set(device, "event-channel", format_args!("{}", self.port.0));
        match chance.below(7) {
            0 => keys.set(device, "event-channel", format_args!("99999")),
            1 => keys.set(device, "ring-ref", format_args!("none")),
            2 => keys.set(device, "protocol", format_args!("none")),
            3 => {
                let order = chance.below(1 << 32);
                keys.set(device, "ring-page-order", format_args!("{order}"));
            }
            4 => {
                let queues = chance.below(1 << 32);
                keys.set(device, "multi-queue-num-queues", format_args!("{queues}"));
            }
            5 => {
                grants.set_ring_readonly(self.ring.gref, self.ring.frame, AccessFlags::READONLY);
                keys.set(device, "ring-ref", format_args!("{}", self.ring.gref.0));
            }
            // The other layout, of the same bytes.
            _ => keys.set(device, "protocol", format_args!("{PROTOCOL_X86_32}")),
        }
    }

    fn attack(&mut self, way: usize, grants: &mut Grants, chance: &mut Chance) {
        match way {
            0 => self.garbage(chance),
            1 => self.lies(grants, chance),
            2 => self.indirect_lies(grants, chance),
            3 => self.discards(chance),
            4 => {
                self.lies(grants, chance);
                grants.take_away(chance);
                self.ring.scribble(chance);
            }
            5 => {
                self.lies(grants, chance);
                self.ring.move_indices(chance);
            }
            6 => {
                for _ in 0..2000 {
                    notify(self.port);
                }
            }
            _ => {
                // It rarely comes back from this.
                if chance.below(4) == 0 {
                    self.ring.run_ahead(chance);
                    notify(self.port);
                    // Until it has looked.
                    sleep(LOOK_MS);
                }
            }
        }
    }

    /// Writes a sector and reads it back.
    fn is_served(&mut self, grants: &Grants, chance: &mut Chance) -> bool {
        let (gref, frame) = grants.good(chance);
        let sector = chance.below(SECTORS);
        let mark = chance.below(1 << 32);
        for (operation, before) in [(BlockOperation::Write, mark), (BlockOperation::Read, 0)] {
            frame.write(0, before);
            let mut request = BlockRequest::new_zeroed();
            request.operation = operation.number();
            request.nr_segments = 1;
            request.sector_number = sector;
            request.seg[0].gref = gref;
            let place = self.ring.produced;
            self.ring.put(request.as_bytes());
            self.publish();
            let ring = &self.ring;
            if !comes(ANSWER_LIMIT_MS, || ring.answered() == ring.produced) {
                return false;
            }
            // The status follows the identity, the operation and a byte of nothing.
            let status = [10, 11].map(|offset| ring.answer_byte(place, offset));
            if i16::from_le_bytes(status) != BlockStatus::Okay.number() {
                return false;
            }
        }
        frame.read(0) == mark
    }
}
