//! Grants.

#![forbid(unsafe_code)]

use super::{Answer, Outcome, read, subject, write};
use crate::arch::guest::running::Guest;
use crate::arch::scheduler;
use crate::control::privilege;
use crate::domain::{CallersTables, Domain, Domains, GrantedFrames};
use crate::grant::{
    Context, Fault, GrantDomain, OpArray, Progress, SharedEntries, copy_all, map_all,
    refuse_transfers, unmap_all, unmap_and_replace_all,
};
use alloc::sync::Arc;
use core::marker::PhantomData;
use core::mem::size_of;
use guest_abi::errno::Errno;
use guest_abi::grant_op::{
    Copy, GetStatusFrames, GetVersion, GrantStatus, GrantTableOp, MapGrantRef, QuerySize,
    SetVersion, SetupTable, Transfer, UnmapAndReplace, UnmapGrantRef,
};
use guest_abi::ids::DomId;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Bits of the command that name the operation.
const OP_BITS: u32 = 12;

/// An array that the caller points to.
struct GuestArray<T> {
    address: u64,
    element: PhantomData<T>,
}

impl<T> GuestArray<T> {
    fn at(&self, index: u32) -> Result<u64, Fault> {
        (size_of::<T>() as u64)
            .checked_mul(index.into())
            .and_then(|offset| self.address.checked_add(offset))
            .ok_or(Fault)
    }
}

impl<T: FromBytes + IntoBytes + Immutable> OpArray<T> for GuestArray<T> {
    fn read(&self, index: u32) -> Result<T, Fault> {
        read(self.at(index)?).map_err(|_| Fault)
    }

    fn write(&self, index: u32, element: &T) -> Result<(), Fault> {
        write(self.at(index)?, element).map_err(|_| Fault)
    }
}

pub(super) fn grant_table_op(guest: &Guest<'_>, arguments: [u64; 6]) -> Outcome {
    let [command, argument, count, ..] = arguments;
    // All three of the last are 32 bits wide to the guest, and the count has a sign.
    let (command, count) = (command as u32, count as u32);
    if count > i32::MAX as u32 {
        return Err(Errno::EINVAL).into();
    }
    // The upper bits say how an interrupted call goes on; ours need none.
    if command >> OP_BITS != 0 {
        return Err(Errno::EINVAL).into();
    }
    let Ok(operation) = GrantTableOp::try_from(command) else {
        return Err(Errno::ENOSYS).into();
    };
    let frames = GrantedFrames {
        user: guest.domain.id(),
    };
    let mapper = CallersTables {
        domain: guest.domain,
        root: guest.context.kernel_root,
    };
    let cx = Context {
        domains: &Domains,
        caller: &**guest.domain,
        frames: &frames,
        mapper: &mapper,
    };
    let stop = scheduler::should_yield;
    match operation {
        GrantTableOp::MapGrantRef => each(arguments, |ops: &GuestArray<MapGrantRef>| {
            map_all(cx, ops, 0, count, stop)
        }),
        GrantTableOp::UnmapGrantRef => each(arguments, |ops: &GuestArray<UnmapGrantRef>| {
            unmap_all(cx, ops, 0, count, stop)
        }),
        GrantTableOp::UnmapAndReplace => each(arguments, |ops: &GuestArray<UnmapAndReplace>| {
            unmap_and_replace_all(cx, ops, 0, count, stop)
        }),
        GrantTableOp::Transfer => each(arguments, |ops: &GuestArray<Transfer>| {
            refuse_transfers(ops, 0, count, stop)
        }),
        GrantTableOp::Copy => each(arguments, |ops: &GuestArray<Copy>| {
            copy_all(cx, ops, 0, count, stop)
        }),
        GrantTableOp::SetupTable => one(count, || setup_table(guest, argument)),
        GrantTableOp::QuerySize => one(count, || query_size(guest, argument)),
        GrantTableOp::GetStatusFrames => one(count, || get_status_frames(guest, argument)),
        GrantTableOp::SetVersion => set_version(guest, argument).into(),
        GrantTableOp::GetVersion => get_version(guest, argument).into(),
        GrantTableOp::DumpTable | GrantTableOp::SwapGrantRef | GrantTableOp::CacheFlush => {
            Err(Errno::ENOSYS).into()
        }
    }
}

