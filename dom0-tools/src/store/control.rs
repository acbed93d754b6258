//! What `xenstore-control` asks for.

use super::quota::Quota;
use super::tree::{Tree, Usage};
use super::wire::{PAYLOAD_BYTES, number};
use super::{ClientId, Store};
use guest_abi::errno::Errno;
use guest_abi::ids::DomId;
use std::collections::BTreeMap;
use std::fmt::Write;

/// A command.
struct Command {
    name: &'static str,
    arguments: &'static str,
    what: &'static str,
    run: fn(&mut Store, &[&str]) -> Result<String, Errno>,
}

const COMMANDS: &[Command] = &[
    Command {
        name: "check",
        arguments: "",
        what: "look whether what is counted is what is there",
        run: |store, words| {
            no_more(words)?;
            Ok(match store.find_damage() {
                None => "OK\n".into(),
                Some(damage) => format!("{damage}\n"),
            })
        },
    },
    Command {
        name: "clients",
        arguments: "",
        what: "who is connected, with watches, transactions and what waits",
        run: Store::show_clients,
    },
    Command {
        name: "counts",
        arguments: "",
        what: "what has been done since the start",
        run: Store::show_counts,
    },
    Command {
        name: "help",
        arguments: "",
        what: "this list",
        run: |_, words| {
            no_more(words)?;
            Ok(help())
        },
    },
    Command {
        name: "log",
        arguments: "[on|off]",
        what: "write every request into the log, or stop that",
        run: set_log,
    },
    Command {
        name: "memreport",
        arguments: "",
        what: "nodes and bytes of each domain",
        run: Store::show_memory,
    },
    Command {
        name: "print",
        arguments: "TEXT",
        what: "write a line into the log",
        run: |_, words| {
            log::info!("xenstore-control: {}", words.join(" "));
            Ok("OK\n".into())
        },
    },
    Command {
        name: "quota",
        arguments: "[DOMID | set NAME VALUE]",
        what: "the limits of guests, what one of them uses, or set a limit",
        run: Store::quota,
    },
];

impl Store {
    pub(super) fn control(&mut self, words: &[&[u8]]) -> Result<Vec<u8>, Errno> {
        let words: Option<Vec<&str>> = words.iter().map(|word| str::from_utf8(word).ok()).collect();
        let words = words.ok_or(Errno::EINVAL)?;
        let (&name, rest) = words.split_first().ok_or(Errno::EINVAL)?;
        let command = COMMANDS.iter().find(|command| command.name == name);
        let mut answer = (command.ok_or(Errno::ENOSYS)?.run)(self, rest)?;
        if answer.len() >= PAYLOAD_BYTES {
            let more = "\n... (more than fits a message)\n";
            let end = answer.floor_char_boundary(PAYLOAD_BYTES - 1 - more.len());
            answer.truncate(end);
            answer.push_str(more);
        }
        let mut payload = answer.into_bytes();
        payload.push(0);
        Ok(payload)
    }

    /// The first difference between what is counted and what is there.
    #[must_use]
    pub fn find_damage(&self) -> Option<String> {
        let mut used: BTreeMap<DomId, Usage> = BTreeMap::new();
        for (path, node) in self.tree.nodes() {
            let usage = used.entry(node.perms().owner()).or_default();
            usage.nodes += 1;
            usage.bytes += Tree::cost(path.leaf(), node.value(), node.perms());
        }
        for (domain, usage) in &used {
            if self.tree.usage(*domain) != *usage {
                let counted = self.tree.usage(*domain);
                return Some(format!("{domain} has {usage:?}, counted {counted:?}"));
            }
        }
        let sum = used.values().map(|usage| usage.nodes).sum::<u64>();
        if sum != self.tree.total_usage().nodes {
            return Some("nodes are counted for a domain that has none".into());
        }
        let listed: usize = self.clients.values().map(|one| one.watches.len()).sum();
        let found = self.watches.iter().count();
        if listed != found {
            return Some(format!("clients have {listed} watches, {found} are told"));
        }
        for (id, client) in &self.clients {
            let bytes: u64 = client.watches.values().map(|watch| watch.bytes()).sum();
            let transactions: u64 = client.transactions.values().map(|one| one.bytes()).sum();
            if client.bytes() < bytes + transactions {
                return Some(format!("{id} has more bytes than counted"));
            }
        }
        None
    }

