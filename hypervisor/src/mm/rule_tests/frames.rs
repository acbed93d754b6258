//! The rules of frames that come, go and are counted.

use super::super::frame::refs;
use super::super::verify::Finding;
use super::*;

#[test]
fn shared_frames_stay_what_they_are() {
    lab!(lab);
    let table = lab.machine.allocate(DOM0).unwrap();
    lab.mm
        .pin(&mut lab.domains[0].locked(), table, Level::L1)
        .unwrap();
    let block = lab.machine.allocate_block().unwrap();
    let shared = block.share_with(lab.machine.table, DOM0, SharedAccess::ReadWrite);
    lab.map(table, DOM0, shared.address() | RW).unwrap();
    let uncached = shared.address() | RW | pte::PCD;
    assert_eq!(
        lab.map(table, DOM0, uncached),
        Err(MmError::SharedCacheAttributes)
    );
    assert_eq!(MmError::SharedCacheAttributes.errno(), Errno::EACCES);
    let lock = &mut lab.domains[0].locked();
    assert_eq!(
        lab.mm.pin(lock, shared, Level::L1),
        Err(Stop::Failed(MmError::NotATable))
    );
    assert_eq!(lab.mm.steal(shared, DOM0), Err(MmError::InUse));
    let free = lab.machine.buddy.lock().unwrap().free_frames();
    lab.mm.unshare(shared);
    assert_eq!(lab.machine.buddy.lock().unwrap().free_frames(), free);
    lab.map(table, DOM0, 0).unwrap();
    assert_eq!(lab.machine.buddy.lock().unwrap().free_frames(), free + 1);

    let block = lab.machine.allocate_block().unwrap();
    let constant = block.share_with(lab.machine.table, DomId::XEN, SharedAccess::ReadOnly);
    lab.map(table, DomId::XEN, constant.address() | RO).unwrap();
    let writable = lab.map(table, DomId::XEN, constant.address() | RW);
    assert_eq!(writable, Err(MmError::TypeConflict));
}

#[test]
fn counts_do_not_overflow() {
    lab!(lab);
    lab.pin(lab.l2, Level::L2).unwrap();
    lab.unpin(lab.l2).unwrap();
    let frame = lab.machine.table.get(lab.page).unwrap();
    let full = TypeWord((Type::Writable as u64) | 1 << 3 | TypeWord::MAX_COUNT << 7);
    full.store(frame);
    assert_eq!(lab.set(lab.l2, 0, 0), Ok(Owed::NOTHING));
    let writable = lab.mm.get_writable_frame(lab.page, DOM1, DOM1);
    assert_eq!(writable, Err(MmError::TooManyReferences));
    TypeWord::UNTYPED.store(frame);
    let full = refs::MAX_COUNT | refs::ALLOCATED;
    frame.refs.store(full, Ordering::Relaxed);
    assert_eq!(
        lab.mm.get_frame(lab.page, DOM1),
        Err(MmError::TooManyReferences)
    );
    assert_eq!(MmError::TooManyReferences.errno(), Errno::EBUSY);
}

#[test]
fn memory_is_given_back_only_when_nothing_uses_it() {
    lab!(lab);
    lab.pin(lab.l1, Level::L1).unwrap();
    assert_eq!(lab.mm.give_back(lab.page, DOM1), Err(MmError::InUse));
    assert_eq!(lab.mm.give_back(lab.page, DOM0), Err(MmError::WrongOwner));
    let _ = lab.set(lab.l1, 0, 0).unwrap();
    lab.machine.set_entry(lab.page, 0, 0x1234);
    let held = lab.mm.steal(lab.page, DOM1).unwrap();
    assert_eq!(lab.mm.get_frame(lab.page, DOM1), Err(MmError::WrongOwner));
    held.restore(lab.machine.table);
    assert_eq!(lab.machine.entry(lab.page, 0), 0x1234);
    lab.mm.give_back(lab.page, DOM1).unwrap();
    assert_eq!(lab.mm.give_back(lab.page, DOM1), Err(MmError::WrongOwner));
    assert_eq!(
        lab.machine.domains[1].with_frames(|frames| frames.total()),
        4
    );
    // Whoever gets it next finds zeroes.
    while let Some(mfn) = lab.machine.allocate(DOM0) {
        assert_eq!(lab.machine.entry(mfn, 0), 0);
    }
}

