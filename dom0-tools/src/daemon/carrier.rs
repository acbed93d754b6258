//! All connections, and whose turn it is.

use super::connection::{Connection, Progress};
use super::state_file::StateFile;
use super::transport::{Broken, Transport};
use crate::store::client::Mode;
use crate::store::domains::{Host, Status};
use crate::store::record::{Record, StreamRecord};
use crate::store::{ClientId, Store};
use guest_abi::errno::Errno;
use guest_abi::ids::{DomId, Port};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;

/// The machine: other domains, and the rings by which they are reached.
pub trait Platform {
    /// Connects to a domain's ring.
    ///
    /// # Errors
    ///
    /// What the client that asks is told.
    fn connect(&mut self, domain: DomId, gfn: u64, port: Port)
    -> Result<Box<dyn Transport>, Errno>;

    /// Connects to the ring of this domain's own kernel, if it has one.
    ///
    /// # Errors
    ///
    /// If it has one that can't be used.
    fn connect_own_kernel(&mut self) -> io::Result<Option<Box<dyn Transport>>>;

    /// How a domain is.
    fn status(&mut self, domain: DomId) -> Status;
}

/// What has happened in the machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PlatformEvent {
    /// A domain's ring has something new.
    Ring(DomId),
    /// Some domain has shut down or is gone.
    Domains,
}

/// The store's view of the machine while one client is served.
struct Links<'a, P> {
    platform: &'a mut P,
    connections: &'a mut BTreeMap<ClientId, Connection>,
    connected: &'a mut Vec<DomId>,
}

impl<P: Platform> Host for Links<'_, P> {
    fn connect(&mut self, domain: DomId, gfn: u64, port: Port) -> Result<(), Errno> {
        let transport = self.platform.connect(domain, gfn, port)?;
        let id = ClientId::Domain(domain);
        self.connections.insert(id, Connection::new(id, transport));
        self.connected.push(domain);
        Ok(())
    }

    fn disconnect(&mut self, domain: DomId) {
        self.connections.remove(&ClientId::Domain(domain));
    }

    fn status(&mut self, domain: DomId) -> Status {
        self.platform.status(domain)
    }
}

/// See the module.
pub struct Carrier<P> {
    store: Store,
    platform: P,
    connections: BTreeMap<ClientId, Connection>,
    queue: VecDeque<ClientId>,
    queued: BTreeSet<ClientId>,
    state_file: Option<StateFile>,
    last_socket: u32,
}

impl<P: Platform> Carrier<P> {
    /// Begins with an empty store.
    pub fn new(platform: P) -> Self {
        Self {
            store: Store::new(),
            platform,
            connections: BTreeMap::new(),
            queue: VecDeque::new(),
            queued: BTreeSet::new(),
            state_file: None,
            last_socket: 0,
        }
    }

    /// Goes on where a former daemon was, and writes down what happens from now on. To be called before
    /// anybody is connected.
    ///
    /// # Errors
    ///
    /// If the file can't be written.
    pub fn keep_state(
        &mut self,
        state_file: StateFile,
        former: Option<Vec<Record>>,
    ) -> io::Result<()> {
        if let Some(records) = former {
            self.take_up(records);
        }
        self.store.keep_records();
        self.state_file = Some(state_file);
        self.replace_state_file()
    }

