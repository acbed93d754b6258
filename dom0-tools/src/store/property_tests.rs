//! Random requests of several clients, against a model that is as simple as can be: nodes in one flat
//! map, permissions by the letter of the rule, transactions that copy all of it.

use super::testing::Fixture;
use super::{ClientId, DomId};
use guest_abi::store_wire::MessageType::{
    self, Directory, GetPerms, Mkdir, Read, Rm, SetPerms, TransactionEnd, Watch, Write,
};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Domain 0, and two guests.
const DOMAINS: [u16; 3] = [0, 3, 4];

#[derive(Clone, PartialEq, Eq, Debug)]
struct ModelNode {
    value: String,
    /// The owner's first.
    perms: Vec<(char, u16)>,
}

type ModelTree = BTreeMap<String, ModelNode>;
type Answer = Result<String, &'static str>;

fn may(node: &ModelNode, domain: u16, right: char) -> bool {
    let granted = |letter| letter == 'b' || letter == right;
    let (default, owner) = node.perms[0];
    if domain == 0 || domain == owner {
        return true;
    }
    let exception = node.perms[1..].iter().find(|(_, named)| *named == domain);
    granted(exception.map_or(default, |(letter, _)| *letter))
}

fn parent(path: &str) -> &str {
    match path.rfind('/') {
        Some(0) | None => "/",
        Some(end) => &path[..end],
    }
}

fn nearest<'t>(tree: &'t ModelTree, mut path: &str) -> &'t ModelNode {
    loop {
        if let Some(node) = tree.get(path) {
            return node;
        }
        path = parent(path);
    }
}

/// What one request does, and the names of the nodes that watches are told of.
fn model(tree: &mut ModelTree, domain: u16, request: &Request) -> (Answer, Vec<String>) {
    let path = request.path.as_str();
    let right = match request.message_type {
        Read | Directory | GetPerms => 'r',
        _ => 'w',
    };
    let exists = match tree.get(path) {
        Some(node) if !may(node, domain, right) => return (Err("EACCES"), vec![]),
        None if !may(nearest(tree, path), domain, right) => return (Err("EACCES"), vec![]),
        node => node.is_some(),
    };
    let told = vec![path.to_owned()];
    match request.message_type {
        Write | Mkdir => {
            if exists {
                if request.message_type == Mkdir {
                    return (Ok("OK|".into()), vec![]);
                }
                tree.get_mut(path).unwrap().value = request.argument.clone();
                return (Ok("OK|".into()), told);
            }
            let mut perms = nearest(tree, path).perms.clone();
            if domain != 0 {
                perms[0].1 = domain;
            }
            let mut missing = path;
            while !tree.contains_key(missing) {
                let node = ModelNode {
                    value: String::new(),
                    perms: perms.clone(),
                };
                tree.insert(missing.to_owned(), node);
                missing = parent(missing);
            }
            if request.message_type == Write {
                tree.get_mut(path).unwrap().value = request.argument.clone();
            }
            (Ok("OK|".into()), told)
        }
        Rm if exists => {
            let below = format!("{path}/");
            let gone = tree.keys().filter(|name| name.starts_with(&below)).cloned();
            let told: Vec<_> = told.into_iter().chain(gone).collect();
            tree.retain(|name, _| name != path && !name.starts_with(&below));
            (Ok("OK|".into()), told)
        }
        Rm if tree.contains_key(parent(path)) => (Ok("OK|".into()), vec![]),
        _ if !exists => (Err("ENOENT"), vec![]),
        Read => (Ok(tree[path].value.clone()), vec![]),
        Directory => {
            let below = format!("{path}/");
            let names = tree.keys().filter_map(|name| name.strip_prefix(&below));
            let children = names.filter(|name| !name.contains('/'));
            (
                Ok(children.map(|name| format!("{name}|")).collect()),
                vec![],
            )
        }
        GetPerms => {
            let perms = tree[path].perms.iter();
            let shown = perms.map(|(letter, domain)| format!("{letter}{domain}|"));
            (Ok(shown.collect()), vec![])
        }
        SetPerms => {
            let perms: Vec<_> = request
                .argument
                .split_terminator('\0')
                .map(|text| (text.chars().next().unwrap(), text[1..].parse().unwrap()))
                .collect();
            let owner = tree[path].perms[0].1;
            if domain != 0 && domain != owner {
                return (Err("EACCES"), vec![]);
            }
            if domain != 0 && perms[0].1 != owner {
                return (Err("EPERM"), vec![]);
            }
            tree.get_mut(path).unwrap().perms = perms;
            (Ok("OK|".into()), told)
        }
        _ => unreachable!("not generated"),
    }
}

#[derive(Clone, Debug)]
struct Request {
    message_type: MessageType,
    path: String,
    argument: String,
}

