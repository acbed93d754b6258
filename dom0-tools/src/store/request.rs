//! What each message means.

use super::client::{Mode, is_allowed};
use super::domains::Host;
use super::operation::{Change, Operation, Outcome, perform};
use super::outbox::WatchName;
use super::path::{Named, Path, Special, parse_node};
use super::perms::{Access, Perms};
use super::quota::{Quota, Refusal};
use super::record::Record;
use super::transaction::Transaction;
use super::tree::Node;
use super::watches::Watch;
use super::wire::{PAYLOAD_BYTES, done, encode_answer, first_text, number, only_text, text, texts};
use super::{ClientId, Store};
use guest_abi::errno::Errno;
use guest_abi::ids::{DomId, Port};
use guest_abi::store_wire::{MessageHeader, MessageType};
use std::sync::Arc;

/// An answer, and what others are told after it.
struct Answer {
    payload: Vec<u8>,
    then: Then,
}

enum Then {
    Nothing,
    Announce(Vec<Change>),
    AnnounceSpecial(Special),
    /// A new watch is told at once.
    Tell(Arc<Watch>),
}

impl From<Vec<u8>> for Answer {
    fn from(payload: Vec<u8>) -> Self {
        Self {
            payload,
            then: Then::Nothing,
        }
    }
}

impl Store {
    /// Answers a request. The answer comes before any watch event that the request causes. Returns how
    /// much work it was, at least 1.
    pub fn handle(
        &mut self,
        host: &mut dyn Host,
        id: ClientId,
        header: &MessageHeader,
        payload: &[u8],
    ) -> u32 {
        if !self.clients.contains_key(&id) {
            return 1;
        }
        self.counts.requests += 1;
        let work = self.work_of(id, header);
        let result = self.answer(host, id, header, payload);
        if log::log_enabled!(log::Level::Trace) {
            trace(id, header, payload, &result);
        }
        let (answer, then) = match result {
            Ok(answer) => (Ok(answer.payload), answer.then),
            Err(refusal) => {
                self.note(id, refusal);
                (Err(refusal.errno()), Then::Nothing)
            }
        };
        if let Some(client) = self.clients.get_mut(&id) {
            let answer = answer.as_deref().map_err(|&error| error);
            client.outbox.push_answer(encode_answer(header, answer));
            self.has_mail.insert(id);
        }
        match then {
            Then::Nothing => {}
            Then::Announce(changes) => self.announce(&changes),
            Then::AnnounceSpecial(special) => self.announce_special(special),
            Then::Tell(watch) => {
                let shown = watch.shown_itself().to_owned();
                self.tell(&watch, &shown);
            }
        }
        self.note_memory(id);
        work
    }

    /// The end of a transaction repeats all that was asked for in it, twice.
    fn work_of(&self, id: ClientId, header: &MessageHeader) -> u32 {
        let is_end = header.message_type == MessageType::TransactionEnd as u32;
        let client = self.clients.get(&id).filter(|_| is_end);
        let transaction = client.and_then(|client| client.transactions.get(&header.tx_id));
        transaction.map_or(1, |one| {
            u32::try_from(2 * one.len()).unwrap_or(u32::MAX).max(1)
        })
    }

    fn answer(
        &mut self,
        host: &mut dyn Host,
        id: ClientId,
        header: &MessageHeader,
        payload: &[u8],
    ) -> Result<Answer, Refusal> {
        let message_type = MessageType::try_from(header.message_type).map_err(|_| Errno::ENOSYS)?;
        if let Some(operation) = self.operation(id, message_type, payload)? {
            return self.operate(id, header.tx_id, operation, message_type, payload);
        }
        match message_type {
            MessageType::Watch => self.watch(id, payload),
            MessageType::Unwatch => self.unwatch(id, payload),
            MessageType::ResetWatches => {
                self.reset(id);
                Ok(done().into())
            }
            MessageType::TransactionStart => self.start_transaction(id, header.tx_id),
            MessageType::TransactionEnd => self.end_transaction(id, header.tx_id, payload),
            MessageType::GetDomainPath => {
                let domain = DomId(number(only_text(payload)?)?);
                Ok(text(Path::home(domain).as_str()).into())
            }
            MessageType::IsDomainIntroduced => {
                let domain = DomId(number(only_text(payload)?)?);
                let is_introduced =
                    domain == DomId::DOM0 || domain == DomId::SELF || self.is_introduced(domain);
                Ok(text(if is_introduced { "T" } else { "F" }).into())
            }
            MessageType::GetPerms | MessageType::SetPerms => {
                self.special_permissions(id, message_type, payload)
            }
            MessageType::Control
            | MessageType::Introduce
            | MessageType::Release
            | MessageType::Resume
            | MessageType::SetTarget => self.administer(host, id, message_type, payload),
            _ => Err(Errno::ENOSYS.into()),
        }
    }

