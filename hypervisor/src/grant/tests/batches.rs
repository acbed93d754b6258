//! Arrays of operations.

use super::*;
use crate::grant::test_machine::TestMachine;
use crate::grant::unmap::BATCH;
use crate::grant::*;
use guest_abi::grant_op::{GrantStatus, MapGrantRef, Transfer, UnmapAndReplace, UnmapGrantRef};
use guest_abi::ids::GrantRef;
use zerocopy::FromZeros;

fn many_maps(count: u32) -> Array<MapGrantRef> {
    let mut op = MapGrantRef::new_zeroed();
    (op.flags, op.gref) = (DEVICE, GrantRef(1));
    Array::new(&vec![op; count as usize])
}

#[test]
fn transfers_are_refused_with_the_frame_kept() {
    let array = Array::new(&[Transfer::new_zeroed(); 3]);
    assert_eq!(refuse_transfers(&array, 0, 3, || false), Progress::Done);
    assert!(
        array
            .elements
            .borrow()
            .iter()
            .all(|op| op.status == GrantStatus::BadPage.number())
    );
}

#[test]
fn a_call_stops_when_asked_and_goes_on_where_it_stopped() {
    let machine = machine();
    let array = many_maps(10);
    let mut first = 0;
    let mut stops = 0;
    loop {
        let mut asked = 0;
        let stop = || {
            asked += 1;
            asked == 3
        };
        match machine.as_domain(1, |cx| map_all(cx, &array, first, 10, stop)) {
            Progress::Done => break,
            Progress::At(next) => {
                assert_eq!(next, first + 3);
                first = next;
                stops += 1;
            }
            Progress::Fault(_) => panic!("all can be read"),
        }
    }
    assert_eq!(stops, 3);
    let handles: Vec<_> = array.elements.borrow().iter().map(|op| op.handle).collect();
    assert_eq!(handles, (0..10).collect::<Vec<_>>());
    // Even when asked at once, something is done.
    assert_eq!(
        machine.as_domain(1, |cx| map_all(cx, &many_maps(5), 2, 5, || true)),
        Progress::At(3)
    );
    assert_eq!(
        machine.as_domain(1, |cx| map_all(cx, &many_maps(5), 5, 5, || true)),
        Progress::Done
    );
}

#[test]
fn a_fault_ends_the_call_after_what_was_done() {
    let machine = machine();
    assert_eq!(
        machine.as_domain(1, |cx| map_all(cx, &many_maps(2), 0, 4, || false)),
        Progress::Fault(2)
    );
    let handle = map_ok(&machine, 1, HOST, 0x1000);
    let other = map_ok(&machine, 2, HOST, 0x2000);
    let mut ops = [UnmapGrantRef::new_zeroed(); 2];
    (ops[0].handle, ops[0].host_addr) = (handle, 0x1000);
    (ops[1].handle, ops[1].host_addr) = (other, 0x2000);
    let mut array = Array::new(&ops);
    array.unwritable = Some(1);
    // The element whose status can't be written is unmapped all the same, and flushed.
    let progress = machine.as_domain(1, |cx| unmap_all(cx, &array, 0, 9, || false));
    assert_eq!(progress, Progress::Fault(1));
    assert_flags(&machine, 2, PERMIT);
    machine.check();
}

#[test]
fn one_flush_serves_a_batch_and_none_is_made_for_devices() {
    let machine = TestMachine::new(2, 1, 1);
    machine.domain(0).entries.write(1, PERMIT, 1, 1);
    let count = BATCH as u32 + 1;
    let (mut host, mut device) = (Vec::new(), Vec::new());
    for at in (0x1000u64..).step_by(8).take(count as usize) {
        let mut op = UnmapGrantRef::new_zeroed();
        (op.handle, op.host_addr) = (map_ok(&machine, 1, HOST, at), at);
        host.push(op);
        let mut op = UnmapGrantRef::new_zeroed();
        (op.handle, op.dev_bus_addr) = (map_ok(&machine, 1, DEVICE, 0), 1 << 12);
        device.push(op);
    }
    let flushes = || machine.mappers[1].tables.with(|tables| tables.flushes);
    let array = Array::new(&device);
    assert_eq!(
        machine.as_domain(1, |cx| unmap_all(cx, &array, 0, count, || false)),
        Progress::Done
    );
    assert_eq!(flushes(), 0);
    let array = Array::new(&host);
    assert_eq!(
        machine.as_domain(1, |cx| unmap_all(cx, &array, 0, count, || false)),
        Progress::Done
    );
    assert_eq!(flushes(), 2);
    assert_flags(&machine, 1, PERMIT);
    machine.check();
}

