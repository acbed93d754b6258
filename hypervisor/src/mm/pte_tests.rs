//! The fast path of an update against the slow one, for every pair of flag sets at every level; and the
//! rules for single entries.

use super::error::MmError;
use super::lock::PtDomain;
use super::platform::Slot;
use super::pte::*;
use super::reference::Mm;
use super::test_guest::repeat;
use super::test_machine::{DOM1, TestMachine, frame_entries};
use super::typ::{Level, TypeWord};
use super::update::AccessedDirty;
use guest_abi::ids::Mfn;
use std::vec::Vec;

/// One bit of each kind.
const BITS: [u64; 13] = [
    PRESENT,
    WRITABLE,
    USER,
    PWT,
    PCD,
    ACCESSED,
    DIRTY,
    PAT,
    GLOBAL,
    1 << 10,
    GUEST_KERNEL,
    NO_EXECUTE,
    1 << 58,
];

fn flag_set(bits: &[u64], number: usize) -> u64 {
    bits.iter()
        .enumerate()
        .filter(|&(bit, _)| number >> bit & 1 == 1)
        .map(|(_, flag)| flag)
        .sum()
}

/// What an entry refers to and how: all that references are taken for.
fn meaning(level: Level, entry: u64) -> Option<(Mfn, bool, u64)> {
    let is_page = level == Level::L1;
    let is_typed_writable = is_page && is_writable(entry);
    let attributes = if is_page { entry & CACHE_ATTRIBUTES } else { 0 };
    is_present(entry).then_some((mfn(entry), is_typed_writable, attributes))
}

fn skipping_is_sound(bits: &[u64]) {
    let sets: Vec<u64> = (0..1 << bits.len())
        .map(|number| flag_set(bits, number))
        .collect();
    for level in Level::ALL {
        let may_differ = if level == Level::L1 {
            FLAGS_ONLY
        } else {
            FLAGS_ONLY | WRITABLE
        };
        for policy in [EntryPolicy::ORDINARY, EntryPolicy::WITH_DEVICES] {
            let allowed = |set: &u64| policy.check(level, *set).is_ok();
            let installed: Vec<u64> = sets
                .iter()
                .filter(|&set| !is_present(*set) || allowed(set))
                .map(|&set| {
                    if is_present(set) {
                        adjusted(level, set)
                    } else {
                        set
                    }
                })
                .collect();
            for &new in sets.iter().filter(|&set| is_present(*set) && allowed(set)) {
                let new = adjusted(level, new);
                let wanted = meaning(level, new);
                for &old in &installed {
                    if differ_only_in(may_differ, old, new) {
                        assert_eq!(meaning(level, old), wanted, "{level:?} {old:#x} {new:#x}");
                    }
                }
            }
        }
    }
}

#[test]
fn references_are_left_alone_only_where_the_slow_path_would_exchange_them_for_the_same() {
    skipping_is_sound(&BITS[..12]);
}

#[test]
#[ignore = "long: twice the flags of the test above"]
fn references_are_left_alone_only_where_that_is_sound_with_all_flags() {
    skipping_is_sound(&BITS);
}

#[test]
fn an_entry_never_keeps_its_references_when_it_gets_another_frame() {
    for bit in 12..52 {
        let entry = 5 << 12 | PRESENT | USER;
        assert!(!differ_only_in(
            FLAGS_ONLY | WRITABLE,
            entry,
            entry ^ 1 << bit
        ));
    }
}

