//! What is granted to the back ends, rightly and wrongly.

use crate::chance::Chance;
use crate::grant::Table;
use crate::memory::Frame;
use guest_abi::grant_table::{AccessFlags, EntryType};
use guest_abi::ids::{DomId, GrantRef};

/// Behind what the builder has filled.
const FIRST: u32 = 8;
const NR_WRITABLE: u32 = 12;
const NR_READONLY: u32 = 4;
const FIRST_READONLY: u32 = FIRST + NR_WRITABLE;
const FIRST_OF_RINGS: u32 = FIRST_READONLY + NR_READONLY;
/// Nothing is granted from here on.
const FIRST_ABSENT: u32 = 64;
const NR_ENTRIES: u64 = 512;

pub(super) struct Grants {
    table: Table,
    frames: [Frame; (NR_WRITABLE + NR_READONLY) as usize],
    nr_rings: u32,
}

impl Grants {
    pub(super) fn new() -> Self {
        let grants = Self {
            table: Table::map(1),
            frames: core::array::from_fn(|_| Frame::alloc()),
            nr_rings: 0,
        };
        grants.restore();
        grants
    }

    fn fill(&self, number: u32, flags: u16, frame: Frame) {
        self.table.fill(number, flags, DomId::DOM0, frame.mfn());
    }

    /// All is granted as it was meant, whatever was taken away.
    pub(super) fn restore(&self) {
        for (number, frame) in (FIRST..).zip(self.frames) {
            let readonly = if number < FIRST_READONLY {
                AccessFlags::empty()
            } else {
                AccessFlags::READONLY
            };
            self.fill(
                number,
                EntryType::PermitAccess.number() | readonly.bits(),
                frame,
            );
        }
    }

    /// Takes away, while it may be in use, what is granted by some references.
    pub(super) fn take_away(&self, chance: &mut Chance) {
        for (number, frame) in (FIRST..).zip(self.frames) {
            match chance.below(3) {
                0 => self.fill(number, EntryType::Invalid.number(), frame),
                1 => self.fill(number, EntryType::AcceptTransfer.number(), frame),
                _ => {}
            }
        }
    }

    /// A new reference to a frame that is to be a ring.
    pub(super) fn ring(&mut self, frame: Frame) -> GrantRef {
        let number = FIRST_OF_RINGS + self.nr_rings;
        assert!(number < FIRST_ABSENT, "no references left");
        self.nr_rings += 1;
        self.fill(number, EntryType::PermitAccess.number(), frame);
        GrantRef(number)
    }

    /// Gives away a ring for reading only, or properly again.
    pub(super) fn set_ring_readonly(&self, ring: GrantRef, frame: Frame, flags: AccessFlags) {
        let flags = EntryType::PermitAccess.number() | flags.bits();
        self.fill(ring.0, flags, frame);
    }

    /// One that is as it should be, with its frame.
    pub(super) fn good(&self, chance: &mut Chance) -> (GrantRef, Frame) {
        let index = chance.below(u64::from(NR_WRITABLE));
        (GrantRef(FIRST + index as u32), self.frames[index as usize])
    }

    /// Any one: as it should be, for reading only, or none. Those of the builder's rings are this kernel's own.
    pub(super) fn any(&self, chance: &mut Chance) -> GrantRef {
        let absent = NR_ENTRIES - u64::from(FIRST_ABSENT);
        GrantRef(match chance.below(8) {
            0..4 => self.good(chance).0.0,
            4 => FIRST_READONLY + chance.below(u64::from(NR_READONLY)) as u32,
            5 => FIRST_ABSENT + chance.below(absent) as u32,
            6 => chance.below(1 << 32).max(NR_ENTRIES) as u32,
            _ => u32::MAX,
        })
    }

    /// Fills a frame with anything.
    pub(super) fn scribble(frame: Frame, chance: &mut Chance) {
        for index in 0..512 {
            frame.write(index, chance.below(1 << 32) << 32 | chance.below(1 << 32));
        }
    }
}