impl Request {
    fn payload(&self) -> String {
        match self.message_type {
            Write | SetPerms => format!("{}\0{}", self.path, self.argument),
            _ => format!("{}\0", self.path),
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Ask(usize, Request),
    Begin(usize),
    /// Ends a transaction; `true`: to commit.
    End(usize, bool),
}

fn request() -> impl Strategy<Value = Request> {
    let name = prop::sample::select(vec!["a", "b", "c"]);
    let path =
        prop::collection::vec(name, 1..4).prop_map(|names| format!("/s/{}", names.join("/")));
    let path = prop_oneof![8 => path, 1 => Just("/s".to_owned())];
    let perms = prop::collection::vec(
        (
            prop::sample::select(vec!['n', 'r', 'w', 'b']),
            prop::sample::select(DOMAINS.to_vec()),
        ),
        1..4,
    )
    .prop_map(|list| {
        list.iter()
            .map(|(letter, domain)| format!("{letter}{domain}\0"))
            .collect::<String>()
    });
    let types = prop::sample::select(vec![
        Read, Read, Directory, GetPerms, Write, Write, Write, Mkdir, Rm, SetPerms,
    ]);
    (types, path, "[xyz]{0,2}", perms).prop_map(|(message_type, path, value, perms)| Request {
        message_type,
        path,
        argument: if message_type == SetPerms {
            perms
        } else {
            value
        },
    })
}

fn step() -> impl Strategy<Value = Step> {
    let client = 0..DOMAINS.len();
    prop_oneof![
        12 => (client.clone(), request()).prop_map(|(client, request)| Step::Ask(client, request)),
        1 => client.clone().prop_map(Step::Begin),
        2 => (client, prop::bool::weighted(0.8)).prop_map(|(client, commit)| Step::End(client, commit)),
    ]
}

/// A transaction of the model: all that was asked, with the answers.
struct ModelTransaction {
    number: u32,
    tree: ModelTree,
    asked: Vec<(Request, Answer)>,
}

fn tree_of(fix: &mut Fixture) -> ModelTree {
    let nodes = fix.store.tree().nodes();
    nodes
        .filter(|(path, _)| path.as_str() == "/" || path.as_str().starts_with("/s"))
        .map(|(path, node)| {
            let wire = String::from_utf8(node.perms().to_wire()).unwrap();
            let perms = wire.split_terminator('\0');
            let node = ModelNode {
                value: String::from_utf8(node.value().to_vec()).unwrap(),
                perms: perms
                    .map(|text| (text.chars().next().unwrap(), text[1..].parse().unwrap()))
                    .collect(),
            };
            (path.as_str().to_owned(), node)
        })
        .collect()
}

/// Whether all events are about nodes that have changed.
fn check_told(events: &[String], told: &[String]) -> Result<(), TestCaseError> {
    for event in events {
        let path = event.split('|').next().unwrap().to_owned();
        prop_assert!(told.contains(&path), "{path} was not changed: {told:?}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn answers_and_nodes_are_those_of_the_model(steps in prop::collection::vec(step(), 1..120)) {
        let mut fix = Fixture::new();
        let dom0 = fix.dom0;
        fix.add_guest(3);
        fix.add_guest(4);
        fix.ask(dom0, Write, 0, "/s\0").unwrap();
        fix.ask(dom0, SetPerms, 0, "/s\0b0\0").unwrap();
        fix.ask(dom0, Watch, 0, "/s\0all\0").unwrap();
        fix.events(dom0);
        let clients = [dom0, ClientId::Domain(DomId(3)), ClientId::Domain(DomId(4))];
        let mut tree = tree_of(&mut fix);
        let mut open: [Option<ModelTransaction>; 3] = [None, None, None];
        for step in steps {
            let mut told = Vec::new();
            match step {
                Step::Ask(client, request) => {
                    let domain = DOMAINS[client];
                    let (number, tree) = match &mut open[client] {
                        Some(transaction) => (transaction.number, &mut transaction.tree),
                        None => (0, &mut tree),
                    };
                    let (expected, changed) = model(tree, domain, &request);
                    let answer = fix.ask(clients[client], request.message_type, number, &request.payload());
                    let shown = expected.clone().map_err(str::to_owned);
                    prop_assert_eq!(answer, shown, "domain {} {:?}", domain, request);
                    match &mut open[client] {
                        Some(transaction) => transaction.asked.push((request, expected)),
                        None => told = changed,
                    }
                }
                Step::Begin(client) => {
                    if open[client].is_none() {
                        let number = fix.begin(clients[client]);
                        open[client] = Some(ModelTransaction { number, tree: tree.clone(), asked: vec![] });
                    }
                }
                Step::End(client, is_commit) => {
                    let Some(transaction) = open[client].take() else { continue };
                    let end = if is_commit { "T\0" } else { "F\0" };
                    let answer = fix.ask(clients[client], TransactionEnd, transaction.number, end);
                    if !is_commit {
                        prop_assert_eq!(answer, Ok("OK|".to_owned()));
                    } else {
                        // It succeeds if and only if all answers are those that it would have got now.
                        let mut now = tree.clone();
                        let is_true = transaction.asked.iter().all(|(request, answer)| {
                            let (expected, changed) = model(&mut now, DOMAINS[client], request);
                            told.extend(changed);
                            expected == *answer
                        });
                        if is_true {
                            prop_assert_eq!(answer, Ok("OK|".to_owned()));
                            tree = now;
                        } else {
                            prop_assert_eq!(answer, Err("EAGAIN".to_owned()));
                            told.clear();
                        }
                    }
                }
            }
            let events = fix.events(dom0);
            check_told(&events, &told)?;
            // A watch of all is told of each change; what went with a removed node is not named again.
            prop_assert_eq!(events.is_empty(), told.is_empty(), "{:?} {:?}", events, told);
            prop_assert_eq!(&tree_of(&mut fix), &tree);
            prop_assert_eq!(fix.store.find_damage(), None);
        }
    }
}
