//! Who may read and write a node.
//!
//! A list of entries. The first one names the owner, who may do everything, and says what domains that
//! are not in the list may do. Every further entry is what one domain may do.

use bitflags::bitflags;
use guest_abi::errno::Errno;
use guest_abi::ids::DomId;
use std::sync::Arc;

bitflags! {
    /// What may be done with a node.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Access: u8 {
        /// Read value, children and permissions.
        const READ = 1;
        /// Write, remove, create children.
        const WRITE = 2;
        /// Change permissions.
        const OWN = 4;
    }
}

impl Access {
    /// Reading and writing.
    pub const BOTH: Self = Self::READ.union(Self::WRITE);

    /// The letter by which it travels.
    #[must_use]
    pub const fn letter(self) -> char {
        match (self.contains(Self::READ), self.contains(Self::WRITE)) {
            (false, false) => 'n',
            (true, false) => 'r',
            (false, true) => 'w',
            (true, true) => 'b',
        }
    }

    const fn of_letter(letter: u8) -> Option<Self> {
        match letter {
            b'n' => Some(Self::empty()),
            b'r' => Some(Self::READ),
            b'w' => Some(Self::WRITE),
            b'b' => Some(Self::BOTH),
            _ => None,
        }
    }
}

/// What one domain may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Which domain.
    pub domain: DomId,
    /// What it may do.
    pub access: Access,
}

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Actor {
    /// Which domain.
    pub domain: DomId,
    /// A domain whose rights this one has as well.
    pub target: Option<DomId>,
}

impl Actor {
    /// The first domain.
    pub const DOM0: Self = Self {
        domain: DomId::DOM0,
        target: None,
    };

    /// A domain with no rights but its own.
    #[must_use]
    pub const fn domain(domain: DomId) -> Self {
        Self {
            domain,
            target: None,
        }
    }

    /// Whether everything is allowed and no quota holds.
    #[must_use]
    pub fn is_privileged(&self) -> bool {
        self.domain == DomId::DOM0
    }

    fn is(&self, domain: DomId) -> bool {
        self.domain == domain || self.target == Some(domain)
    }
}

/// A node's list. Never empty. Clones are cheap: nodes share their parents' lists.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Perms(Arc<[Entry]>);

impl Perms {
    /// A list with only an owner.
    #[must_use]
    pub fn owned_by(domain: DomId, others: Access) -> Self {
        Self(Arc::new([Entry {
            domain,
            access: others,
        }]))
    }

    /// Reads the texts of a message, such as `n0` and `r3`.
    ///
    /// # Errors
    ///
    /// `EINVAL` if there is none, or one is not a letter and a domain's number.
    pub fn parse<'a>(texts: impl Iterator<Item = &'a [u8]>) -> Result<Self, Errno> {
        let entries: Option<Arc<[Entry]>> = texts.map(parse_entry).collect();
        match entries {
            Some(entries) if !entries.is_empty() => Ok(Self(entries)),
            _ => Err(Errno::EINVAL),
        }
    }

    /// The entries, the owner's first.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.0
    }

    /// Who owns the node.
    #[must_use]
    pub fn owner(&self) -> DomId {
        self.0.first().map_or(DomId::DOM0, |entry| entry.domain)
    }

    /// The same list with another owner.
    #[must_use]
    pub fn with_owner(&self, domain: DomId) -> Self {
        if self.owner() == domain {
            return self.clone();
        }
        let mut entries = self.0.to_vec();
        if let Some(first) = entries.first_mut() {
            first.domain = domain;
        }
        Self(entries.into())
    }

    /// The list after `domain` has gone: its entries are removed, and what it owned the first domain
    /// owns, which nobody else may touch. `None` if the list does not name it.
    #[must_use]
    pub fn without(&self, domain: DomId) -> Option<Self> {
        if !self.0.iter().any(|entry| entry.domain == domain) {
            return None;
        }
        if self.owner() == domain {
            return Some(Self::owned_by(DomId::DOM0, Access::empty()));
        }
        let rest = self.0.iter().filter(|entry| entry.domain != domain);
        Some(Self(rest.copied().collect()))
    }

    /// What `actor` may do.
    #[must_use]
    pub fn access_of(&self, actor: &Actor) -> Access {
        if actor.is_privileged() || actor.is(self.owner()) {
            return Access::all();
        }
        let mut exceptions = self.0.iter().skip(1);
        exceptions
            .find(|entry| actor.is(entry.domain))
            .or(self.0.first())
            .map_or(Access::empty(), |entry| entry.access)
    }

    /// The texts by which the list travels, each with a terminator.
    #[must_use]
    pub fn to_wire(&self) -> Vec<u8> {
        let mut wire = Vec::new();
        for entry in &*self.0 {
            wire.extend_from_slice(
                format!("{}{}\0", entry.access.letter(), entry.domain.0).as_bytes(),
            );
        }
        wire
    }
}

fn parse_entry(text: &[u8]) -> Option<Entry> {
    let (&letter, number) = text.split_first()?;
    if !number.first()?.is_ascii_digit() {
        return None;
    }
    let domain = DomId(str::from_utf8(number).ok()?.parse().ok()?);
    domain.is_real().then_some(Entry {
        domain,
        access: Access::of_letter(letter)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn perms(text: &str) -> Perms {
        Perms::parse(text.split(' ').map(str::as_bytes)).unwrap()
    }

    fn access(text: &str, domain: u16) -> Access {
        perms(text).access_of(&Actor::domain(DomId(domain)))
    }

    #[test]
    fn the_first_entry_is_the_owner_and_the_default() {
        assert_eq!(access("n3 r5", 3), Access::all());
        assert_eq!(access("n3 r5", 5), Access::READ);
        assert_eq!(access("n3 r5", 6), Access::empty());
        assert_eq!(access("b3 n5", 5), Access::empty());
        assert_eq!(access("w3", 6), Access::WRITE);
        assert_eq!(access("n3", 0), Access::all());
    }

    #[test]
    fn a_target_lends_its_rights() {
        let actor = Actor {
            domain: DomId(9),
            target: Some(DomId(3)),
        };
        assert_eq!(perms("n3").access_of(&actor), Access::all());
        assert_eq!(perms("n0 r3").access_of(&actor), Access::READ);
        assert_eq!(perms("n0 r4").access_of(&actor), Access::empty());
    }

    #[test]
    fn a_domain_that_is_gone_has_no_rights() {
        assert_eq!(perms("n0 r3 w4").without(DomId(3)), Some(perms("n0 w4")));
        assert_eq!(perms("b3 r4").without(DomId(3)), Some(perms("n0")));
        assert_eq!(perms("n0").without(DomId(3)), None);
    }

    #[test]
    fn texts_and_lists_belong_to_each_other() {
        assert_eq!(perms("n0 r3 w4 b5").to_wire(), b"n0\0r3\0w4\0b5\0");
        for bad in [
            "", "n", "x3", "n-1", "n+1", "n65536", "n32752", "n3 ", "r3x",
        ] {
            assert_eq!(
                Perms::parse(bad.split(' ').map(str::as_bytes)),
                Err(Errno::EINVAL),
                "{bad:?}"
            );
        }
        assert_eq!(
            Perms::parse(std::iter::empty::<&[u8]>()),
            Err(Errno::EINVAL)
        );
    }
}
