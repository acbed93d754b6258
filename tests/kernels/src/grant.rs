//! This domain's grant table, and operations with grants. A domain may grant to itself, so one domain is enough.

use crate::hypercall::{Outcome, hypercall};
use crate::memory::{Frame, KERNEL_RW, Tables, entry, set_entry};
use guest_abi::grant_op::{
    Copy, GrantStatus, GrantTableOp, MapFlags, MapGrantRef, QuerySize, SetupTable, UnmapGrantRef,
};
use guest_abi::grant_table::{AccessFlags, EntryType};
use guest_abi::ids::{DomId, GrantRef, Mfn, Vaddr};
use zerocopy::FromZeros;

/// Where the table is mapped. (The lowest 512 frames of it.)
const TABLE_AT: Vaddr = Vaddr(0xffff_a080_0000_0000);

/// This domain.
pub(crate) const OWN: DomId = DomId::DOM0;

/// Any operation with an array.
pub(crate) fn operate<T>(operation: GrantTableOp, array: &mut [T]) -> Outcome {
    let count = array.len();
    hypercall!(GrantTableOp, operation.number(), array, count)
}

/// `setup_table` for `nr_frames`, whose numbers go to `list`.
pub(crate) fn setup_table(dom: DomId, nr_frames: u32, list: Vaddr) -> (Outcome, i16) {
    let mut op = SetupTable::new_zeroed();
    (op.dom, op.nr_frames, op.frame_list) = (dom, nr_frames, list);
    op.status = 77;
    let outcome = hypercall!(
        GrantTableOp,
        GrantTableOp::SetupTable.number(),
        &mut op,
        1u64
    );
    (outcome, op.status)
}

/// `query_size`: status, frames now, frames at most.
pub(crate) fn query_size(dom: DomId) -> (Outcome, i16, u32, u32) {
    let mut op = QuerySize::new_zeroed();
    (op.dom, op.status) = (dom, 77);
    let outcome = hypercall!(
        GrantTableOp,
        GrantTableOp::QuerySize.number(),
        &mut op,
        1u64
    );
    (outcome, op.status, op.nr_frames, op.max_nr_frames)
}

/// The table, mapped.
pub(crate) struct Table {
    frames: u32,
}

impl Table {
    /// Sets up and maps `frames` frames of the table. Once.
    pub(crate) fn map(frames: u32) -> Self {
        let mut list = [0u64; 64];
        let (outcome, status) = setup_table(DomId::SELF, frames, Vaddr(list.as_mut_ptr() as u64));
        assert_eq!((outcome, status), (Ok(0), GrantStatus::Okay.number()));
        let tables = Tables::hook(TABLE_AT);
        for (index, mfn) in list.iter().take(frames as usize).enumerate() {
            let address = tables.l1.word_address(index);
            let outcome = set_entry(address, entry(Mfn(*mfn), KERNEL_RW));
            assert_eq!(outcome, Ok(0), "grant frame {index} can't be mapped");
        }
        Self { frames }
    }

    fn word(&self, gref: u32, offset: u64) -> u64 {
        assert!(gref < self.frames * 512);
        TABLE_AT.0 + u64::from(gref) * 8 + offset
    }

    /// Fills an entry: the frame first, then grantee and flags.
    pub(crate) fn fill(&self, gref: u32, flags: u16, grantee: DomId, mfn: Mfn) {
        let head = u32::from(flags) | u32::from(grantee.0) << 16;
        // SAFETY: grant frames, which no reference points into; a fault is reported.
        unsafe {
            (self.word(gref, 4) as *mut u32).write_volatile(mfn.0 as u32);
            (self.word(gref, 0) as *mut u32).write_volatile(head);
        }
    }

    /// Grants a frame to this domain itself.
    pub(crate) fn grant(&self, gref: u32, frame: Frame) {
        self.fill(gref, EntryType::PermitAccess.number(), OWN, frame.mfn());
    }

    /// Grants a frame to this domain itself, for reading.
    pub(crate) fn grant_readonly(&self, gref: u32, frame: Frame) {
        let flags = EntryType::PermitAccess.number() | AccessFlags::READONLY.bits();
        self.fill(gref, flags, OWN, frame.mfn());
    }

    /// The flags of an entry.
    pub(crate) fn flags(&self, gref: u32) -> u16 {
        // SAFETY: as `fill`.
        unsafe { (self.word(gref, 0) as *const u16).read_volatile() }
    }

    /// Whether the hypervisor says that an entry is in use: for reading, for writing.
    pub(crate) fn uses(&self, gref: u32) -> (bool, bool) {
        let flags = AccessFlags::from_bits_retain(self.flags(gref));
        (
            flags.contains(AccessFlags::READING),
            flags.contains(AccessFlags::WRITING),
        )
    }
}

/// An element of `map_grant_ref` for a grant of this domain's.
pub(crate) fn mapping(flags: MapFlags, gref: u32, host_addr: u64) -> MapGrantRef {
    let mut op = MapGrantRef::new_zeroed();
    (op.host_addr, op.flags, op.gref, op.dom) = (host_addr, flags, GrantRef(gref), OWN);
    (op.status, op.handle) = (77, u32::MAX);
    op
}

/// Maps one grant.
pub(crate) fn map(op: MapGrantRef) -> MapGrantRef {
    let mut array = [op];
    assert_eq!(operate(GrantTableOp::MapGrantRef, &mut array), Ok(0));
    let [op] = array;
    op
}

/// Maps one grant of this domain's, which must work.
pub(crate) fn map_well(flags: MapFlags, gref: u32, host_addr: u64) -> MapGrantRef {
    let done = map(mapping(flags, gref, host_addr));
    assert_eq!(done.status, GrantStatus::Okay.number(), "{flags:?}");
    done
}

/// Unmaps one handle. The answer is the element's status.
pub(crate) fn unmap(handle: u32, host_addr: u64, dev_bus_addr: u64) -> i16 {
    let mut op = UnmapGrantRef::new_zeroed();
    (op.handle, op.host_addr, op.dev_bus_addr) = (handle, host_addr, dev_bus_addr);
    op.status = 77;
    let mut array = [op];
    assert_eq!(operate(GrantTableOp::UnmapGrantRef, &mut array), Ok(0));
    array[0].status
}

/// Copies once. The answer is the element's status.
pub(crate) fn copy(op: Copy) -> i16 {
    let mut array = [op];
    assert_eq!(operate(GrantTableOp::Copy, &mut array), Ok(0));
    array[0].status
}
