//! The store, as `xend` uses it.

use super::protocol::Fault;
use crate::client::connection::{Connection, Failure};
use guest_abi::ids::{DomId, Mfn, Port};
use guest_abi::store_wire::{MAX_PAYLOAD, MessageType};

/// A node that is made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewNode {
    /// Where.
    pub path: String,
    /// Its value.
    pub value: String,
    /// Its permissions; `None` for those of the node above.
    pub perms: Option<Vec<String>>,
}

/// A name and a value.
pub type Pair<'p> = (&'p str, String);

/// How often a transaction is tried that others disturb.
const TRIES: u32 = 20;

/// A connection to the store.
pub trait Nodes {
    /// Sets a value; makes the node and those above it.
    ///
    /// # Errors
    ///
    /// The store's.
    fn write(&mut self, path: &str, value: &str) -> Result<(), Fault>;

    /// Sets values below a node, one after the other. Where one is refused, those behind it may be set or not.
    ///
    /// # Errors
    ///
    /// The store's.
    fn write_all(&mut self, directory: &str, pairs: &[Pair<'_>]) -> Result<(), Fault> {
        pairs
            .iter()
            .try_for_each(|(name, value)| self.write(&format!("{directory}/{name}"), value))
    }

    /// Removes nodes and all below them, those that there are.
    ///
    /// # Errors
    ///
    /// The store's.
    fn remove_all(&mut self, paths: &[String]) -> Result<(), Fault> {
        paths.iter().try_for_each(|path| self.remove(path))
    }

    /// Makes nodes, all at once or none.
    ///
    /// # Errors
    ///
    /// The store's.
    fn write_together(&mut self, nodes: &[NewNode]) -> Result<(), Fault>;

    /// A node's value; `None` if there is no such node.
    ///
    /// # Errors
    ///
    /// The store's.
    fn read(&mut self, path: &str) -> Result<Option<String>, Fault>;

    /// Removes a node and all below it, if there is one.
    ///
    /// # Errors
    ///
    /// The store's.
    fn remove(&mut self, path: &str) -> Result<(), Fault>;

    /// The names of a node's children.
    ///
    /// # Errors
    ///
    /// The store's.
    fn children(&mut self, path: &str) -> Result<Vec<String>, Fault>;

    /// Sets permissions, such as `n0 r3`.
    ///
    /// # Errors
    ///
    /// The store's.
    fn set_perms(&mut self, path: &str, perms: &[String]) -> Result<(), Fault>;

    /// Sets the same permissions of many nodes.
    ///
    /// # Errors
    ///
    /// The store's.
    fn set_all_perms(&mut self, paths: &[String], perms: &[String]) -> Result<(), Fault> {
        paths
            .iter()
            .try_for_each(|path| self.set_perms(path, perms))
    }

    /// Tells the store of a new domain's ring.
    ///
    /// # Errors
    ///
    /// The store's.
    fn introduce(&mut self, domain: DomId, ring: Mfn, port: Port) -> Result<(), Fault>;

    /// Tells the store that a domain is gone.
    ///
    /// # Errors
    ///
    /// The store's.
    fn release(&mut self, domain: DomId) -> Result<(), Fault>;
}

fn fault(doing: &str, path: &str, failure: &Failure) -> Fault {
    match failure {
        Failure::Refused(name) if name == "EQUOTA" || name == "ENOSPC" => Fault::Text(format!(
            "the store's quota is hit: {path} is not {doing}; `xenstore-control quota` shows the limits"
        )),
        Failure::Refused(_) => {
            Fault::Text(format!("{path} is not {doing} in the store: {failure}"))
        }
        Failure::TooLong => Fault::Text(format!(
            "{path} is not {doing} in the store: with its name it has more than {MAX_PAYLOAD} bytes; make it shorter"
        )),
        _ => Fault::Text(format!(
            "the store does not answer: {failure}; is xenstored running?"
        )),
    }
}

/// Why one of many requests is refused, or all of them.
struct Refused(Fault);

impl Refused {
    fn new(doing: &str, path: &str, failure: Failure) -> Self {
        Self(fault(doing, path, &failure))
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self::new("reached", "the node", failure)
    }
}

impl From<Refused> for Fault {
    fn from(Refused(fault): Refused) -> Self {
        fault
    }
}

fn decimal_texts(numbers: &[u64]) -> Vec<String> {
    numbers.iter().map(u64::to_string).collect()
}

impl Nodes for Connection {
    fn write(&mut self, path: &str, value: &str) -> Result<(), Fault> {
        Self::write(self, 0, path, value.as_bytes())
            .map_err(|failure| fault("written", path, &failure))
    }

