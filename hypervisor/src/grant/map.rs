//! `GNTTABOP_map_grant_ref`: one element.
#![forbid(unsafe_code)]

use super::active::Kind;
use super::environment::{
    Access, Context, Frames, GrantDomain, GrantDomains, HostMapping, HostTarget, Mapper,
};
use super::handles::{Handle, Mapping};
use super::table::{GrantTable, Use};
use guest_abi::grant_op::{GUEST_AVAIL_SHIFT, GrantStatus, MapFlags, MapGrantRef};
use guest_abi::grant_table::AccessFlags;
use guest_abi::ids::{Mfn, Vaddr};

/// Bytes of a page-table entry, and so the alignment of its address.
const ENTRY_BYTES: u64 = 8;

/// How far a mapping has come: what has to be undone if the next step fails.
#[derive(Default)]
struct Taken {
    has_device_reference: bool,
    has_host_reference: bool,
}

/// Maps a grant and fills the outputs of `op`, its status included.
pub fn map<L: GrantDomains, F: Frames, M: Mapper>(cx: Context<'_, L, F, M>, op: &mut MapGrantRef) {
    match try_map(cx, op) {
        Ok((handle, frame)) => {
            op.handle = handle.0;
            op.dev_bus_addr = frame.address();
            op.status = GrantStatus::Okay.number();
        }
        Err(status) => op.status = status.number(),
    }
}

fn try_map<L: GrantDomains, F: Frames, M: Mapper>(
    cx: Context<'_, L, F, M>,
    op: &MapGrantRef,
) -> Result<(Handle, Mfn), GrantStatus> {
    let kinds: &[Kind] = match (
        op.flags.contains(MapFlags::HOST_MAP),
        op.flags.contains(MapFlags::DEVICE_MAP),
    ) {
        (true, false) => &[Kind::Host],
        (false, true) => &[Kind::Device],
        (true, true) => &[Kind::Host, Kind::Device],
        (false, false) => return Err(GrantStatus::BadGntref),
    };
    let access = if op.flags.contains(MapFlags::READONLY) {
        Access::Read
    } else {
        Access::Write
    };
    let granter = cx.domains.get(op.dom).ok_or(GrantStatus::BadDomain)?;
    let handle = cx
        .caller
        .grants()
        .handles()
        .allocate(cx.caller)
        .map_err(|_| GrantStatus::NoSpace)?;

    // A grant of a part of a frame can't be mapped.
    let refused = AccessFlags::SUB_PAGE;
    let began = GrantTable::begin(&*granter, op.gref, cx.caller.id(), access, kinds, refused);
    let frame = match began {
        Ok(frame) => frame,
        Err(status) => {
            handle.free();
            return Err(status);
        }
    };

    let mut taken = Taken::default();
    match install(cx, op, &*granter, frame, access, kinds, &mut taken) {
        Ok(()) => {
            let number = handle.number();
            handle.put(Mapping {
                granter: granter.id(),
                gref: op.gref,
                access,
                has_host: kinds.contains(&Kind::Host),
                has_device: kinds.contains(&Kind::Device),
                is_by_entry: op.flags.contains(MapFlags::CONTAINS_PTE),
            });
            Ok((number, frame))
        }
        Err(status) => {
            for has_reference in [taken.has_host_reference, taken.has_device_reference] {
                if has_reference {
                    cx.frames.put(frame, access);
                }
            }
            for kind in kinds {
                Use {
                    gref: op.gref,
                    access,
                    kind: *kind,
                }
                .end(&*granter);
            }
            handle.free();
            Err(status)
        }
    }
}

/// Takes a reference for each use, and makes the level-1 entry, which owns the one for CPUs.
fn install<L: GrantDomains, F: Frames, M: Mapper>(
    cx: Context<'_, L, F, M>,
    op: &MapGrantRef,
    granter: &L::Domain,
    frame: Mfn,
    access: Access,
    kinds: &[Kind],
    taken: &mut Taken,
) -> Result<(), GrantStatus> {
    if kinds.contains(&Kind::Device) {
        cx.frames.get(granter.id(), frame, access)?;
        taken.has_device_reference = true;
    }
    if kinds.contains(&Kind::Host) {
        let target = host_target(op.host_addr, op.flags.contains(MapFlags::CONTAINS_PTE))?;
        cx.frames.get(granter.id(), frame, access)?;
        taken.has_host_reference = true;
        cx.mapper.create(&HostMapping {
            target,
            frame,
            access,
            is_user: op.flags.contains(MapFlags::APPLICATION_MAP),
            // Three bits; the mask leaves no more.
            available_bits: (op.flags.bits() >> GUEST_AVAIL_SHIFT & 0b111) as u8,
        })?;
    }
    Ok(())
}

/// What `host_addr` names.
pub(super) fn host_target(host_addr: u64, is_by_entry: bool) -> Result<HostTarget, GrantStatus> {
    if !is_by_entry {
        Ok(HostTarget::Address(Vaddr(host_addr)))
    } else if host_addr.is_multiple_of(ENTRY_BYTES) {
        Ok(HostTarget::Entry(host_addr))
    } else {
        Err(GrantStatus::GeneralError)
    }
}