/// Updates entry after entry of a table in force, once in one step and once by way of an empty entry
/// (which is the slow path), and compares what comes out. Bits that the one step is to preserve are given to the other way.
fn one_step_equals_two(level: Level, bits: &[u64], accessed_dirty: AccessedDirty) {
    let entries = frame_entries();
    let machine = TestMachine::new(&entries);
    let mm = Mm::new(machine.table, &machine);
    let mut domain = PtDomain::new(DOM1, EntryPolicy::WITH_DEVICES);
    let lock = &mut domain.locked();
    let [quick, slow, target_of_quick, target_of_slow] =
        [(); 4].map(|()| machine.allocate(DOM1).unwrap());
    for table in [quick, slow] {
        repeat(|| mm.pin(lock, table, level)).unwrap();
    }
    let slot = Slot::new(7).unwrap();
    let update_as = |lock: &mut _, table, value, accessed_dirty| {
        repeat(|| mm.update_table(lock, level, table, slot, value, accessed_dirty))
    };
    let update = |lock: &mut _, table, value| update_as(lock, table, value, AccessedDirty::Replace);
    let books = |mfn| {
        let frame = machine.table.get(mfn).unwrap();
        (frame.reference_count(), TypeWord::load(frame).count())
    };
    for (old, new) in (0..1 << bits.len()).flat_map(|a| (0..1 << bits.len()).map(move |b| (a, b))) {
        let [old, new] = [old, new].map(|number| flag_set(bits, number));
        let (from, to) = (
            old | target_of_quick.address(),
            new | target_of_quick.address(),
        );
        let (slow_from, slow_to) = (
            old | target_of_slow.address(),
            new | target_of_slow.address(),
        );
        let first = update(lock, quick, from).map(|_| ());
        assert_eq!(update(lock, slow, slow_from).map(|_| ()), first);
        let kept = match accessed_dirty {
            AccessedDirty::Replace => 0,
            AccessedDirty::Preserve => machine.entry(quick, 7) & (ACCESSED | DIRTY),
        };
        let result = update_as(lock, quick, to, accessed_dirty).map(|_| ());
        if result.is_ok() {
            let _ = update(lock, slow, 0).unwrap();
        }
        assert_eq!(
            update(lock, slow, slow_to | kept).map(|_| ()),
            result,
            "{level:?} {old:#x} {new:#x}"
        );
        assert_eq!(
            books(target_of_quick),
            books(target_of_slow),
            "{level:?} {old:#x} {new:#x}"
        );
        let one = machine.entry(quick, 7) & !FRAME;
        let other = machine.entry(slow, 7) & !FRAME;
        assert_eq!(one, other, "{level:?} {old:#x} {new:#x}");
        for table in [quick, slow] {
            let _ = update(lock, table, 0).unwrap();
        }
        assert_eq!(
            books(target_of_quick),
            (1, 0),
            "{level:?} {old:#x} {new:#x}"
        );
    }
}

#[test]
fn a_change_in_one_step_equals_a_change_by_way_of_an_empty_entry() {
    one_step_equals_two(
        Level::L1,
        &[PRESENT, WRITABLE, USER, PCD, GLOBAL, GUEST_KERNEL, 1 << 9],
        AccessedDirty::Replace,
    );
    for level in [Level::L2, Level::L3, Level::L4] {
        one_step_equals_two(
            level,
            &[PRESENT, WRITABLE, USER, GLOBAL, ACCESSED],
            AccessedDirty::Replace,
        );
    }
}

#[test]
fn so_it_does_where_accessed_and_dirty_bits_are_preserved() {
    one_step_equals_two(
        Level::L1,
        &[PRESENT, WRITABLE, PCD, ACCESSED, DIRTY, GUEST_KERNEL],
        AccessedDirty::Preserve,
    );
    for level in [Level::L2, Level::L3, Level::L4] {
        one_step_equals_two(
            level,
            &[PRESENT, WRITABLE, GLOBAL, ACCESSED, DIRTY],
            AccessedDirty::Preserve,
        );
    }
}

/// All flags that the code tells apart at the first level, and one of those that it does not.
const TOLD_APART_AT_L1: [u64; 9] = [
    PRESENT,
    WRITABLE,
    USER,
    PWT,
    PCD,
    PAT,
    GLOBAL,
    GUEST_KERNEL,
    NO_EXECUTE,
];
/// The same at the others.
const TOLD_APART_ABOVE: [u64; 9] = [
    PRESENT,
    WRITABLE,
    USER,
    PWT,
    PCD,
    ACCESSED,
    PAGE_SIZE_BIT,
    GLOBAL,
    NO_EXECUTE,
];

#[test]
#[ignore = "long: a quarter of a million pairs at each level"]
fn so_it_does_for_every_pair_of_sets_of_all_flags_that_are_told_apart() {
    one_step_equals_two(Level::L1, &TOLD_APART_AT_L1, AccessedDirty::Replace);
    for level in [Level::L2, Level::L3, Level::L4] {
        one_step_equals_two(level, &TOLD_APART_ABOVE, AccessedDirty::Replace);
    }
}

/// The two that are preserved, with what else decides about references or is looked at when it is stored. USER, GLOBAL and the
/// other attributes have no part in either, as the tests before this one show.
#[test]
#[ignore = "long: tens of thousands of pairs"]
fn so_it_does_for_every_pair_where_accessed_and_dirty_bits_are_preserved() {
    one_step_equals_two(
        Level::L1,
        &[
            PRESENT,
            WRITABLE,
            USER,
            PCD,
            ACCESSED,
            DIRTY,
            GUEST_KERNEL,
            NO_EXECUTE,
        ],
        AccessedDirty::Preserve,
    );
    for level in [Level::L2, Level::L3, Level::L4] {
        one_step_equals_two(
            level,
            &[PRESENT, WRITABLE, USER, ACCESSED, DIRTY, PAGE_SIZE_BIT],
            AccessedDirty::Preserve,
        );
    }
}