    fn take_up(&mut self, records: Vec<Record>) {
        let mut streams: BTreeMap<u16, StreamRecord> = BTreeMap::new();
        for record in &records {
            match record {
                Record::Stream(stream) => {
                    streams.insert(stream.domain, stream.clone());
                }
                Record::DomainGone { domain } => {
                    streams.remove(domain);
                }
                _ => {}
            }
        }
        let has_state = !records.is_empty();
        if !has_state {
            return;
        }
        if self.store.restore(records).is_err() {
            log::error!(
                "the state file does not make sense: the store begins empty, running guests must be started again"
            );
            self.store = Store::new();
            return;
        }
        let known: Vec<_> = self
            .store
            .domains()
            .map(|(id, domain)| (id, *domain))
            .collect();
        for (id, domain) in known {
            if id == DomId::DOM0 {
                continue;
            }
            match self.platform.connect(id, domain.gfn, domain.port) {
                Ok(transport) => {
                    let stream = streams.remove(&id.0);
                    self.add_domain(id, transport, stream);
                }
                Err(error) => {
                    // If it is gone, that is found by looking at the domains.
                    log::warn!(
                        "domain {}: its ring can't be connected again ({error:?})",
                        id.0
                    );
                }
            }
        }
        if let Some(stream) = streams.remove(&DomId::DOM0.0) {
            // Used when this domain's own kernel is connected.
            self.connect_own_kernel_at(Some(stream));
        }
        self.store.tell_everybody();
        log::info!(
            "taken up: {} nodes, {} domains",
            self.store.tree().total_usage().nodes,
            self.store.domains().count()
        );
    }

    /// Connects the kernel of this domain, unless it is connected.
    pub fn connect_own_kernel(&mut self) {
        if !self
            .connections
            .contains_key(&ClientId::Domain(DomId::DOM0))
        {
            self.connect_own_kernel_at(None);
            self.commit(None, &[DomId::DOM0]);
        }
    }

    fn connect_own_kernel_at(&mut self, stream: Option<StreamRecord>) {
        match self.platform.connect_own_kernel() {
            Ok(Some(transport)) => {
                self.store.connect_own_kernel();
                self.add_domain(DomId::DOM0, transport, stream);
            }
            Ok(None) => {}
            Err(error) => log::error!("this domain's kernel can't be connected: {error}"),
        }
    }

    fn add_domain(
        &mut self,
        domain: DomId,
        transport: Box<dyn Transport>,
        stream: Option<StreamRecord>,
    ) {
        let id = ClientId::Domain(domain);
        let mut connection = Connection::new(id, transport);
        if let Some(stream) = stream {
            connection.resume(stream);
        }
        self.connections.insert(id, connection);
        self.is_ready(id);
    }

    /// A number for a connection by a socket.
    pub fn new_socket_number(&mut self) -> u32 {
        loop {
            self.last_socket = self.last_socket.wrapping_add(1);
            if !self.is_connected(ClientId::Socket(self.last_socket)) {
                return self.last_socket;
            }
        }
    }

    /// A process has connected by a socket.
    pub fn add_socket(
        &mut self,
        number: u32,
        transport: Box<dyn Transport>,
        mode: Mode,
    ) -> ClientId {
        let id = self.store.connect_socket(number, mode);
        self.connections.insert(id, Connection::new(id, transport));
        self.is_ready(id);
        id
    }

    /// How many connections there are by sockets.
    #[must_use]
    pub fn nr_sockets(&self) -> usize {
        let ids = self.connections.keys();
        ids.filter(|id| matches!(id, ClientId::Socket(_))).count()
    }

