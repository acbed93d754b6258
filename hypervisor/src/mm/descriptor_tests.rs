use super::*;
use crate::mm::lock::PtDomain;
use crate::mm::model::policy;
use crate::mm::test_machine::{DOM0, DOM1, TestMachine, frame_entries};

/// A descriptor's access byte at its place.
const fn access(byte: u64) -> u64 {
    byte << 40
}

#[test]
fn descriptors_are_raised_to_ring_3_or_refused() {
    // Flat code and data of a kernel, as Linux writes them.
    assert_eq!(checked(0x00AF_9B00_0000_FFFF), Ok(0x00AF_FB00_0000_FFFF));
    assert_eq!(checked(0x00CF_9300_0000_FFFF), Ok(0x00CF_F300_0000_FFFF));
    for dpl in 0..4 {
        let data = access(0x92 | dpl << 5);
        assert_eq!(checked(data), Ok(access(0xF2)));
    }
    // Not present: whatever it says.
    for byte in 0..=0x7F {
        assert_eq!(checked(access(byte) | 0x1234), Ok(access(byte) | 0x1234));
    }
    // Everything of the system's but nothing and call gates.
    for typ in 1..16 {
        let result = checked(access(0x80 | typ) | 0x8 << 16);
        assert_eq!(result.is_ok(), typ == 0xC, "system type {typ:#x}");
    }
    assert_eq!(checked(0), Ok(0));
}

#[test]
fn call_gates_lead_to_the_guests_own_segments_and_fault() {
    let gate = |selector: u64| access(0x8C) | selector << 16;
    for (selector, is_ok) in [
        (0x0010, true),
        (0xDFF8, true),
        (0xE000, false),
        (0xE008, false),
        (0xE033, true),
        (0xE02B, false),
        (0xE00C, true), // In its LDT.
        (0xFFFB, false),
    ] {
        let result = checked(gate(selector));
        assert_eq!(result.is_ok(), is_ok, "{selector:#x}");
        if let Ok(safe) = result {
            assert_eq!(safe >> 45 & 3, 0, "a gate of ring 0 can't be called");
            assert_eq!(safe >> 16 & 0xFFFF, selector | 3);
            assert_eq!(checked(safe), Ok(safe));
        }
    }
    assert_eq!(checked(gate(0x10) | 1 << 33), Err(MmError::BadDescriptor));
}

#[test]
fn a_page_of_descriptors_is_checked_and_kept_from_being_written() {
    let entries = frame_entries();
    let machine = TestMachine::new(&entries);
    let mm = Mm::new(machine.table, &machine);
    let mut domain = PtDomain::new(DOM1, policy(DOM1));
    let lock = &mut domain.locked();
    let page = machine.allocate(DOM1).unwrap();
    machine.set_entry(page, 2, access(0x9B));
    machine.set_entry(page, 511, access(0x89)); // A task state.
    assert_eq!(
        mm.get_descriptors(lock, page),
        Err(Stop::Failed(MmError::BadDescriptor))
    );
    machine.set_entry(page, 511, 0);
    let one = mm.get_descriptors(lock, page).unwrap();
    assert_eq!(machine.entry(page, 2), access(0xFB));
    let two = mm.get_descriptors(lock, one.mfn()).unwrap();
    assert_eq!(
        mm.get_writable_frame(page, DOM1, DOM0),
        Err(MmError::TypeConflict)
    );
    let slot = Slot::new(9).unwrap();
    let bad = mm.update_descriptor(lock, page, slot, access(0x8E));
    assert_eq!(bad, Err(Stop::Failed(MmError::BadDescriptor)));
    mm.update_descriptor(lock, page, slot, access(0x92))
        .unwrap();
    assert_eq!(machine.entry(page, 9), access(0xF2));
    mm.put_descriptors(lock, one);
    assert!(mm.get_writable_frame(page, DOM1, DOM0).is_err());
    mm.put_descriptors(lock, two);
    let writable = mm.get_writable_frame(page, DOM1, DOM0).unwrap();
    let busy = mm.get_descriptors(lock, page);
    assert_eq!(busy, Err(Stop::Failed(MmError::NotATable)));
    // A page that is to become one.
    mm.update_descriptor(lock, page, slot, access(0x9A))
        .unwrap();
    assert_eq!(machine.entry(page, 9), access(0xFA));
    mm.put_writable_frame(writable);
}
