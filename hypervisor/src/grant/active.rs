//! Active entries: how much each grant of a domain is in use right now.
#![forbid(unsafe_code)]

use super::environment::{Access, SharedEntries};
use guest_abi::grant_op::GrantStatus;
use guest_abi::grant_table::{AccessFlags, EntryType, TYPE_MASK};
use guest_abi::ids::{DomId, GrantRef, Mfn};

/// How often a head that the guest keeps changing is tried again before the grant counts as unusable.
/// A guest may change flags rightly while a grant is taken into use, but not all the time.
const HEAD_RETRIES: u32 = 4;

/// A count at which no more uses of that kind are begun. One operation adds at most one to a count, so
/// none ever overflows.
const PIN_LIMIT: u8 = 128;

/// What a use is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A mapping for CPUs, or a copy in progress.
    Host,
    /// A mapping for devices.
    Device,
}

/// Number of uses, by kind and access.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Pins {
    /// Mappings for CPUs that can't write.
    pub host_read: u8,
    /// Mappings for CPUs that can write.
    pub host_write: u8,
    /// Mappings for devices that can't write.
    pub device_read: u8,
    /// Mappings for devices that can write.
    pub device_write: u8,
}

impl Pins {
    fn count(&mut self, kind: Kind, access: Access) -> &mut u8 {
        match (kind, access) {
            (Kind::Host, Access::Read) => &mut self.host_read,
            (Kind::Host, Access::Write) => &mut self.host_write,
            (Kind::Device, Access::Read) => &mut self.device_read,
            (Kind::Device, Access::Write) => &mut self.device_write,
        }
    }

    /// Whether there is any use.
    #[must_use]
    pub const fn any(self) -> bool {
        self.host_read | self.host_write | self.device_read | self.device_write != 0
    }

    /// Whether there is a use that can write.
    #[must_use]
    pub const fn any_write(self) -> bool {
        self.host_write | self.device_write != 0
    }

    const fn is_full(self) -> bool {
        (self.host_read | self.host_write | self.device_read | self.device_write) & PIN_LIMIT != 0
    }
}

/// One grant's use. While `pins` has any, `grantee` and `frame` are fixed, whatever the
/// guest writes into the shared entry; otherwise they mean nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Active {
    /// Who uses it.
    pub(super) grantee: DomId,
    /// Which frame it was when its use began. Entries of version 1 hold 32 bits.
    pub(super) frame: u32,
    /// How much.
    pub(super) pins: Pins,
}

impl Active {
    /// Not in use.
    pub(super) const IDLE: Self = Self {
        grantee: DomId::INVALID,
        frame: 0,
        pins: Pins {
            host_read: 0,
            host_write: 0,
            device_read: 0,
            device_write: 0,
        },
    };

    /// Begins a use for each of `kinds` and returns the frame.
    ///
    /// Consults the shared entry for the first use and for the first that writes, and only then. It must
    /// permit the access, to `grantee`, and marks itself in use in the same exchange, so that the guest
    /// either has revoked it before or can see that it may not.
    pub(super) fn pin<E: SharedEntries>(
        &mut self,
        entries: &E,
        gref: GrantRef,
        grantee: DomId,
        access: Access,
        kinds: &[Kind],
        refused_flags: AccessFlags,
    ) -> Result<Mfn, GrantStatus> {
        if self.pins.any() && (self.grantee != grantee || self.pins.is_full()) {
            return Err(GrantStatus::GeneralError);
        }
        if !self.pins.any() {
            mark_in_use(entries, gref, grantee, access, refused_flags)?;
            // After the exchange: a guest that keeps to the rules wrote the frame before the flags, and
            // leaves it alone from here on.
            self.frame = entries.load_frame(gref);
            self.grantee = grantee;
        } else if access == Access::Write && !self.pins.any_write() {
            mark_in_use(entries, gref, grantee, access, refused_flags)?;
            if entries.load_frame(gref) != self.frame {
                // The guest re-used the entry under a reader. It does not get to grant this frame by it.
                self.unmark(entries, gref, access);
                return Err(GrantStatus::GeneralError);
            }
        }
        for kind in kinds {
            let count = self.pins.count(*kind, access);
            *count = count.saturating_add(1);
        }
        Ok(Mfn(u64::from(self.frame)))
    }

    /// Ends a use. The caller has given up the frame by now, translations included.
    pub(super) fn unpin<E: SharedEntries>(
        &mut self,
        entries: &E,
        gref: GrantRef,
        access: Access,
        kind: Kind,
    ) {
        let count = self.pins.count(kind, access);
        debug_assert!(*count != 0, "use of {gref} ended twice");
        *count = count.saturating_sub(1);
        self.unmark(entries, gref, access);
    }

    /// Clears what the shared entry says about uses, if the one that ended was the last of its sort.
    fn unmark<E: SharedEntries>(&self, entries: &E, gref: GrantRef, ended: Access) {
        let mut stale = AccessFlags::empty();
        if ended == Access::Write && !self.pins.any_write() {
            stale |= AccessFlags::WRITING;
        }
        if !self.pins.any() {
            stale |= AccessFlags::READING;
        }
        if !stale.is_empty() {
            entries.clear_flags(gref, stale.bits());
        }
    }
}

/// The halves of a head.
const fn split(head: u32) -> (u16, DomId) {
    (head as u16, DomId((head >> 16) as u16))
}

/// Checks that an entry permits the access and marks it in use, in one exchange.
fn mark_in_use<E: SharedEntries>(
    entries: &E,
    gref: GrantRef,
    grantee: DomId,
    access: Access,
    refused_flags: AccessFlags,
) -> Result<(), GrantStatus> {
    let marks = match access {
        Access::Read => AccessFlags::READING,
        Access::Write => AccessFlags::READING | AccessFlags::WRITING,
    };
    let mut head = entries.load_head(gref);
    for _ in 0..=HEAD_RETRIES {
        let (flags, named) = split(head);
        let is_refused = flags & refused_flags.bits() != 0
            || access == Access::Write && flags & AccessFlags::READONLY.bits() != 0;
        if flags & TYPE_MASK != EntryType::PermitAccess.number() || named != grantee || is_refused {
            return Err(GrantStatus::GeneralError);
        }
        match entries.exchange_head(gref, head, head | u32::from(marks.bits())) {
            Ok(()) => return Ok(()),
            Err(now) => head = now,
        }
    }
    Err(GrantStatus::GeneralError)
}