    /// The request about a node that a message is, if it is one.
    fn operation(
        &self,
        id: ClientId,
        message_type: MessageType,
        payload: &[u8],
    ) -> Result<Option<Operation>, Errno> {
        let client = self.clients.get(&id).ok_or(Errno::EINVAL)?;
        let node = |text| parse_node(text, client.actor.domain);
        let is_special = payload.first() == Some(&b'@');
        Ok(Some(match message_type {
            MessageType::Read => Operation::Read(node(only_text(payload)?)?),
            MessageType::Directory => Operation::Directory(node(only_text(payload)?)?),
            MessageType::DirectoryPart => match texts(payload)?.as_slice() {
                [path, _] => Operation::Directory(node(path)?),
                _ => return Err(Errno::EINVAL),
            },
            MessageType::GetPerms if !is_special => Operation::GetPerms(node(only_text(payload)?)?),
            MessageType::Write => {
                let (path, value) = first_text(payload)?;
                Operation::Write(node(path)?, value.into())
            }
            MessageType::Mkdir => Operation::Mkdir(node(only_text(payload)?)?),
            MessageType::Rm => Operation::Remove(node(only_text(payload)?)?),
            MessageType::SetPerms if !is_special => {
                let (path, perms) = first_text(payload)?;
                let perms = Perms::parse(texts(perms)?.into_iter())?;
                Operation::SetPerms(node(path)?, perms)
            }
            _ => return Ok(None),
        }))
    }

    fn operate(
        &mut self,
        id: ClientId,
        transaction: u32,
        operation: Operation,
        message_type: MessageType,
        payload: &[u8],
    ) -> Result<Answer, Refusal> {
        let client = self.clients.get_mut(&id).ok_or(Errno::EINVAL)?;
        if !is_allowed(client.mode, &operation) {
            return Err(Errno::EROFS.into());
        }
        let mut changes = Vec::new();
        let outcome = if transaction == 0 {
            let caller = super::Caller {
                actor: client.actor,
                quotas: &self.quotas,
                other_bytes: client.bytes(),
            };
            perform(&mut self.tree, &caller, &operation, &mut changes)?
        } else {
            let caller = super::Caller {
                actor: client.actor,
                quotas: &self.quotas,
                other_bytes: client.bytes(),
            };
            let transaction = client.transactions.get_mut(&transaction);
            let transaction = transaction.ok_or(Errno::ENOENT)?;
            transaction.perform(&self.tree, &caller, operation)?
        };
        let payload = match outcome {
            Outcome::Value(value) => value.to_vec(),
            Outcome::Perms(perms) => perms.to_wire(),
            Outcome::Done => done(),
            Outcome::Children(node) if message_type == MessageType::DirectoryPart => {
                part_of_children(&node, payload)?
            }
            Outcome::Children(node) => all_children(&node)?,
        };
        Ok(Answer {
            payload,
            then: Then::Announce(changes),
        })
    }

    fn watch(&mut self, id: ClientId, payload: &[u8]) -> Result<Answer, Refusal> {
        let texts = texts(payload)?;
        let (path, token, depth) = match texts.as_slice() {
            [path, token] => (path, token, None),
            [path, token, depth] => (path, token, Some(number(depth)?)),
            _ => return Err(Errno::EINVAL.into()),
        };
        let client = self.clients.get(&id).ok_or(Errno::EINVAL)?;
        let domain = client.actor.domain;
        let named = Named::parse(path, domain)?;
        let is_relative = !matches!(path.first(), Some(b'/' | b'@'));
        let name = WatchName {
            named,
            token: (*token).into(),
        };
        if client.watches.contains_key(&name) {
            return Err(Errno::EEXIST.into());
        }
        let watch = Arc::new(Watch {
            client: id,
            name: Arc::new(name),
            depth,
            relative_to: is_relative.then_some(domain),
        });
        if !client.actor.is_privileged() {
            if let Named::Node(path) = &watch.name.named
                && path.part_in_home().len() as u64 > self.quotas.get(Quota::PathLength)
            {
                return Err(Quota::PathLength.into());
            }
            if client.watches.len() as u64 >= self.quotas.get(Quota::Watches) {
                return Err(Quota::Watches.into());
            }
            let used = self.tree.usage(domain).bytes + client.bytes() + watch.bytes();
            if used > self.quotas.get(Quota::MemoryHard) {
                return Err(Quota::MemoryHard.into());
            }
        }
        if let Some(client) = self.clients.get_mut(&id) {
            client.add_watch(watch.clone());
        }
        self.watches.add(watch.clone());
        if let ClientId::Domain(domain) = id {
            self.record(|| Record::watch(domain, &watch));
        }
        Ok(Answer {
            payload: done(),
            then: Then::Tell(watch),
        })
    }