    fn show_clients(&mut self, words: &[&str]) -> Result<String, Errno> {
        no_more(words)?;
        let mut shown = String::new();
        for (id, client) in &self.clients {
            let outbox = &client.outbox;
            let _ = writeln!(
                shown,
                "{id}: {} watches, {} transactions, {} bytes; waiting: {} answers, {} bytes of events",
                client.watches.len(),
                client.transactions.len(),
                client.bytes(),
                outbox.answers(),
                outbox.event_bytes(),
            );
        }
        Ok(shown)
    }

    fn show_counts(&mut self, words: &[&str]) -> Result<String, Errno> {
        no_more(words)?;
        let counts = self.counts;
        Ok(format!(
            "requests: {}\ncommits: {}\nconflicts: {}\nevents: {}\ncoalesced: {}\n",
            counts.requests, counts.commits, counts.conflicts, counts.events, counts.coalesced
        ))
    }

    fn show_memory(&mut self, words: &[&str]) -> Result<String, Errno> {
        no_more(words)?;
        let all = self.tree.total_usage();
        let mut shown = format!("all: {} nodes, {} bytes\n", all.nodes, all.bytes);
        let known = self.domains.keys().copied();
        let mut domains: Vec<_> = known.chain([DomId::DOM0]).collect();
        domains.sort_unstable();
        domains.dedup();
        for domain in domains {
            let usage = self.tree.usage(domain);
            let client = self.clients.get(&ClientId::Domain(domain));
            let other = client.map_or(0, |client| client.bytes());
            let _ = writeln!(
                shown,
                "domain {}: {} nodes, {} bytes, {other} bytes of watches and transactions",
                domain.0, usage.nodes, usage.bytes
            );
        }
        Ok(shown)
    }

    fn quota(&mut self, words: &[&str]) -> Result<String, Errno> {
        match words {
            [] => {
                let mut shown = String::new();
                for quota in Quota::ALL {
                    let (name, limit) = (quota.name(), self.quotas.get(quota));
                    let _ = writeln!(shown, "{name:<18} {limit:>9}  {}", quota.meaning());
                }
                Ok(shown)
            }
            ["set", name, limit] => {
                let quota = Quota::named(name).ok_or(Errno::EINVAL)?;
                let limit = number(limit.as_bytes())?;
                self.quotas.set(quota, limit);
                log::info!("the quota {name} is {limit} now");
                Ok("OK\n".into())
            }
            [domain] => self.show_use(DomId(number(domain.as_bytes())?)),
            _ => Err(Errno::EINVAL),
        }
    }

    fn show_use(&self, domain: DomId) -> Result<String, Errno> {
        let client = self.clients.get(&ClientId::Domain(domain));
        let client = client.ok_or(Errno::ENOENT)?;
        let usage = self.tree.usage(domain);
        let mut shown = String::new();
        for (quota, used) in [
            (Quota::Nodes, usage.nodes),
            (Quota::Watches, client.watches.len() as u64),
            (Quota::Transactions, client.transactions.len() as u64),
            (Quota::Outstanding, client.outbox.answers() as u64),
            (Quota::MemoryHard, usage.bytes + client.bytes()),
            (Quota::EventBytes, client.outbox.event_bytes()),
        ] {
            let (name, limit) = (quota.name(), self.quotas.get(quota));
            let _ = writeln!(shown, "{name:<18} {used:>9} of {limit:>9}");
        }
        Ok(shown)
    }
}

fn no_more(words: &[&str]) -> Result<(), Errno> {
    if words.is_empty() {
        Ok(())
    } else {
        Err(Errno::EINVAL)
    }
}

fn set_log(_: &mut Store, words: &[&str]) -> Result<String, Errno> {
    let level = match words {
        [] => {
            let is_on = log::max_level() == log::LevelFilter::Trace;
            return Ok(format!("log is {}\n", if is_on { "on" } else { "off" }));
        }
        ["on"] => log::LevelFilter::Trace,
        ["off"] => log::LevelFilter::Info,
        _ => return Err(Errno::EINVAL),
    };
    log::set_max_level(level);
    Ok("OK\n".into())
}

fn help() -> String {
    let mut shown = String::new();
    for command in COMMANDS {
        let usage = format!("{} {}", command.name, command.arguments);
        let _ = writeln!(shown, "{usage:<32} {}", command.what);
    }
    shown
}
