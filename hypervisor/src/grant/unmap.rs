//! `GNTTABOP_unmap_grant_ref` and `GNTTABOP_unmap_and_replace`, in two phases.
//!
//! First each element's mappings are removed and what they held is collected. Then, after one flush
//! for the whole batch, it is released. Nothing about a grant is let go before the flush: not the frame's
//! reference, not the use that keeps the granter from revoking.
#![forbid(unsafe_code)]

use super::active::Kind;
use super::environment::{Access, Context, Frames, GrantDomain, GrantDomains, HostTarget, Mapper};
use super::handles::{Handle, Mapping};
use super::map::host_target;
use super::table::Use;
use guest_abi::grant_op::{GrantStatus, UnmapAndReplace, UnmapGrantRef};
use guest_abi::ids::{GrantRef, Mfn, Vaddr};

/// Elements that one flush serves.
pub const BATCH: usize = 32;
/// What the guest asks to remove from a handle's mappings.
#[derive(Clone, Copy)]
struct Request {
    handle: Handle,
    /// Zero: leave the mapping for CPUs.
    host_addr: u64,
    /// Zero: leave the mapping for devices.
    dev_bus_addr: u64,
    /// The address whose entry is moved to `host_addr`.
    replacement: Option<Vaddr>,
}

/// What an element leaves behind when its mappings are gone from the page tables, or from a device's
/// reach: for each kind a reference on the frame and a use of the grant.
struct Owed<R> {
    granter: R,
    frame: Mfn,
    gref: GrantRef,
    access: Access,
    host: bool,
    device: bool,
}

/// The second half of a batch of unmaps. Must be [completed](Self::complete); until then the mappings may
/// live on in translation buffers, and granters can't revoke.
#[must_use = "grants stay in use and frames referenced until this is completed"]
pub struct Unmapped<R> {
    owed: [Option<Owed<R>>; BATCH],
    /// Elements taken so far, in `owed` those that left something behind.
    elements: usize,
    needs_flush: bool,
}

impl<R> core::fmt::Debug for Unmapped<R> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Unmapped")
            .field("elements", &self.elements)
            .field("needs_flush", &self.needs_flush)
            .finish_non_exhaustive()
    }
}

impl<R> Unmapped<R> {
    /// Nothing owed yet.
    pub const fn new() -> Self {
        Self {
            owed: [const { None }; BATCH],
            elements: 0,
            needs_flush: false,
        }
    }

    /// Whether there is no room for another element: complete it first.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.elements >= BATCH
    }

    /// Flushes the caller's translations if any are owed, then lets go of the frames and ends the uses,
    /// in that order: a granter who sees the use end finds no reference left on its frame. The batch is
    /// empty afterwards and may be filled again.
    pub fn complete<'a, L, F, M>(&mut self, cx: Context<'a, L, F, M>)
    where
        L: GrantDomains<Ref<'a> = R> + 'a,
        R: core::ops::Deref<Target = L::Domain>,
        F: Frames,
        M: Mapper,
    {
        if self.needs_flush {
            cx.mapper.flush();
        }
        for owed in self
            .owed
            .iter_mut()
            .take(self.elements)
            .filter_map(Option::take)
        {
            let Owed {
                granter,
                frame,
                gref,
                access,
                host,
                device,
            } = owed;
            for (is_owed, kind) in [(host, Kind::Host), (device, Kind::Device)] {
                if is_owed {
                    cx.frames.put(frame, access);
                    Use { gref, access, kind }.end(&*granter);
                }
            }
        }
        self.elements = 0;
        self.needs_flush = false;
    }
}

impl<R> Default for Unmapped<R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<R> Drop for Unmapped<R> {
    fn drop(&mut self) {
        // Dropping it leaks, which is safe, and a bug of the hypervisor's.
        debug_assert!(self.elements == 0, "a batch of unmaps was not completed");
    }
}

/// First phase of `GNTTABOP_unmap_grant_ref` for one element. `batch` is not full.
pub fn unmap<'a, L: GrantDomains, F: Frames, M: Mapper>(
    cx: Context<'a, L, F, M>,
    op: &mut UnmapGrantRef,
    batch: &mut Unmapped<L::Ref<'a>>,
) {
    let request = Request {
        handle: Handle(op.handle),
        host_addr: op.host_addr,
        dev_bus_addr: op.dev_bus_addr,
        replacement: None,
    };
    op.status = remove(cx, request, batch).number();
}