    fn unwatch(&mut self, id: ClientId, payload: &[u8]) -> Result<Answer, Refusal> {
        let texts = texts(payload)?;
        let [path, token] = texts.as_slice() else {
            return Err(Errno::EINVAL.into());
        };
        let client = self.clients.get_mut(&id).ok_or(Errno::EINVAL)?;
        let name = WatchName {
            named: Named::parse(path, client.actor.domain)?,
            token: (*token).into(),
        };
        let watch = client.remove_watch(&name).ok_or(Errno::ENOENT)?;
        self.watches.remove(&watch);
        if let ClientId::Domain(domain) = id {
            self.record(|| Record::unwatch(domain, &name));
        }
        Ok(done().into())
    }

    fn start_transaction(&mut self, id: ClientId, inside: u32) -> Result<Answer, Refusal> {
        if inside != 0 {
            return Err(Errno::EBUSY.into());
        }
        let limit = self.quotas.get(Quota::Transactions);
        let client = self.clients.get_mut(&id).ok_or(Errno::EINVAL)?;
        if !client.actor.is_privileged() && client.transactions.len() as u64 >= limit {
            return Err(Quota::Transactions.into());
        }
        let number = client.new_transaction_number();
        let transaction = Transaction::begin(&self.tree);
        client.transactions.insert(number, transaction);
        if let ClientId::Domain(domain) = id {
            let domain = domain.0;
            self.record(|| Record::TransactionBegun { domain, number });
        }
        Ok(text(&number.to_string()).into())
    }

    fn end_transaction(
        &mut self,
        id: ClientId,
        number: u32,
        payload: &[u8],
    ) -> Result<Answer, Refusal> {
        let is_commit = match only_text(payload)? {
            b"T" => true,
            b"F" => false,
            _ => return Err(Errno::EINVAL.into()),
        };
        let client = self.clients.get_mut(&id).ok_or(Errno::EINVAL)?;
        let transaction = client.transactions.remove(&number);
        let transaction = transaction.ok_or(Errno::ENOENT)?;
        if let ClientId::Domain(domain) = id {
            let domain = domain.0;
            self.record(|| Record::TransactionEnded { domain, number });
        }
        if !is_commit {
            return Ok(done().into());
        }
        let caller = self.caller_of(id).ok_or(Errno::EINVAL)?;
        match transaction.commit(&self.tree, &caller) {
            Ok((tree, changes)) => {
                self.tree = tree;
                self.counts.commits += 1;
                Ok(Answer {
                    payload: done(),
                    then: Then::Announce(changes),
                })
            }
            Err(_) => {
                self.counts.conflicts += 1;
                Err(Errno::EAGAIN.into())
            }
        }
    }

    /// Permissions of what is watched without being a node: whose holder may be told.
    fn special_permissions(
        &mut self,
        id: ClientId,
        message_type: MessageType,
        payload: &[u8],
    ) -> Result<Answer, Refusal> {
        let client = self.clients.get(&id).ok_or(Errno::EINVAL)?;
        let (name, rest) = first_text(payload)?;
        let Named::Special(special) = Named::parse(name, client.actor.domain)? else {
            return Err(Errno::EINVAL.into());
        };
        let perms = self.perms_of_special(special);
        let access = perms.access_of(&client.actor);
        if message_type == MessageType::GetPerms {
            if !rest.is_empty() {
                return Err(Errno::EINVAL.into());
            }
            if !access.contains(Access::READ) {
                return Err(Errno::EACCES.into());
            }
            return Ok(perms.to_wire().into());
        }
        let new = Perms::parse(texts(rest)?.into_iter())?;
        if !client.actor.is_privileged() {
            return Err(Errno::EACCES.into());
        }
        if client.mode == Mode::ReadOnly {
            return Err(Errno::EROFS.into());
        }
        self.set_special_perms(special, new);
        Ok(done().into())
    }

