//! Each operation's results and refusals, one by one.

mod batches;
mod copies;
mod mapping;
mod tables;
mod unmapping;

use crate::grant::environment::*;
use crate::grant::test_machine::TestMachine;
use crate::grant::unmap::Unmapped;
use crate::grant::*;
use core::cell::RefCell;
use guest_abi::grant_op::{GrantStatus, MapFlags, MapGrantRef, UnmapAndReplace, UnmapGrantRef};
use guest_abi::ids::{DomId, GrantRef};
use zerocopy::FromZeros;

/// Flags of an entry.
pub(super) const PERMIT: u16 = 1;
pub(super) const ACCEPT_TRANSFER: u16 = 2;
pub(super) const TRANSITIVE: u16 = 3;
pub(super) const READONLY: u16 = 4;
pub(super) const READING: u16 = 8;
pub(super) const WRITING: u16 = 16;
pub(super) const SUB_PAGE: u16 = 0x100;
pub(super) const HOST: MapFlags = MapFlags::HOST_MAP;
pub(super) const DEVICE: MapFlags = MapFlags::DEVICE_MAP;
pub(super) const RO: MapFlags = MapFlags::READONLY;

/// Two domains; domain 0 grants frames 0, 1, 2 and its page table 3 to domain 1 by entries 0 to 3.
pub(super) fn machine() -> TestMachine {
    let machine = TestMachine::new(3, 2, 2);
    for gref in 0..4 {
        machine.domain(0).entries.write(gref, PERMIT, 1, gref);
    }
    machine
}

pub(super) fn try_map(
    machine: &TestMachine,
    by: u16,
    of: u16,
    gref: u32,
    flags: MapFlags,
    at: u64,
) -> MapGrantRef {
    let mut op = MapGrantRef::new_zeroed();
    (op.dom, op.gref, op.flags, op.host_addr) = (DomId(of), GrantRef(gref), flags, at);
    op.handle = 0xDEAD;
    machine.as_domain(by, |cx| map::map(cx, &mut op));
    op
}

/// Domain 1 maps of domain 0; returns the handle.
#[track_caller]
pub(super) fn map_ok(machine: &TestMachine, gref: u32, flags: MapFlags, at: u64) -> u32 {
    let op = try_map(machine, 1, 0, gref, flags, at);
    assert_eq!(op.status, GrantStatus::Okay.number());
    op.handle
}

#[track_caller]
pub(super) fn assert_refused(
    machine: &TestMachine,
    gref: u32,
    flags: MapFlags,
    at: u64,
    status: GrantStatus,
) {
    let before = snapshot(machine);
    let op = try_map(machine, 1, 0, gref, flags, at);
    assert_eq!(op.status, status.number());
    assert_eq!(
        op.handle, 0xDEAD,
        "outputs of a refused element stay as they were"
    );
    assert_eq!(snapshot(machine), before, "I7: a refusal changes nothing");
    machine.check();
}

pub(super) fn try_unmap(machine: &TestMachine, handle: u32, at: u64, device: u64) -> i16 {
    let mut op = UnmapGrantRef::new_zeroed();
    (op.handle, op.host_addr, op.dev_bus_addr) = (handle, at, device);
    machine.as_domain(1, |cx| {
        let mut batch = Unmapped::new();
        unmap::unmap(cx, &mut op, &mut batch);
        batch.complete(cx);
    });
    op.status
}

pub(super) fn try_replace(machine: &TestMachine, handle: u32, at: u64, source: u64) -> i16 {
    let mut op = UnmapAndReplace::new_zeroed();
    (op.handle, op.host_addr, op.new_addr) = (handle, at, source);
    machine.as_domain(1, |cx| {
        let mut batch = Unmapped::new();
        unmap::unmap_and_replace(cx, &mut op, &mut batch);
        batch.complete(cx);
    });
    op.status
}

/// Everything that a refused operation must leave as it was.
pub(super) fn snapshot(machine: &TestMachine) -> impl PartialEq + core::fmt::Debug {
    let heads: Vec<_> = (0..8)
        .map(|gref| machine.domain(0).entries.head(gref))
        .collect();
    let usage: Vec<_> = (0..8)
        .map(|gref| machine.domain(0).grants().usage(GrantRef(gref)))
        .collect();
    let mut handles = Vec::new();
    machine
        .domain(1)
        .grants()
        .for_each_mapping(|number, mapping| handles.push((number, mapping)));
    let present = machine.mappers[1]
        .tables
        .with(|tables| tables.present.clone());
    (
        heads,
        usage,
        handles,
        present,
        machine.frames.frames.with(|frames| frames.clone()),
    )
}

#[track_caller]
pub(super) fn assert_flags(machine: &TestMachine, gref: u32, flags: u16) {
    assert_eq!(machine.domain(0).entries.head(gref) as u16, flags);
}

pub(super) const OKAY: i16 = 0;

/// An array in guest memory; beyond its end nothing can be read, and one element may be unwritable.
pub(super) struct Array<T> {
    pub(super) elements: RefCell<Vec<T>>,
    pub(super) unwritable: Option<u32>,
}

impl<T: Copy> Array<T> {
    pub(super) fn new(elements: &[T]) -> Self {
        Self {
            elements: RefCell::new(elements.to_vec()),
            unwritable: None,
        }
    }
}

impl<T: Copy> OpArray<T> for Array<T> {
    fn read(&self, index: u32) -> Result<T, Fault> {
        self.elements
            .borrow()
            .get(index as usize)
            .copied()
            .ok_or(Fault)
    }

    fn write(&self, index: u32, element: &T) -> Result<(), Fault> {
        if self.unwritable == Some(index) {
            return Err(Fault);
        }
        self.elements.borrow_mut()[index as usize] = *element;
        Ok(())
    }
}
