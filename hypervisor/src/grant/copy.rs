//! `GNTTABOP_copy`.
#![forbid(unsafe_code)]

use super::active::Kind;
use super::environment::{Access, Context, Frames, GrantDomain, GrantDomains};
use super::table::{GrantTable, Use};
use crate::speculation;
use guest_abi::grant_op::{self, CopyFlags, CopyPtr, GrantStatus};
use guest_abi::grant_table::AccessFlags;
use guest_abi::ids::{DomId, GrantRef, Mfn, PAGE_SIZE};

/// What one end of a copy names. Neighbours in an array often name the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Name {
    Grant(DomId, GrantRef),
    Own(Mfn),
}

/// A frame at one end of a copy, referenced, and its grant (if it is by grant) in use.
struct End<R> {
    name: Name,
    owner: R,
    frame: Mfn,
    access: Access,
}

/// A series of copies by one call. It keeps both frames of the last element, which serve the next if it
/// names the same, and must be [finished](Self::finish).
#[must_use = "grants stay in use and frames referenced until this is finished"]
pub struct Copier<'a, L: GrantDomains, F: Frames, M> {
    cx: Context<'a, L, F, M>,
    source: Option<End<L::Ref<'a>>>,
    dest: Option<End<L::Ref<'a>>>,
}

impl<L: GrantDomains, F: Frames, M> core::fmt::Debug for Copier<'_, L, F, M> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Copier")
            .field("source", &self.source.as_ref().map(|end| end.name))
            .field("dest", &self.dest.as_ref().map(|end| end.name))
            .finish_non_exhaustive()
    }
}

impl<'a, L: GrantDomains, F: Frames, M> Copier<'a, L, F, M> {
    /// Nothing held.
    pub const fn new(cx: Context<'a, L, F, M>) -> Self {
        Self {
            cx,
            source: None,
            dest: None,
        }
    }

    /// Does one element and fills its status.
    pub fn copy(&mut self, op: &mut grant_op::Copy) {
        let status = match self.try_copy(op) {
            Ok(()) => GrantStatus::Okay,
            Err(status) => status,
        };
        op.status = status.number();
    }

    fn try_copy(&mut self, op: &grant_op::Copy) -> Result<(), GrantStatus> {
        let (cx, is_source_grant, is_dest_grant) = (
            self.cx,
            op.flags.contains(CopyFlags::SOURCE_GREF),
            op.flags.contains(CopyFlags::DEST_GREF),
        );
        // Both names are judged before either frame is touched.
        let (source_name, source_owner) = resolve(cx, &op.source, is_source_grant)?;
        let (dest_name, dest_owner) = resolve(cx, &op.dest, is_dest_grant)?;
        let from = hold(
            cx,
            &mut self.source,
            source_name,
            source_owner,
            Access::Read,
        )?;
        let to = hold(cx, &mut self.dest, dest_name, dest_owner, Access::Write)?;
        for offset in [op.source.offset, op.dest.offset] {
            if usize::from(offset) + usize::from(op.len) > PAGE_SIZE {
                return Err(GrantStatus::BadCopyArg);
            }
        }
        cx.frames
            .copy((from, op.source.offset), (to, op.dest.offset), op.len);
        Ok(())
    }

    /// Lets go of both frames.
    pub fn finish(mut self) {
        release(self.cx.frames, &mut self.source);
        release(self.cx.frames, &mut self.dest);
    }
}

/// Checks what one end names, short of the frame.
fn resolve<'a, L: GrantDomains, F, M>(
    cx: Context<'a, L, F, M>,
    end: &CopyPtr,
    is_grant: bool,
) -> Result<(Name, L::Ref<'a>), GrantStatus> {
    let is_self = end.domid == DomId::SELF;
    // A frame by its number can only be one's own, and is named so.
    if !is_grant && !is_self {
        return Err(GrantStatus::PermissionDenied);
    }
    let owner = if is_self { cx.caller.id() } else { end.domid };
    let domain = cx.domains.get(owner).ok_or(GrantStatus::BadDomain)?;
    let name = if is_grant {
        Name::Grant(owner, end.gref())
    } else {
        Name::Own(end.mfn())
    };
    Ok((name, domain))
}

/// Makes `slot` hold the frame that `name` stands for, and returns the frame.
fn hold<L: GrantDomains, R, F: Frames, M>(
    cx: Context<'_, L, F, M>,
    slot: &mut Option<End<R>>,
    name: Name,
    owner: R,
    access: Access,
) -> Result<Mfn, GrantStatus>
where
    R: core::ops::Deref<Target = L::Domain>,
{
    if let Some(held) = slot.as_ref().filter(|held| held.name == name) {
        return Ok(held.frame);
    }
    release(cx.frames, slot);
    let frame = match name {
        Name::Own(frame) => {
            cx.frames.get(owner.id(), frame, access)?;
            frame
        }
        Name::Grant(_, gref) => {
            let grantee = cx.caller.id();
            let refused = AccessFlags::empty();
            let frame = GrantTable::begin(&*owner, gref, grantee, access, &[Kind::Host], refused)?;
            if let Err(error) = cx.frames.get(owner.id(), frame, access) {
                Use {
                    gref,
                    access,
                    kind: Kind::Host,
                }
                .end(&*owner);
                return Err(error.into());
            }
            frame
        }
    };
    speculation::barrier();
    *slot = Some(End {
        name,
        owner,
        frame,
        access,
    });
    Ok(frame)
}

fn release<R, D: GrantDomain, F: Frames>(frames: &F, slot: &mut Option<End<R>>)
where
    R: core::ops::Deref<Target = D>,
{
    if let Some(End {
        name,
        owner,
        frame,
        access,
    }) = slot.take()
    {
        frames.put(frame, access);
        if let Name::Grant(_, gref) = name {
            Use {
                gref,
                access,
                kind: Kind::Host,
            }
            .end(&*owner);
        }
    }
}
