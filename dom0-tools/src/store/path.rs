//! Names of nodes, as clients write them and as the tree knows them.

use guest_abi::errno::Errno;
use guest_abi::ids::DomId;
use guest_abi::store_wire::{
    INTRODUCE_DOMAIN, MAX_ABSOLUTE_PATH, MAX_RELATIVE_PATH, RELEASE_DOMAIN,
};
use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// Where the homes of domains are.
pub const HOMES: &str = "/local/domain";

/// The absolute name of a node: `/`, or components of allowed characters, each after a slash.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path(Arc<str>);

impl Path {
    /// The root.
    #[must_use]
    pub fn root() -> Self {
        Self("/".into())
    }

    /// A domain's home.
    #[must_use]
    pub fn home(domain: DomId) -> Self {
        Self(format!("{HOMES}/{}", domain.0).into())
    }

    /// Reads an absolute name.
    ///
    /// # Errors
    ///
    /// `EINVAL` if it is not absolute, too long, ends in a slash, has an empty component or a character
    /// that names do not have.
    pub fn parse(text: &[u8]) -> Result<Self, Errno> {
        let is_well_formed = text.first() == Some(&b'/')
            && text.len() <= MAX_ABSOLUTE_PATH
            && (text.len() == 1 || text.last() != Some(&b'/'))
            && !text.windows(2).any(|pair| pair == b"//")
            && text.iter().all(|&byte| is_name_byte(byte) || byte == b'/');
        let text = str::from_utf8(text).map_err(|_| Errno::EINVAL)?;
        if !is_well_formed {
            return Err(Errno::EINVAL);
        }
        let path = Self(text.into());
        if path.part_in_home().len() > MAX_RELATIVE_PATH && path.part_in_home().len() < path.0.len()
        {
            return Err(Errno::EINVAL);
        }
        Ok(path)
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the root.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.len() == 1
    }

    /// The names on the way from the root, without it.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter(|name| !name.is_empty())
    }

    /// The node above; `None` for the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        match self.0.rsplit_once('/')? {
            ("", _) => Some(Self::root()),
            (parent, _) => Some(Self(parent.into())),
        }
    }

    /// The names of this node and of those above it, from the root on.
    pub fn with_ancestors(&self) -> impl Iterator<Item = &str> {
        let inner = self.0.match_indices('/').skip(1).map(|(end, _)| end);
        let itself = (!self.is_root()).then_some(self.0.len());
        let ends = std::iter::once(1).chain(inner).chain(itself);
        ends.filter_map(|end| self.0.get(..end))
    }

    /// The last component; empty for the root.
    #[must_use]
    pub fn leaf(&self) -> &str {
        self.0.rsplit_once('/').map_or("", |(_, leaf)| leaf)
    }

    /// A node below this one. `name` is a component of another path, or several with slashes between.
    #[must_use]
    pub fn join(&self, name: &str) -> Self {
        if self.is_root() {
            Self(format!("/{name}").into())
        } else {
            Self(format!("{}/{name}", self.0).into())
        }
    }

    /// What of this name comes below `ancestor`: empty for the same node, `None` for a node elsewhere.
    #[must_use]
    pub fn below<'a>(&'a self, ancestor: &Self) -> Option<&'a str> {
        if ancestor.is_root() {
            return Some(&self.0[1..]);
        }
        let rest = self.0.strip_prefix(&*ancestor.0)?;
        if rest.is_empty() {
            Some(rest)
        } else {
            rest.strip_prefix('/')
        }
    }

    /// What comes after a domain's home, or all of it for a node elsewhere: this is what the limit of a
    /// name's length is about.
    #[must_use]
    pub fn part_in_home(&self) -> &str {
        let inside = || {
            let rest = self.0.strip_prefix(HOMES)?.strip_prefix('/')?;
            let (domain, rest) = rest.split_once('/')?;
            domain.parse::<u16>().ok().map(|_| rest)
        };
        inside().unwrap_or(&self.0)
    }
}

/// Names are found by their text.
impl Borrow<str> for Path {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What can be watched without being a node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Special {
    /// A domain has been introduced.
    IntroduceDomain,
    /// A domain has shut down or is gone.
    ReleaseDomain,
}

impl Special {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::IntroduceDomain, Self::ReleaseDomain];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::IntroduceDomain => INTRODUCE_DOMAIN,
            Self::ReleaseDomain => RELEASE_DOMAIN,
        }
    }
}