    /// Whether the client is connected.
    #[must_use]
    pub fn is_connected(&self, id: ClientId) -> bool {
        self.connections.contains_key(&id)
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The store, to set its limits.
    pub fn store_mut(&mut self) -> &mut Store {
        &mut self.store
    }

    /// Something has happened on a connection: it gets a turn.
    pub fn is_ready(&mut self, id: ClientId) {
        if self.connections.contains_key(&id) && self.queued.insert(id) {
            self.queue.push_back(id);
        }
    }

    /// Something has happened in the machine.
    pub fn happened(&mut self, event: PlatformEvent) {
        match event {
            PlatformEvent::Ring(domain) => self.is_ready(ClientId::Domain(domain)),
            PlatformEvent::Domains => self.look_at_domains(),
        }
    }

    /// Looks which domains have shut down or are gone.
    pub fn look_at_domains(&mut self) {
        let mut connected = Vec::new();
        let mut links = Links {
            platform: &mut self.platform,
            connections: &mut self.connections,
            connected: &mut connected,
        };
        self.store.look_at_domains(&mut links);
        self.commit(None, &[]);
        self.deliver();
    }

    /// Gives up to so many turns; whether somebody still waits for one.
    pub fn run(&mut self, turns: usize) -> bool {
        for _ in 0..turns {
            let Some(id) = self.queue.pop_front() else {
                return false;
            };
            self.queued.remove(&id);
            self.turn(id);
        }
        !self.queue.is_empty()
    }

    fn turn(&mut self, id: ClientId) {
        let Some(mut connection) = self.connections.remove(&id) else {
            return;
        };
        let mut connected = Vec::new();
        let mut links = Links {
            platform: &mut self.platform,
            connections: &mut self.connections,
            connected: &mut connected,
        };
        let taken = connection.take_requests(&mut self.store, &mut links);
        self.commit(Some(&mut connection), &connected);
        for domain in connected {
            self.is_ready(ClientId::Domain(domain));
        }
        let sent = taken.and_then(|taken| Ok((taken, connection.send_answers()?)));
        let ended = match sent {
            Ok((Progress::None, Progress::None)) => None,
            Ok(_) => {
                if self.queued.insert(id) {
                    self.queue.push_back(id);
                }
                None
            }
            Err(why) => Some(why),
        };
        match (ended, id) {
            (None, _) => {
                self.connections.insert(id, connection);
            }
            (Some(why), ClientId::Domain(domain)) => {
                if connection.fail(why) {
                    log::warn!(
                        "domain {}: {}; it is not served until it is introduced again or asks for a new connection; this is said once",
                        domain.0,
                        reason(why)
                    );
                }
                self.connections.insert(id, connection);
            }
            (Some(why), ClientId::Socket(_)) => {
                if why != Broken::Closed {
                    log::warn!("{id}: {}; it is disconnected", reason(why));
                }
                self.store.disconnect(id);
            }
        }
        self.deliver();
    }

    /// Those who have something to be sent get a turn.
    fn deliver(&mut self) {
        while let Some(id) = self.store.next_with_mail() {
            self.is_ready(id);
        }
    }

    /// Writes down what has happened: changes, how far the streams of `connection` are, and
    /// those of domains that have been connected.
    fn commit(&mut self, connection: Option<&mut Connection>, connected: &[DomId]) {
        let mut records = self.store.take_records();
        let Some(state_file) = &mut self.state_file else {
            return;
        };
        let new = connected.iter().filter_map(|&domain| {
            let connection = self.connections.get(&ClientId::Domain(domain))?;
            connection.full_stream_record()
        });
        records.extend(new.map(Record::Stream));
        let stream = connection.and_then(|connection| connection.stream_record());
        records.extend(stream.map(Record::Stream));
        if records.is_empty() {
            return;
        }
        let added = state_file.add(&records);
        let replaced = if added.is_err() || state_file.is_long() {
            self.replace_state_file()
        } else {
            Ok(())
        };
        if let Err(error) = replaced {
            log::error!(
                "the state file can't be written ({error}): it is removed, and guests will not survive a restart of this daemon"
            );
            if let Some(state_file) = self.state_file.take() {
                state_file.discard();
            }
        }
    }

    fn replace_state_file(&mut self) -> io::Result<()> {
        let Some(state_file) = &mut self.state_file else {
            return Ok(());
        };
        let store = &self.store;
        let streams = self.connections.values();
        let streams = streams.filter_map(Connection::full_stream_record);
        state_file.replace(store.all_records().chain(streams.map(Record::Stream)))
    }
}

const fn reason(why: Broken) -> &'static str {
    match why {
        Broken::Closed => "the connection is closed",
        Broken::RingIndex => "an index of its ring is one that it can't have",
        Broken::Protocol => "it has sent a message that is longer than the protocol allows",
    }
}
