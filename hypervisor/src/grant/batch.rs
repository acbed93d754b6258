//! Arrays of operations: each element has its own status, and the call may stop between two of them.
#![forbid(unsafe_code)]

use super::copy::Copier;
use super::environment::{Context, Frames, GrantDomains, Mapper};
use super::map::map;
use super::unmap::{Unmapped, unmap, unmap_and_replace};
use guest_abi::grant_op::{
    self, GrantStatus, MapGrantRef, Transfer, UnmapAndReplace, UnmapGrantRef,
};

/// The guest's memory could not be read or written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault;

/// An array of `T` in guest memory. The guest changes it at any time; an element is read once.
pub trait OpArray<T> {
    /// Copies an element in.
    fn read(&self, index: u32) -> Result<T, Fault>;
    /// Copies an element's outputs out.
    fn write(&self, index: u32, element: &T) -> Result<(), Fault>;
}

/// How far a call came.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// The whole array is done: the call returns 0.
    Done,
    /// Asked to stop: the call goes on from this element.
    At(u32),
    /// This element could not be read, or its outputs not written; those before are done. The call
    /// returns `EFAULT`.
    Fault(u32),
}

/// Calls `each` with the elements from `first` to below `count`. Stops when `should_stop` says so, after
/// at least one element.
fn for_each<T, A: OpArray<T>>(
    array: &A,
    first: u32,
    count: u32,
    mut should_stop: impl FnMut() -> bool,
    mut each: impl FnMut(&mut T),
) -> Progress {
    for index in first..count {
        if index != first && should_stop() {
            return Progress::At(index);
        }
        let Ok(mut element) = array.read(index) else {
            return Progress::Fault(index);
        };
        each(&mut element);
        if array.write(index, &element).is_err() {
            return Progress::Fault(index);
        }
    }
    Progress::Done
}

/// `GNTTABOP_map_grant_ref`.
pub fn map_all<L: GrantDomains, F: Frames, M: Mapper>(
    cx: Context<'_, L, F, M>,
    array: &impl OpArray<MapGrantRef>,
    first: u32,
    count: u32,
    should_stop: impl FnMut() -> bool,
) -> Progress {
    for_each(array, first, count, should_stop, |op| map(cx, op))
}

/// `GNTTABOP_unmap_grant_ref`. When it returns, however far it came, no translation of what it has
/// unmapped is left.
pub fn unmap_all<L: GrantDomains, F: Frames, M: Mapper>(
    cx: Context<'_, L, F, M>,
    array: &impl OpArray<UnmapGrantRef>,
    first: u32,
    count: u32,
    should_stop: impl FnMut() -> bool,
) -> Progress {
    let mut batch = Unmapped::new();
    let progress = for_each(array, first, count, should_stop, |op| {
        if batch.is_full() {
            batch.complete(cx);
        }
        unmap(cx, op, &mut batch);
    });
    batch.complete(cx);
    progress
}

/// `GNTTABOP_unmap_and_replace`. As [`unmap_all`].
pub fn unmap_and_replace_all<L: GrantDomains, F: Frames, M: Mapper>(
    cx: Context<'_, L, F, M>,
    array: &impl OpArray<UnmapAndReplace>,
    first: u32,
    count: u32,
    should_stop: impl FnMut() -> bool,
) -> Progress {
    let mut batch = Unmapped::new();
    let progress = for_each(array, first, count, should_stop, |op| {
        if batch.is_full() {
            batch.complete(cx);
        }
        unmap_and_replace(cx, op, &mut batch);
    });
    batch.complete(cx);
    progress
}

/// `GNTTABOP_copy`.
pub fn copy_all<L: GrantDomains, F: Frames, M>(
    cx: Context<'_, L, F, M>,
    array: &impl OpArray<grant_op::Copy>,
    first: u32,
    count: u32,
    should_stop: impl FnMut() -> bool,
) -> Progress {
    let mut copier = Copier::new(cx);
    let progress = for_each(array, first, count, should_stop, |op| copier.copy(op));
    copier.finish();
    progress
}

/// `GNTTABOP_transfer`, which is not offered. Each element says *bad page*, the one refusal after which
/// the caller still owns its frame.
pub fn refuse_transfers(
    array: &impl OpArray<Transfer>,
    first: u32,
    count: u32,
    should_stop: impl FnMut() -> bool,
) -> Progress {
    for_each(array, first, count, should_stop, |op: &mut Transfer| {
        op.status = GrantStatus::BadPage.number();
    })
}
