//! All consoles: which there are, and moving their bytes.

use super::flow::{Backlog, DEFAULT_LIMIT, RateLimit};
use super::hypervisor_log::about_gap;
use super::line_times::{LineTimes, Times};
use super::ring::Console;
use super::terminal::Terminal;
use crate::daemon::log_file::{LogFile, Readers};
use crate::store::domains::Status;
use guest_abi::console_ring::{IN_SIZE, OUT_SIZE};
use guest_abi::ids::{DomId, Port};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What is needed of the machine.
pub trait ConsolePlatform {
    /// Connects to a domain's console.
    ///
    /// # Errors
    ///
    /// If it can't be mapped or bound.
    fn connect(&mut self, domain: DomId, frame: u64, port: Port) -> io::Result<Box<dyn Console>>;

    /// Makes a terminal for it, and waits for what is typed there.
    ///
    /// # Errors
    ///
    /// If there are none left.
    fn open_terminal(&mut self, domain: DomId) -> io::Result<Box<dyn Terminal>>;

    /// How a domain is.
    fn status(&mut self, domain: DomId) -> Status;
}

/// What is needed of the store.
pub trait Lookup {
    /// The names of a node's children; none if it does not exist.
    fn children(&mut self, path: &str) -> Vec<String>;
    /// A node's value, if it exists.
    fn read(&mut self, path: &str) -> Option<String>;
    /// Sets a node's value, if another node exists: what belongs to a guest must not come back when it has gone.
    fn write_beside(&mut self, other: &str, path: &str, value: &str);
    /// From now on, it is told of changes of these nodes and of no others.
    fn follow(&mut self, paths: BTreeSet<String>);
}

/// Where a console's ring is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Place {
    frame: u64,
    port: Port,
}

struct GuestConsole {
    place: Place,
    console: Box<dyn Console>,
    terminal: Box<dyn Terminal>,
    backlog: Backlog,
    rate: RateLimit,
    log: Option<LogFile>,
    lines: LineTimes,
    is_broken: bool,
}

/// Opens the file of what a guest prints.
fn open_log(directory: &Path, name: &str) -> io::Result<LogFile> {
    let name: String = name
        .chars()
        .map(|letter| {
            if letter == '/' || letter.is_control() {
                '_'
            } else {
                letter
            }
        })
        .collect();
    // What is typed in a guest may be a secret, and may be shown by it.
    LogFile::open(&directory.join(format!("guest-{name}.log")), Readers::Owner)
}

/// What happens when a guest has printed as much as is kept, and nobody reads it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Overflow {
    /// The oldest is thrown away.
    Discard,
    /// The guest waits.
    Keep,
}

/// How consoles are served.
#[derive(Debug)]
pub struct Manner {
    /// Where what guests print is logged; `None`: nowhere.
    pub log_directory: Option<PathBuf>,
    /// Of the lines of these logs.
    pub times: Times,
    /// See there.
    pub overflow: Overflow,
    /// What each guest may print for long.
    pub bytes_a_second: u64,
}

/// How long who is attached has to read the last words of a guest that is gone: a terminal that is closed forgets them.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What is left of the console of a guest that is gone.
struct Closing {
    terminal: Box<dyn Terminal>,
    backlog: Backlog,
    at: Instant,
}

/// How much of a guest's output is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Turn {
    /// No more than a ring has, so that all get theirs.
    Usual,
    /// The guest is gone: all of it.
    Last,
}

/// See the module.
pub struct ConsoleHost<P> {
    platform: P,
    consoles: BTreeMap<DomId, GuestConsole>,
    manner: Manner,
    closing: BTreeMap<DomId, Closing>,
    /// Said once that they can't be connected, with where they were then.
    refused: BTreeMap<DomId, Place>,
}

impl<P: ConsolePlatform> ConsoleHost<P> {
    /// One without consoles.
    pub fn new(platform: P, manner: Manner) -> Self {
        Self {
            platform,
            consoles: BTreeMap::new(),
            manner,
            closing: BTreeMap::new(),
            refused: BTreeMap::new(),
        }
    }

    /// Domains that have a console here.
    pub fn domains(&self) -> impl Iterator<Item = DomId> {
        self.consoles.keys().copied()
    }