/// What a client's name means.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Named {
    /// A node.
    Node(Path),
    /// Something that happens to domains.
    Special(Special),
}

impl Named {
    /// Reads a name that `caller` wrote; one without a slash in front is relative to its home.
    ///
    /// # Errors
    ///
    /// `EINVAL` if no node can have this name.
    pub fn parse(text: &[u8], caller: DomId) -> Result<Self, Errno> {
        if text.first() == Some(&b'@') {
            return Special::ALL
                .into_iter()
                .find(|special| special.name().as_bytes() == text)
                .map(Self::Special)
                .ok_or(Errno::EINVAL);
        }
        parse_node(text, caller).map(Self::Node)
    }
}

/// Reads the name of a node that `caller` wrote; one without a slash in front is relative to its home.
///
/// # Errors
///
/// `EINVAL` if no node can have this name.
pub fn parse_node(text: &[u8], caller: DomId) -> Result<Path, Errno> {
    if text.first() == Some(&b'/') {
        return Path::parse(text);
    }
    if matches!(text.first(), None | Some(b'@')) || text.len() > MAX_RELATIVE_PATH {
        return Err(Errno::EINVAL);
    }
    let mut absolute = Path::home(caller).as_str().as_bytes().to_vec();
    absolute.push(b'/');
    absolute.extend_from_slice(text);
    Path::parse(&absolute)
}

const fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'@')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Path {
        Path::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn names_that_no_node_has_are_refused() {
        for bad in [
            "", "a", "//", "/a/", "/a//b", "/a b", "/a.b", "/\u{e4}", "/a\0",
        ] {
            assert_eq!(Path::parse(bad.as_bytes()), Err(Errno::EINVAL), "{bad:?}");
        }
        assert_eq!(Path::parse(b"/\xff"), Err(Errno::EINVAL));
        for good in ["/", "/a", "/A-z_0/@x"] {
            assert_eq!(path(good).as_str(), good);
        }
    }

    #[test]
    fn a_name_is_as_long_as_the_protocol_allows_and_no_longer() {
        let long = |bytes: usize| format!("/{}", "x".repeat(bytes - 1));
        assert!(Path::parse(long(MAX_ABSOLUTE_PATH).as_bytes()).is_ok());
        assert!(Path::parse(long(MAX_ABSOLUTE_PATH + 1).as_bytes()).is_err());
        let relative = "x".repeat(MAX_RELATIVE_PATH);
        assert!(parse_node(relative.as_bytes(), DomId(3)).is_ok());
        assert!(parse_node(format!("{relative}x").as_bytes(), DomId(3)).is_err());
        assert!(Path::parse(format!("/local/domain/3/{relative}x").as_bytes()).is_err());
    }

    #[test]
    fn relative_names_are_in_the_callers_home() {
        let node = parse_node(b"device/vbd", DomId(7)).unwrap();
        assert_eq!(node.as_str(), "/local/domain/7/device/vbd");
        assert_eq!(node.part_in_home(), "device/vbd");
        assert_eq!(parse_node(b"", DomId(7)), Err(Errno::EINVAL));
        assert_eq!(path("/tool/x").part_in_home(), "/tool/x");
    }

    #[test]
    fn ancestors_are_found_by_whole_components() {
        assert_eq!(path("/a/b/c").below(&path("/a")), Some("b/c"));
        assert_eq!(path("/a").below(&path("/a")), Some(""));
        assert_eq!(path("/ab").below(&path("/a")), None);
        assert_eq!(path("/a").below(&path("/a/b")), None);
        assert_eq!(path("/a/b").below(&Path::root()), Some("a/b"));
        assert_eq!(path("/a").parent(), Some(Path::root()));
        assert_eq!(Path::root().parent(), None);
        assert_eq!(path("/a/b").leaf(), "b");
        let names = |text| path(text).with_ancestors().collect::<Vec<_>>().join(" ");
        assert_eq!(names("/a/b"), "/ /a /a/b");
        assert_eq!(names("/"), "/");
    }

    #[test]
    fn only_the_known_special_names_exist() {
        assert_eq!(
            Named::parse(b"@releaseDomain", DomId(0)),
            Ok(Named::Special(Special::ReleaseDomain))
        );
        assert_eq!(
            Named::parse(b"@releasedomain", DomId(0)),
            Err(Errno::EINVAL)
        );
    }
}
