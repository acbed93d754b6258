//! Lists of updates: page-table entries by machine address, and the machine-to-physical table.

#![forbid(unsafe_code)]

use super::error::{MmError, Stop};
use super::lock::PtLock;
use super::platform::{Platform, Privilege, Slot};
use super::reference::Mm;
use super::update::{AccessedDirty, Owed};
use guest_abi::ids::{DomId, Mfn};

/// One request as the guest wrote it, copied in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Request {
    /// Bits 0 and 1: kind of request. The rest: machine address of the entry, or of a frame.
    pub ptr: u64,
    /// The new entry, or guest frame number.
    pub val: u64,
}

/// Who works on whose tables with whose frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Parties {
    frame_owner: DomId,
}

impl Parties {
    /// `caller` works on the tables of `table_owner` and maps frames of `frame_owner`.
    ///
    /// # Errors
    /// [`MmError::NotPrivileged`].
    pub fn new(
        privilege: &impl Privilege,
        caller: DomId,
        table_owner: DomId,
        frame_owner: DomId,
    ) -> Result<Self, MmError> {
        let may = |target| target == caller || privilege.may_map_foreign(caller, target);
        // Device memory is a matter of rights to each frame, not of privilege.
        if may(table_owner) && (frame_owner == DomId::IO || may(frame_owner)) {
            Ok(Self { frame_owner })
        } else {
            Err(MmError::NotPrivileged)
        }
    }

    /// A domain that works on its own tables with its own frames.
    #[must_use]
    pub const fn alone(domain: DomId) -> Self {
        Self {
            frame_owner: domain,
        }
    }

    /// Whose frames are mapped.
    #[must_use]
    pub const fn frame_owner(self) -> DomId {
        self.frame_owner
    }
}

impl<P: Platform> Mm<'_, P> {
    /// Carries out `requests` in order, and counts in `done` those that are through. The processor is
    /// given up between two requests at most, and inside of one; the caller goes on with the rest of
    /// the list.
    ///
    /// What is owed is added to `owed` and is due even after an error or when preempted.
    ///
    /// # Errors
    /// That of the first request that fails; the list ends there.
    pub fn mmu_update(
        &self,
        lock: &mut PtLock<'_>,
        parties: Parties,
        requests: &[Request],
        done: &mut usize,
        owed: &mut Owed,
    ) -> Result<(), Stop> {
        let mut is_first = true;
        for &request in requests {
            if !is_first && self.platform.should_yield() {
                return Err(Stop::Preempted);
            }
            is_first = false;
            *owed = owed.and(self.mmu_update_one(lock, parties, request)?);
            *done = done.saturating_add(1);
        }
        Ok(())
    }

    /// Carries out one request.
    ///
    /// # Errors
    /// [`MmError::UnknownRequest`]; [`MmError::BadFrame`] when the table is not the lock's domain's, or
    /// the frame not the frame owner's; those of [`Self::update_any`].
    #[inline]
    pub fn mmu_update_one(
        &self,
        lock: &mut PtLock<'_>,
        parties: Parties,
        request: Request,
    ) -> Result<Owed, Stop> {
        const KIND: u64 = 3;
        let accessed_dirty = match request.ptr & KIND {
            0 | 3 => AccessedDirty::Replace,
            2 => AccessedDirty::Preserve,
            1 => return Ok(self.set_machine_to_phys(parties, request)?),
            _ => return Err(MmError::UnknownRequest.into()),
        };
        let address = request.ptr & !KIND;
        if address & 7 != 0 {
            return Err(MmError::BadFrame.into());
        }
        let table = Mfn::of_address(address);
        let slot = Slot::of_address(address);
        self.update_any(
            lock,
            table,
            slot,
            request.val,
            accessed_dirty,
            parties.frame_owner,
        )
    }

    fn set_machine_to_phys(&self, parties: Parties, request: Request) -> Result<Owed, MmError> {
        let mfn = Mfn::of_address(request.ptr);
        let frame = self
            .get_ref(mfn, parties.frame_owner)
            .map_err(|_| MmError::BadFrame)?;
        self.platform.set(mfn, request.val);
        self.put_ref(mfn, frame);
        Ok(Owed::NOTHING)
    }
}