    fn write_all(&mut self, directory: &str, pairs: &[Pair<'_>]) -> Result<(), Fault> {
        let path = |index: usize| {
            let name = pairs.get(index).map_or("", |(name, _)| name);
            format!("{directory}/{name}")
        };
        let payloads: Vec<_> = pairs
            .iter()
            .map(|(name, value)| format!("{directory}/{name}\0{value}").into_bytes())
            .collect();
        self.ask_all(MessageType::Write, &payloads, |index, answer| {
            answer
                .map(drop)
                .map_err(|failure| Refused::new("written", &path(index), failure))
        })
        .map_err(Fault::from)
    }

    fn remove_all(&mut self, paths: &[String]) -> Result<(), Fault> {
        let payloads: Vec<_> = paths
            .iter()
            .map(|path| format!("{path}\0").into_bytes())
            .collect();
        let path = |index: usize| paths.get(index).map_or("", String::as_str);
        self.ask_all(MessageType::Rm, &payloads, |index, answer| match answer {
            Err(failure) if failure.is("ENOENT") => Ok(()),
            answer => answer
                .map(drop)
                .map_err(|failure| Refused::new("removed", path(index), failure)),
        })
        .map_err(Fault::from)
    }

    fn write_together(&mut self, nodes: &[NewNode]) -> Result<(), Fault> {
        let mut tries = 0;
        let written = self.in_transaction(|store, transaction| -> Result<(), Failure> {
            tries += 1;
            if tries > TRIES {
                return Err(Failure::Refused("EAGAIN".to_owned()));
            }
            for node in nodes {
                Self::write(store, transaction, &node.path, node.value.as_bytes())?;
                let Some(perms) = &node.perms else { continue };
                let mut texts = vec![node.path.as_str()];
                texts.extend(perms.iter().map(String::as_str));
                store.ask_texts(MessageType::SetPerms, transaction, &texts)?;
            }
            Ok(())
        });
        let first = nodes.first().map_or("nothing", |node| &node.path);
        written.map_err(|failure| fault("written", first, &failure))
    }

    fn read(&mut self, path: &str) -> Result<Option<String>, Fault> {
        match Self::read(self, 0, path) {
            Ok(value) => Ok(Some(String::from_utf8_lossy(&value).into_owned())),
            Err(failure) if failure.is("ENOENT") => Ok(None),
            Err(failure) => Err(fault("read", path, &failure)),
        }
    }

    fn remove(&mut self, path: &str) -> Result<(), Fault> {
        match self.ask_texts(MessageType::Rm, 0, &[path]) {
            Ok(_) => Ok(()),
            Err(failure) if failure.is("ENOENT") => Ok(()),
            Err(failure) => Err(fault("removed", path, &failure)),
        }
    }

    fn children(&mut self, path: &str) -> Result<Vec<String>, Fault> {
        match Self::children(self, 0, path) {
            Ok(names) => Ok(names),
            Err(failure) if failure.is("ENOENT") => Ok(Vec::new()),
            Err(failure) => Err(fault("listed", path, &failure)),
        }
    }

    fn set_perms(&mut self, path: &str, perms: &[String]) -> Result<(), Fault> {
        let mut texts = vec![path];
        texts.extend(perms.iter().map(String::as_str));
        self.ask_texts(MessageType::SetPerms, 0, &texts)
            .map(drop)
            .map_err(|failure| fault("given its permissions", path, &failure))
    }

    fn set_all_perms(&mut self, paths: &[String], perms: &[String]) -> Result<(), Fault> {
        let perms: String = perms.iter().map(|perm| format!("{perm}\0")).collect();
        let payloads: Vec<_> = paths
            .iter()
            .map(|path| format!("{path}\0{perms}").into_bytes())
            .collect();
        let path = |index: usize| paths.get(index).map_or("", String::as_str);
        self.ask_all(MessageType::SetPerms, &payloads, |index, answer| {
            answer
                .map(drop)
                .map_err(|failure| Refused::new("given its permissions", path(index), failure))
        })
        .map_err(Fault::from)
    }

    fn introduce(&mut self, domain: DomId, ring: Mfn, port: Port) -> Result<(), Fault> {
        let numbers = decimal_texts(&[domain.0.into(), ring.0, port.0.into()]);
        let texts: Vec<_> = numbers.iter().map(String::as_str).collect();
        self.ask_texts(MessageType::Introduce, 0, &texts)
            .map(drop)
            .map_err(|failure| fault("introduced", "the domain", &failure))
    }

    fn release(&mut self, domain: DomId) -> Result<(), Fault> {
        let number = domain.0.to_string();
        match self.ask_texts(MessageType::Release, 0, &[&number]) {
            Ok(_) => Ok(()),
            // It has noticed by itself that the domain is gone.
            Err(Failure::Refused(_)) => Ok(()),
            Err(failure) => Err(fault("released", "the domain", &failure)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_store_refuses_is_a_sentence() {
        let told = |name: &str| {
            let refused = Failure::Refused(name.to_owned());
            fault("written", "/local/domain/3/name", &refused).to_string()
        };
        for name in ["EQUOTA", "ENOSPC"] {
            assert_eq!(
                told(name),
                "the store's quota is hit: /local/domain/3/name is not written; `xenstore-control quota` shows the limits"
            );
        }
        assert!(told("EACCES").starts_with("/local/domain/3/name is not written in the store: "));
        assert_eq!(
            fault("written", "/vm/1/description", &Failure::TooLong).to_string(),
            "/vm/1/description is not written in the store: with its name it has more than 4096 bytes; make it shorter"
        );
    }
}