    /// What only the first domain may ask for.
    fn administer(
        &mut self,
        host: &mut dyn Host,
        id: ClientId,
        message_type: MessageType,
        payload: &[u8],
    ) -> Result<Answer, Refusal> {
        let client = self.clients.get(&id).ok_or(Errno::EINVAL)?;
        if !client.actor.is_privileged() {
            return Err(Errno::EACCES.into());
        }
        if client.mode == Mode::ReadOnly {
            return Err(Errno::EROFS.into());
        }
        let texts = texts(payload)?;
        match (message_type, texts.as_slice()) {
            (MessageType::Control, words) => Ok(self.control(words)?.into()),
            (MessageType::Introduce, [domain, gfn, port]) => {
                // Tools write the frame as a signed number.
                let gfn: i64 = number(gfn)?;
                let gfn = u64::try_from(gfn).map_err(|_| Errno::EINVAL)?;
                let (domain, port) = (DomId(number(domain)?), Port(number(port)?));
                let is_new = self.introduce(host, domain, gfn, port)?;
                let then = if is_new {
                    Then::AnnounceSpecial(Special::IntroduceDomain)
                } else {
                    Then::Nothing
                };
                let payload = done();
                Ok(Answer { payload, then })
            }
            (MessageType::Release, [domain]) => {
                self.release(host, DomId(number(domain)?))?;
                Ok(Answer {
                    payload: done(),
                    then: Then::AnnounceSpecial(Special::ReleaseDomain),
                })
            }
            (MessageType::Resume, [domain]) => {
                self.resume(DomId(number(domain)?))?;
                Ok(done().into())
            }
            (MessageType::SetTarget, [domain, target]) => {
                self.set_target(DomId(number(domain)?), DomId(number(target)?))?;
                Ok(done().into())
            }
            _ => Err(Errno::EINVAL.into()),
        }
    }
}

fn all_children(node: &Node) -> Result<Vec<u8>, Errno> {
    let mut payload = Vec::new();
    for (name, _) in node.children() {
        payload.extend_from_slice(name.as_bytes());
        payload.push(0);
        if payload.len() > PAYLOAD_BYTES {
            return Err(Errno::E2BIG);
        }
    }
    Ok(payload)
}

/// The node's generation, then as many whole names as fit from some byte of all of them on; an empty
/// name ends the last part.
fn part_of_children(node: &Node, request: &[u8]) -> Result<Vec<u8>, Errno> {
    let texts = texts(request)?;
    let [_, offset] = texts.as_slice() else {
        return Err(Errno::EINVAL);
    };
    let offset: usize = number(offset)?;
    let mut payload = text(&node.generation().to_string());
    let mut position = 0;
    for (name, _) in node.children() {
        let start = position;
        position += name.len() + 1;
        if position <= offset {
            continue;
        }
        let skip = offset.saturating_sub(start);
        let rest = name.as_bytes().get(skip..).unwrap_or_default();
        if payload.len() + rest.len() + 1 > PAYLOAD_BYTES {
            return Ok(payload);
        }
        payload.extend_from_slice(rest);
        payload.push(0);
    }
    if payload.len() < PAYLOAD_BYTES {
        payload.push(0);
    }
    Ok(payload)
}

fn trace(id: ClientId, header: &MessageHeader, payload: &[u8], result: &Result<Answer, Refusal>) {
    let shown = payload.get(..80).unwrap_or(payload);
    let outcome = match result {
        Ok(_) => "done".to_owned(),
        Err(refusal) => format!("{:?}", refusal.errno()),
    };
    let kind = MessageType::try_from(header.message_type);
    let kind = kind.map_or("unknown".to_owned(), |kind| format!("{kind:?}"));
    log::trace!(
        "{id}: request {} of type {} ({kind}) in transaction {}, \"{}\": {outcome}",
        header.req_id,
        header.message_type,
        header.tx_id,
        shown.escape_ascii()
    );
}