#[test]
fn a_dead_domains_frames_live_until_others_let_go() {
    lab!(lab);
    lab.pin(lab.l4, Level::L4).unwrap();
    let table = lab.machine.allocate(DOM0).unwrap();
    lab.mm
        .pin(&mut lab.domains[0].locked(), table, Level::L1)
        .unwrap();
    lab.map(table, DOM1, lab.page.address() | RW).unwrap();
    let lock = &mut lab.domains[1].locked();
    repeat(|| lab.mm.relinquish(lock, &lab.machine.domains[1])).unwrap();
    let zombies = |lab: &Lab<'_>| lab.machine.domains[1].with_frames(|frames| frames.zombies());
    assert_eq!(zombies(&lab), 1);
    assert_eq!(lab.books(lab.page), (1, 1));
    lab.map(table, DOM0, 0).unwrap();
    assert_eq!(zombies(&lab), 0);
}

#[test]
fn pages_are_cleared_and_copied_only_if_they_are_plain() {
    lab!(lab);
    lab.pin(lab.l4, Level::L4).unwrap();
    lab.machine.set_entry(lab.page, 5, 77);
    let other = lab.machine.allocate(DOM1).unwrap();
    lab.mm.copy_page(other, lab.page, DOM1, DOM0).unwrap();
    lab.mm.clear_page(lab.page, DOM1, DOM0).unwrap();
    assert_eq!(
        (lab.machine.entry(other, 5), lab.machine.entry(lab.page, 5)),
        (77, 0)
    );
    assert_eq!(
        lab.mm.clear_page(lab.l1, DOM1, DOM1),
        Err(MmError::NotATable)
    );
    assert_eq!(
        lab.mm.copy_page(lab.l2, other, DOM1, DOM1),
        Err(MmError::NotATable)
    );
    lab.mm.copy_page(other, lab.l2, DOM1, DOM1).unwrap();
    assert_eq!((lab.books(other), lab.books(lab.l2)), ((1, 0), (2, 1)));
}

#[test]
fn the_audit_finds_what_is_wrong() {
    lab!(lab);
    lab.pin(lab.l4, Level::L4).unwrap();
    let audit = |lab: &Lab<'_>, outside: Option<Mfn>| {
        let mut scratch = vec![Tally::default(); FRAMES as usize];
        let outside = outside.map(|mfn| Outside {
            mfn,
            tally: Tally {
                general: 1,
                typed: 0,
            },
        });
        let mut found = std::vec::Vec::new();
        let mut report = |finding: Finding| {
            assert!(!std::format!("{finding}").is_empty());
            found.push(finding.mfn);
        };
        let domains = lab.domains.iter();
        lab.mm
            .verify(domains, outside.into_iter(), &mut scratch, &mut report)
            .unwrap();
        found
    };
    assert_eq!(audit(&lab, None), []);
    assert_eq!(audit(&lab, Some(lab.page)), [lab.page]);
    let extra = lab.mm.get_frame(lab.l2, DOM1).unwrap();
    assert_eq!(audit(&lab, None), [lab.l2]);
    lab.mm.put_frame(extra);
    let entry = lab.machine.entry(lab.l1, 0);
    lab.machine.set_entry(lab.l1, 0, entry & !pte::WRITABLE);
    assert_eq!(audit(&lab, None), [lab.page]);
    lab.machine.set_entry(lab.l1, 0, lab.l2.address() | RW);
    let mut both = [lab.l1, lab.l2, lab.page];
    both.sort();
    let mut found = audit(&lab, None);
    found.sort();
    assert_eq!(found, both);
    lab.machine.set_entry(lab.l1, 0, entry);
    assert_eq!(audit(&lab, None), []);
    assert!(
        lab.mm
            .verify([].iter(), [].into_iter(), &mut [], &mut |_| ())
            .is_err()
    );
}