/// Why no other flags need to be tried in pairs: whatever else an entry has, they are carried along, and nothing that decides
/// looks at them.
#[test]
fn flags_that_are_not_told_apart_are_carried_along() {
    for level in Level::ALL {
        let (told_apart, may_differ) = match level {
            Level::L1 => (TOLD_APART_AT_L1, FLAGS_ONLY),
            _ => (TOLD_APART_ABOVE, FLAGS_ONLY | WRITABLE),
        };
        let policies = [EntryPolicy::ORDINARY, EntryPolicy::WITH_DEVICES];
        let others = (0..12).chain(52..64).map(|bit| 1_u64 << bit);
        for other in others.filter(|bit| !told_apart.contains(bit)) {
            for number in 0..1 << told_apart.len() {
                let entry = 0xABC_D000 | flag_set(&told_apart, number);
                for policy in policies {
                    for policy in [policy, policy.without_no_execute()] {
                        let with = policy.check(level, entry | other);
                        assert_eq!(with, policy.check(level, entry), "{other:#x}");
                    }
                }
                let (plain, with) = (adjusted(level, entry), adjusted(level, entry | other));
                assert_eq!(with, plain | other);
                assert_eq!(meaning(level, with), meaning(level, plain));
                if level == Level::L1 {
                    assert_eq!(
                        device_attributes(with),
                        device_attributes(plain) | other,
                        "{other:#x}"
                    );
                }
                // It may come and go with the references left alone.
                assert_eq!(
                    differ_only_in(may_differ, plain, with),
                    is_present(entry),
                    "{level:?} {other:#x}"
                );
            }
        }
    }
}

#[test]
fn each_level_refuses_what_the_interface_says() {
    let table_level_refused = PWT | PCD | PAGE_SIZE_BIT | GLOBAL;
    for bit in (0..12).chain(52..64) {
        let flag = 1_u64 << bit;
        let entry = flag | PRESENT;
        let ordinary = EntryPolicy::ORDINARY;
        assert_eq!(
            ordinary.check(Level::L1, entry).is_ok(),
            flag & CACHE_ATTRIBUTES == 0
        );
        assert!(EntryPolicy::WITH_DEVICES.check(Level::L1, entry).is_ok());
        for level in [Level::L2, Level::L3, Level::L4] {
            for policy in [ordinary, EntryPolicy::WITH_DEVICES] {
                assert_eq!(
                    policy.check(level, entry).is_ok(),
                    flag & table_level_refused == 0
                );
            }
        }
        let without = ordinary.without_no_execute();
        let is_ok = ordinary.check(Level::L2, entry).is_ok() && flag != NO_EXECUTE;
        assert_eq!(without.check(Level::L2, entry).is_ok(), is_ok);
    }
    assert_eq!(
        EntryPolicy::ORDINARY.check(Level::L3, PAGE_SIZE_BIT),
        Err(MmError::BadFlags)
    );
}

#[test]
fn forced_bits_tell_the_kernel_from_its_processes() {
    let adjusted_l1 = |entry| adjusted(Level::L1, entry);
    // A kernel page: not global, marked. A process's: global, not marked.
    assert_eq!(adjusted_l1(PRESENT), PRESENT | USER | GUEST_KERNEL);
    assert_eq!(adjusted_l1(PRESENT | USER), PRESENT | USER | GLOBAL);
    // A kernel that reads, changes and writes its entry finds it a kernel's still.
    let kernel = PRESENT | USER | GUEST_KERNEL | WRITABLE;
    assert_eq!(adjusted_l1(kernel), kernel);
    for level in [Level::L2, Level::L3] {
        assert_eq!(adjusted(level, PRESENT), PRESENT | USER);
    }
    assert_eq!(adjusted(Level::L4, PRESENT), PRESENT | USER | ACCESSED);
    for level in Level::ALL {
        for number in 0..1 << BITS.len() {
            let once = adjusted(level, flag_set(&BITS, number) | PRESENT);
            assert_eq!(adjusted(level, once), once);
        }
    }
}

#[test]
fn device_memory_is_never_cached() {
    for number in 0..8_u64 {
        let attributes = ((number & 1) * PWT) | ((number >> 1 & 1) * PCD) | ((number >> 2) * PAT);
        let entry = 0xABC_D000 | PRESENT | WRITABLE | attributes;
        let safe = device_attributes(entry);
        assert_eq!(safe & !CACHE_ATTRIBUTES, entry & !CACHE_ATTRIBUTES);
        match number {
            0 | 1 | 5 => assert_eq!(safe & CACHE_ATTRIBUTES, PWT | PCD),
            _ => assert_eq!(safe, entry),
        }
    }
}