/// An operation with an array. If it stops, the guest makes the call again with what is left of it.
fn each<T>(arguments: [u64; 6], work: impl FnOnce(&GuestArray<T>) -> Progress) -> Outcome {
    let [command, address, count, ..] = arguments;
    let array = GuestArray {
        address,
        element: PhantomData,
    };
    match work(&array) {
        Progress::Done => Ok(0).into(),
        Progress::Fault(_) => Err(Errno::EFAULT).into(),
        Progress::At(next) => {
            let Ok(address) = array.at(next) else {
                return Err(Errno::EFAULT).into();
            };
            let left = (count as u32).saturating_sub(next);
            Outcome::again([command, address, left.into()])
        }
    }
}

/// An operation whose array must have one element.
fn one(count: u32, work: impl FnOnce() -> Answer) -> Outcome {
    if count == 1 {
        work().into()
    } else {
        Err(Errno::EINVAL).into()
    }
}

/// The domain whose table is meant, if the caller may ask this of it.
fn table_of(
    guest: &Guest<'_>,
    id: DomId,
    operation: GrantTableOp,
) -> Result<Arc<Domain>, GrantStatus> {
    subject(guest, id, privilege::grant_table(operation)).map_err(|errno| match errno {
        // Who may not is told whether there is such a domain, as by all that is about grants.
        Errno::EPERM if Domains.find(id).is_some() => GrantStatus::PermissionDenied,
        _ => GrantStatus::BadDomain,
    })
}

fn setup_table(guest: &Guest<'_>, argument: u64) -> Answer {
    let mut wish: SetupTable = read(argument)?;
    let done = table_of(guest, wish.dom, GrantTableOp::SetupTable).and_then(|domain| match domain
        .grants()
        .set_up(&*domain, wish.nr_frames)
    {
        GrantStatus::Okay => list_frames(&domain, &wish),
        status => Err(status),
    });
    wish.status = status_of(done);
    write(argument, &wish)?;
    Ok(0)
}

/// Tells the guest the frames that it has asked for. (Their number is bounded by the table's limit.)
fn list_frames(domain: &Domain, wish: &SetupTable) -> Result<(), GrantStatus> {
    for index in 0..wish.nr_frames {
        let mfn = domain
            .entries()
            .frame(index)
            .ok_or(GrantStatus::GeneralError)?;
        let at = wish.frame_list.0.wrapping_add(8 * u64::from(index));
        write(at, &mfn.0).map_err(|_| GrantStatus::BadVirtAddr)?;
    }
    Ok(())
}

fn query_size(guest: &Guest<'_>, argument: u64) -> Answer {
    let mut wish: QuerySize = read(argument)?;
    let found = table_of(guest, wish.dom, GrantTableOp::QuerySize).map(|domain| {
        (wish.nr_frames, wish.max_nr_frames) = domain.grants().size();
    });
    wish.status = status_of(found);
    write(argument, &wish)?;
    Ok(0)
}

fn get_status_frames(guest: &Guest<'_>, argument: u64) -> Answer {
    let mut wish: GetStatusFrames = read(argument)?;
    let status = match table_of(guest, wish.dom, GrantTableOp::GetStatusFrames) {
        Ok(domain) => domain.grants().status_frames(wish.nr_frames),
        Err(status) => status,
    };
    wish.status = status.number();
    write(argument, &wish)?;
    Ok(0)
}

fn set_version(guest: &Guest<'_>, argument: u64) -> Answer {
    let wish: SetVersion = read(argument)?;
    let grants = guest.domain.grants();
    let result = grants.set_version(wish.version);
    let version = grants.version();
    write(argument, &SetVersion { version })?;
    result.map(|()| 0)
}

fn get_version(guest: &Guest<'_>, argument: u64) -> Answer {
    let mut wish: GetVersion = read(argument)?;
    let domain =
        table_of(guest, wish.dom, GrantTableOp::GetVersion).map_err(|status| match status {
            GrantStatus::BadDomain => Errno::ESRCH,
            _ => Errno::EPERM,
        })?;
    wish.version = domain.grants().version();
    write(argument, &wish)?;
    Ok(0)
}

fn status_of(result: Result<(), GrantStatus>) -> i16 {
    result.err().unwrap_or(GrantStatus::Okay).number()
}
