//! A domain that maps grants until it has no handle left is told so, element by element; it loses nothing, and when it has
//! unmapped some of them it maps again.

use super::super::prelude::*;
use super::call_list::maker_of_calls;
use crate::control::{BASE, DATA, FRAMES, Guest, ordinary};
use crate::memory::{KERNEL_RW, entry};
use guest_abi::grant_op::{GrantStatus, GrantTableOp, MapFlags};
use guest_abi::grant_table::EntryType;
use guest_abi::hypercall::Hypercall;
use guest_abi::memory_op::{AcquireResource, MemoryOp, Resource};

/// Where in the window the guest's grant frame is: behind its memory.
const TABLE: usize = FRAMES + 84;
/// Pages of the guest with the list of calls, and with the elements of one.
const LIST: usize = DATA + 1;
const ARRAY: usize = LIST + 1;
/// Bytes of the elements, in words.
const MAP_WORDS: usize = 4;
const UNMAP_WORDS: usize = 3;
/// Elements: more than a frame has room for handles.
const COUNT: usize = 768;
const DONE: i16 = GrantStatus::Okay.number();
const NO_HANDLE: i16 = GrantStatus::NoSpace.number();
/// Uses of one grant: an entry counts them in a byte.
const USES: usize = 100;
const FIRST_GREF: usize = 8;

/// A domain with grants of its own data page to itself.
struct Granter {
    guest: Guest,
    bus: u64,
}

impl Granter {
    fn new() -> Self {
        let mut wish = ordinary(1);
        wish.max_maptrack_frames = 1;
        let guest = Guest::with_code_as(&wish, maker_of_calls());
        let mut frames = [0u64; 1];
        let mut wish = AcquireResource::new_zeroed();
        (wish.domid, wish.resource) = (guest.id, Resource::GrantTable.number());
        wish.nr_frames = 1;
        wish.frame_list = Vaddr(frames.as_mut_ptr() as u64);
        let outcome = hypercall!(MemoryOp, MemoryOp::AcquireResource.number(), &mut wish);
        assert_eq!(outcome, Ok(0));
        let entries = [entry(Mfn(frames[0]), KERNEL_RW)];
        assert_eq!(guest.window.map(guest.id, TABLE, &entries), (Ok(0), 1));
        let head = u64::from(EntryType::PermitAccess.number()) | u64::from(guest.id.0) << 16;
        for gref in FIRST_GREF..=FIRST_GREF + COUNT / USES {
            guest
                .window
                .write(TABLE, gref, head | guest.frames[DATA] << 32);
        }
        let bus = Mfn(guest.frames[DATA]).address();
        Self { guest, bus }
    }

    fn word(element: usize, words: usize, word: usize) -> (usize, usize) {
        let at = element * words + word;
        (ARRAY + at / 512, at % 512)
    }

    fn write(&self, element: usize, words: usize, word: usize, value: u64) {
        let (page, index) = Self::word(element, words, word);
        self.guest.window.write(page, index, value);
    }

    fn read(&self, element: usize, words: usize, word: usize) -> u64 {
        let (page, index) = Self::word(element, words, word);
        self.guest.window.read(page, index)
    }

    /// Has the guest make one call with the elements, and waits.
    fn call(&self, op: GrantTableOp, count: usize) {
        let array = BASE + ARRAY as u64 * 4096;
        let call = [
            Hypercall::GrantTableOp.number(),
            op.number().into(),
            array,
            count as u64,
        ];
        for (word, value) in call.into_iter().enumerate() {
            self.guest.window.write(LIST, word, value);
        }
        self.guest.window.write(LIST, 16, u64::MAX);
        self.guest.window.write(DATA, 0, 0);
        self.guest.wait_for(0, 1);
        assert_eq!(self.guest.window.read(LIST, 0), 0, "{op:?}");
    }

    /// Maps as many as there are elements: the handles, and how the first was refused that was.
    fn map(&self, handles: &mut [u32; COUNT]) -> (usize, i16) {
        for element in 0..COUNT {
            let gref = (FIRST_GREF + element / USES) as u64;
            let words = [
                0,
                u64::from(MapFlags::DEVICE_MAP.bits()) | gref << 32,
                u64::from(self.guest.id.0) | 77 << 16,
                0,
            ];
            for (word, value) in words.into_iter().enumerate() {
                self.write(element, MAP_WORDS, word, value);
            }
        }
        self.call(GrantTableOp::MapGrantRef, COUNT);
        let status = |element| (self.read(element, MAP_WORDS, 2) >> 16) as i16;
        let mapped = (0..COUNT)
            .take_while(|&element| status(element) == DONE)
            .count();
        for (element, handle) in handles.iter_mut().enumerate().take(mapped) {
            *handle = (self.read(element, MAP_WORDS, 2) >> 32) as u32;
        }
        let refusal = status(mapped.min(COUNT - 1));
        assert!((mapped..COUNT).all(|element| status(element) == refusal));
        (mapped, refusal)
    }

    fn unmap(&self, handles: &[u32]) {
        for (element, &handle) in handles.iter().enumerate() {
            let words = [0, self.bus, u64::from(handle) | 77 << 32];
            for (word, value) in words.into_iter().enumerate() {
                self.write(element, UNMAP_WORDS, word, value);
            }
        }
        self.call(GrantTableOp::UnmapGrantRef, handles.len());
        for element in 0..handles.len() {
            let status = (self.read(element, UNMAP_WORDS, 2) >> 32) as i16;
            assert_eq!(status, DONE, "element {element}");
        }
    }

    /// Whether the guest's entries say that they are in use.
    fn is_used(&self, gref: usize) -> bool {
        self.guest.window.read(TABLE, gref) & 0x18 != 0
    }
}

pub(crate) fn run() {
    let granter = Granter::new();
    // Nothing to do yet.
    granter.guest.window.write(LIST, 0, u64::MAX);
    granter.guest.start();
    granter.guest.wait_for(0, 1);

    let mut handles = [0; COUNT];
    let (most, refusal) = granter.map(&mut handles);
    assert_eq!(refusal, NO_HANDLE);
    assert!((100..COUNT).contains(&most), "{most} handles");
    let mut sorted = handles;
    sorted[..most].sort_unstable();
    assert!(
        sorted[..most].is_sorted_by(|a, b| a < b),
        "a handle is told twice"
    );
    let last_used = FIRST_GREF + (most - 1) / USES;
    assert!(granter.is_used(last_used));
    assert!(
        !granter.is_used(last_used + 1),
        "a grant that was not mapped"
    );

    // Some are given back: so many can be had again, and not one more.
    granter.unmap(&handles[10..30]);
    let mut again = [0; COUNT];
    assert_eq!(granter.map(&mut again), (20, NO_HANDLE));
    handles[10..30].copy_from_slice(&again[..20]);
    // All of them, and all again.
    granter.unmap(&handles[..most]);
    for gref in FIRST_GREF..=last_used {
        assert!(!granter.is_used(gref), "{gref} is still used");
    }
    assert_eq!(granter.map(&mut handles), (most, NO_HANDLE));

    // It ends with all of them mapped.
    let (outcome, _) = granter.guest.window.map(DomId::SELF, TABLE, &[0]);
    assert_eq!(outcome, Ok(0));
    granter.guest.end();
}