    /// Looks which consoles there are now.
    pub fn update(&mut self, store: &mut dyn Lookup, now: Instant) {
        let mut found = BTreeSet::new();
        let names = store.children("/local/domain").into_iter();
        let domains: Vec<_> = names
            .filter_map(|name| name.parse().ok().map(DomId))
            .filter(|&domain| domain != DomId::DOM0)
            .collect();
        // Tools describe the console after they have introduced the domain.
        let consoles = domains
            .iter()
            .map(|&domain| format!("{}/console", home(domain)));
        store.follow(consoles.collect());
        for domain in domains {
            let home = home(domain);
            let Some(place) = place(store, &home) else {
                continue;
            };
            if self.platform.status(domain) == Status::Gone {
                continue;
            }
            found.insert(domain);
            if self
                .consoles
                .get(&domain)
                .is_none_or(|known| known.place != place)
            {
                self.connect(store, domain, &home, place, now);
            }
        }
        let gone: Vec<_> = self
            .consoles
            .keys()
            .filter(|domain| !found.contains(domain))
            .copied()
            .collect();
        for domain in gone {
            // Its last words go into the log.
            self.move_output(domain, now, Turn::Last);
            if let Some(gone) = self.consoles.remove(&domain) {
                let closing = Closing {
                    terminal: gone.terminal,
                    backlog: gone.backlog,
                    at: now + LAST_WORDS,
                };
                self.closing.insert(domain, closing);
            }
            log::info!("domain {}: its console is closed", domain.0);
        }
        self.refused.retain(|domain, _| found.contains(domain));
    }

    fn connect(
        &mut self,
        store: &mut dyn Lookup,
        domain: DomId,
        home: &str,
        place: Place,
        now: Instant,
    ) {
        let limit = store.read(&format!("{home}/console/limit"));
        let limit = limit.and_then(|text| text.parse().ok());
        let mut backlog = Backlog::new(limit.unwrap_or(DEFAULT_LIMIT));
        // When the guest is connected anew, who is attached stays so, and what was not read yet can be.
        let former = self.consoles.remove(&domain);
        let connected = self.platform.connect(domain, place.frame, place.port);
        let (console, terminal) = match connected.and_then(|console| {
            let terminal = match former {
                Some(former) => {
                    backlog.follow(former.backlog);
                    former.terminal
                }
                None => self.platform.open_terminal(domain)?,
            };
            Ok((console, terminal))
        }) {
            Ok(both) => both,
            Err(error) => {
                if self.refused.insert(domain, place) != Some(place) {
                    log::warn!(
                        "domain {}: its console can't be connected: {error}",
                        domain.0
                    );
                }
                return;
            }
        };
        let name = store.read(&format!("{home}/name"));
        let name = name.unwrap_or_else(|| domain.0.to_string());
        let log = self.manner.log_directory.as_ref().and_then(|directory| {
            open_log(directory, &name)
                .inspect_err(|error| log::warn!("domain {}: no log: {error}", domain.0))
                .ok()
        });
        let nodes = format!("{home}/console");
        store.write_beside(&nodes, &format!("{nodes}/tty"), terminal.path());
        log::info!(
            "domain {} ({name}): console at {}",
            domain.0,
            terminal.path()
        );
        self.consoles.insert(
            domain,
            GuestConsole {
                place,
                console,
                terminal,
                backlog,
                rate: RateLimit::new(now, self.manner.bytes_a_second),
                log,
                lines: LineTimes::new(self.manner.times),
                is_broken: false,
            },
        );
    }

    /// Something has happened at a domain's console. Returns when to try again, if it must wait.
    pub fn serve(&mut self, domain: DomId, now: Instant) -> Option<Duration> {
        if let Some(closing) = self.closing.get_mut(&domain) {
            show(&mut closing.backlog, &mut *closing.terminal);
        }
        self.move_input(domain);
        self.move_output(domain, now, Turn::Usual)
    }

    /// Closes the terminals of guests that have been gone for long enough. Returns when the next one is.
    pub fn close(&mut self, now: Instant) -> Option<Instant> {
        self.closing.retain(|_, closing| closing.at > now);
        self.closing.values().map(|closing| closing.at).min()
    }