/// First phase of `GNTTABOP_unmap_and_replace` for one element. `batch` is not full.
pub fn unmap_and_replace<'a, L: GrantDomains, F: Frames, M: Mapper>(
    cx: Context<'a, L, F, M>,
    op: &mut UnmapAndReplace,
    batch: &mut Unmapped<L::Ref<'a>>,
) {
    let request = Request {
        handle: Handle(op.handle),
        host_addr: op.host_addr,
        dev_bus_addr: 0,
        replacement: (op.new_addr != 0).then_some(Vaddr(op.new_addr)),
    };
    op.status = remove(cx, request, batch).number();
}

fn remove<'a, L: GrantDomains, F: Frames, M: Mapper>(
    cx: Context<'a, L, F, M>,
    request: Request,
    batch: &mut Unmapped<L::Ref<'a>>,
) -> GrantStatus {
    let Some(slot) = batch.owed.get_mut(batch.elements) else {
        return GrantStatus::Eagain;
    };
    batch.elements += 1;
    let Some((held, mapping)) = cx.caller.grants().handles().hold(request.handle) else {
        return GrantStatus::BadHandle;
    };
    match remove_mappings(cx, request, mapping) {
        Ok(owed) => {
            batch.needs_flush |= owed.host;
            held.put(Mapping {
                has_host: mapping.has_host && !owed.host,
                has_device: mapping.has_device && !owed.device,
                ..mapping
            });
            *slot = Some(owed);
            GrantStatus::Okay
        }
        Err(status) => {
            held.put(mapping);
            status
        }
    }
}

/// Removes what the request names and says what is owed for it. On an error nothing has been removed.
fn remove_mappings<'a, L: GrantDomains, F: Frames, M: Mapper>(
    cx: Context<'a, L, F, M>,
    request: Request,
    mapping: Mapping,
) -> Result<Owed<L::Ref<'a>>, GrantStatus> {
    // The handle's uses keep the granter, the entry and the frame as they are.
    let granter = cx
        .domains
        .get(mapping.granter)
        .ok_or(GrantStatus::BadDomain)?;
    let frame = granter
        .grants()
        .frame_in_use(mapping.gref)
        .ok_or(GrantStatus::BadHandle)?;
    let host = mapping.has_host && request.host_addr != 0;
    let device = mapping.has_device && request.dev_bus_addr != 0;

    // What may fail comes before what can't be undone.
    if device && request.dev_bus_addr != frame.address() {
        return Err(GrantStatus::BadDevAddr);
    }
    if host {
        let target = host_target(request.host_addr, mapping.is_by_entry)?;
        match (request.replacement, target) {
            (None, target) => cx.mapper.destroy(target, frame, mapping.access)?,
            (Some(source), HostTarget::Address(target)) => {
                cx.mapper.replace(target, frame, mapping.access, source)?;
            }
            (Some(_), HostTarget::Entry(_)) => return Err(GrantStatus::GeneralError),
        }
    }
    Ok(Owed {
        granter,
        frame,
        gref: mapping.gref,
        access: mapping.access,
        host,
        device,
    })
}

/// How far a walk over a domain's handles came.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Released {
    /// All are free.
    Done,
    /// Asked to stop; go on from this handle.
    At(Handle),
}

/// The end of a domain: releases what it has mapped of others' grants, from `first` (start with 0).
/// Stops when `should_stop` says so, after at least one handle.
///
/// The domain runs no more, and its page tables are gone: the references that its level-1 entries held
/// went with them, and no translation of it is left. What remains are the uses, and the references for
/// devices.
pub fn release_all<L: GrantDomains, F: Frames>(
    domains: &L,
    domain: &L::Domain,
    frames: &F,
    first: Handle,
    mut should_stop: impl FnMut() -> bool,
) -> Released {
    let handles = domain.grants().handles();
    for number in first.0..handles.limit() {
        if number != first.0 && should_stop() {
            return Released::At(Handle(number));
        }
        let Some((held, mapping)) = handles.hold(Handle(number)) else {
            continue;
        };
        let granter = domains.get(mapping.granter);
        let frame = granter
            .as_ref()
            .and_then(|granter| granter.grants().frame_in_use(mapping.gref));
        if let (Some(granter), Some(frame)) = (granter, frame) {
            let end = |kind| {
                Use {
                    gref: mapping.gref,
                    access: mapping.access,
                    kind,
                }
                .end(&*granter);
            };
            if mapping.has_device {
                frames.put(frame, mapping.access);
                end(Kind::Device);
            }
            if mapping.has_host {
                end(Kind::Host);
            }
        }
        held.free();
    }
    Released::Done
}