/// Runs calls one after the other, each gone on with until it is through; question number `nth`, counted over all of
/// them, is answered yes (or each, for 0). Returns all that they leave, and how many questions were asked.
fn interrupted_at(nth: Option<u32>) -> (String, u32) {
    let machine = machine();
    let asked = core::cell::Cell::new(0);
    let should_stop = || {
        asked.set(asked.get() + 1);
        nth.is_some_and(|nth| nth == 0 || nth == asked.get())
    };
    let go_on = |work: &dyn Fn(u32) -> Progress| {
        let mut first = 0;
        loop {
            let progress = work(first);
            machine.check();
            match progress {
                Progress::At(next) => first = next,
                end => return format!("{end:?} "),
            }
        }
    };
    let mut map = [MapGrantRef::new_zeroed(); 6];
    for (op, (gref, flags)) in map.iter_mut().zip([
        (1, HOST),
        (1, HOST | DEVICE),
        (3, HOST),
        (2, DEVICE | RO),
        (9, HOST),
        (2, HOST | RO),
    ]) {
        (op.gref, op.flags) = (GrantRef(gref), flags);
        op.host_addr = 0x1000 * (1 + u64::from(gref)) + 8 * u64::from(flags.bits());
    }
    let map = Array::new(&map);
    let mut copy = [guest_abi::grant_op::Copy::new_zeroed(); 4];
    for (op, (from, to)) in copy.iter_mut().zip([(1, 2), (1, 3), (7, 2), (1, 2)]) {
        op.flags =
            guest_abi::grant_op::CopyFlags::SOURCE_GREF | guest_abi::grant_op::CopyFlags::DEST_GREF;
        (op.source.frame, op.dest.frame, op.len) = (from, to, 64);
    }
    let copy = Array::new(&copy);
    let mut end =
        go_on(&|first| machine.as_domain(1, |cx| map_all(cx, &map, first, 6, should_stop)));
    end += &go_on(&|first| machine.as_domain(1, |cx| copy_all(cx, &copy, first, 4, should_stop)));
    let mut unmap = [UnmapGrantRef::new_zeroed(); 6];
    for (op, mapped) in unmap.iter_mut().zip(map.elements.borrow().iter()) {
        (op.handle, op.host_addr) = (mapped.handle, mapped.host_addr);
        op.dev_bus_addr = mapped.dev_bus_addr;
    }
    // The first goes by the other way, and one of them twice.
    let mut replace = [UnmapAndReplace::new_zeroed(); 2];
    for op in &mut replace {
        (op.handle, op.host_addr) = (unmap[0].handle, unmap[0].host_addr);
    }
    let (unmap, replace) = (Array::new(&unmap), Array::new(&replace));
    end += &go_on(&|first| {
        machine.as_domain(1, |cx| {
            unmap_and_replace_all(cx, &replace, first, 2, should_stop)
        })
    });
    end += &go_on(&|first| machine.as_domain(1, |cx| unmap_all(cx, &unmap, first, 6, should_stop)));
    let statuses = (
        map.elements
            .borrow()
            .iter()
            .map(|op| (op.status, op.handle))
            .collect::<Vec<_>>(),
        copy.elements
            .borrow()
            .iter()
            .map(|op| op.status)
            .collect::<Vec<_>>(),
        replace
            .elements
            .borrow()
            .iter()
            .map(|op| op.status)
            .collect::<Vec<_>>(),
        unmap
            .elements
            .borrow()
            .iter()
            .map(|op| op.status)
            .collect::<Vec<_>>(),
    );
    (
        format!("{end}{statuses:?} {:?}", snapshot(&machine)),
        asked.get(),
    )
}

#[test]
fn calls_interrupted_at_any_point_end_as_if_they_were_not() {
    let (end, asked) = interrupted_at(None);
    assert_eq!(asked, 5 + 3 + 1 + 5);
    for nth in 0..=asked {
        assert_eq!(interrupted_at(Some(nth)).0, end, "interrupted at {nth}");
    }
}