    /// The log files were moved away.
    pub fn reopen_logs(&mut self) {
        for console in self.consoles.values_mut() {
            if let Some(log) = &mut console.log
                && let Err(error) = log.reopen()
            {
                log::warn!("{}: {error}", log.path().display());
            }
        }
    }

    fn move_input(&mut self, domain: DomId) {
        let Some(guest) = self.consoles.get_mut(&domain).filter(|one| !one.is_broken) else {
            return;
        };
        // What does not fit waits in the terminal, not here.
        let mut typed = [0; IN_SIZE];
        let room = guest.console.input_room();
        let Ok(room) = room else {
            guest.give_up(domain);
            return;
        };
        let Some(into) = typed
            .get_mut(..room.min(IN_SIZE))
            .filter(|into| !into.is_empty())
        else {
            return;
        };
        let count = guest.terminal.read(into);
        let put = guest
            .console
            .put_input(typed.get(..count).unwrap_or_default());
        if put.is_err() {
            guest.give_up(domain);
        }
    }

    fn move_output(&mut self, domain: DomId, now: Instant, turn: Turn) -> Option<Duration> {
        let guest = self.consoles.get_mut(&domain)?;
        guest.show();
        if guest.is_broken {
            return None;
        }
        let allowed = guest.rate.allowed(now);
        let most = match (turn, self.manner.overflow) {
            // Who is gone can't wait, and prints no more.
            (Turn::Last, _) => OUT_SIZE,
            (Turn::Usual, Overflow::Discard) => allowed.min(OUT_SIZE),
            // What does not fit waits until somebody reads.
            (Turn::Usual, Overflow::Keep) => match guest.backlog.room() {
                0 => return None,
                room => allowed.min(room).min(OUT_SIZE),
            },
        };
        let Ok(bytes) = guest.console.take_output(most) else {
            guest.give_up(domain);
            return None;
        };
        let mut counted = bytes.len();
        if let Some(log) = &mut guest.log
            && !bytes.is_empty()
        {
            // Short lines are less than the times in front of them: what is written counts.
            let timed = guest.lines.with_times(&bytes);
            counted = counted.max(timed.len());
            if let Some(error) = log.write(&timed, about_gap) {
                log::warn!(
                    "{}: {error}: what is printed is not logged until it can be",
                    log.path().display()
                );
            }
        }
        guest.rate.took(counted);
        guest.backlog.add(&bytes);
        guest.show();
        if allowed == 0 && turn == Turn::Usual {
            if guest.rate.notes_first_wait() {
                log::warn!(
                    "domain {} prints faster than is allowed and has to wait; this is said once",
                    domain.0
                );
            }
            return Some(RateLimit::pause());
        }
        // More may have come meanwhile; the guest wakes nobody who has not looked.
        (!bytes.is_empty()).then_some(Duration::ZERO)
    }
}

impl GuestConsole {
    fn show(&mut self) {
        show(&mut self.backlog, &mut *self.terminal);
    }

    fn give_up(&mut self, domain: DomId) {
        if !std::mem::replace(&mut self.is_broken, true) {
            log::warn!(
                "domain {}: an index of its console is one that it can't have; it is not served until it is connected anew",
                domain.0
            );
        }
    }
}

fn show(backlog: &mut Backlog, terminal: &mut dyn Terminal) {
    while !backlog.is_empty() {
        let count = terminal.write(backlog.front());
        if count == 0 {
            return;
        }
        backlog.read(count);
    }
}

fn home(domain: DomId) -> String {
    format!("/local/domain/{}", domain.0)
}

fn place(store: &mut dyn Lookup, home: &str) -> Option<Place> {
    let mut number =
        |key: &str| -> Option<u64> { store.read(&format!("{home}/console/{key}"))?.parse().ok() };
    let frame = number("ring-ref")?;
    let port = Port(u32::try_from(number("port")?).ok()?);
    let kind = store.read(&format!("{home}/console/type"));
    let is_ours = kind.is_none_or(|kind| kind == "xenconsoled");
    is_ours.then_some(Place { frame, port })
}
