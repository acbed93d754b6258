//! The console daemon.
#![forbid(unsafe_code)]

use clap::Parser;
use dom0_tools::client::connection::{Connection, Failure};
use dom0_tools::command_line::XenconsoledOptions;
use dom0_tools::console::host::{ConsoleHost, Lookup};
use dom0_tools::console::hypervisor_log::{self, HypervisorLog};
use dom0_tools::daemon::{background, logging};
use dom0_tools::device::consoles::{ConsoleMachine, HypervisorConsole};
use dom0_tools::device::event_channels::{About, EventChannels};
use guest_abi::ids::DomId;
use guest_abi::store_wire::{INTRODUCE_DOMAIN, MessageType, RELEASE_DOMAIN};
use log::LevelFilter;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

const SIGNALS: u64 = 0;
const MACHINE: u64 = 1;
const STORE: u64 = 2;
const TERMINALS: u64 = 16;
const OPEN_FILES: u64 = 16384;
/// Between two tries to reach the store.
const STORE_PAUSE: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    dom0_tools::panics::end_the_program();
    let options = XenconsoledOptions::parse();
    let result = if options.interactive || options.is_background {
        run(&options)
    } else {
        background::start()
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xenconsoled: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The token of all watches.
const TOKEN: &str = "xenconsoled";

/// The connection to the store.
struct Store {
    connection: Connection,
    followed: BTreeSet<String>,
}

impl Store {
    fn connect(epoll: &Epoll) -> io::Result<Self> {
        let mut connection = Connection::by_socket()?;
        for special in [INTRODUCE_DOMAIN, RELEASE_DOMAIN] {
            connection
                .ask_texts(MessageType::Watch, 0, &[special, TOKEN])
                .map_err(|failure| io::Error::other(failure.to_string()))?;
        }
        epoll.add(
            connection.file(),
            EpollEvent::new(EpollFlags::EPOLLIN, STORE),
        )?;
        Ok(Self {
            connection,
            followed: BTreeSet::new(),
        })
    }
}

impl Lookup for Store {
    fn children(&mut self, path: &str) -> Vec<String> {
        self.connection.children(0, path).unwrap_or_default()
    }

    fn read(&mut self, path: &str) -> Option<String> {
        String::from_utf8(self.connection.read(0, path).ok()?).ok()
    }

    fn write_beside(&mut self, other: &str, path: &str, value: &str) {
        let written = self.connection.in_transaction(|store, number| {
            store.read(number, other)?;
            store.write(number, path, value.as_bytes())
        });
        match written {
            Err(failure) if failure.is("ENOENT") => {}
            Err(failure) => log::warn!("{path} is not written: {failure}"),
            Ok(()) => {}
        }
    }

    fn follow(&mut self, paths: BTreeSet<String>) {
        let mut ask = |message_type, path: &String| {
            let asked = self.connection.ask_texts(message_type, 0, &[path, TOKEN]);
            if let Err(failure) = asked {
                log::warn!("{path} is not watched: {failure}");
            }
        };
        for path in self.followed.difference(&paths) {
            ask(MessageType::Unwatch, path);
        }
        for path in paths.difference(&self.followed) {
            ask(MessageType::Watch, path);
        }
        self.followed = paths;
    }
}

fn run(options: &XenconsoledOptions) -> io::Result<()> {
    let level = if options.verbose {
        LevelFilter::Debug
    } else {
        LevelFilter::Info
    };
    logging::start(options.daemon_log().as_deref(), level)?;
    background::prepare(OPEN_FILES);
    let epoll = Rc::new(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?);
    let mut mask = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        mask.add(signal);
    }
    mask.thread_block()?;
    let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
    epoll.add(&signals, EpollEvent::new(EpollFlags::EPOLLIN, SIGNALS))?;
    let channels = EventChannels::open()?;
    epoll.add(
        channels.file(),
        EpollEvent::new(EpollFlags::EPOLLIN, MACHINE),
    )?;
    let machine = ConsoleMachine::open(channels.clone(), epoll.clone(), TERMINALS)?;
    let mut host = ConsoleHost::new(machine, options.manner());
    let mut hypervisor_log = match options.hypervisor_log() {
        Some(path) => {
            let console = HypervisorConsole::open()?;
            let times = options.hypervisor_times();
            Some(HypervisorLog::new(console, &path, times))
        }
        None => None,
    };
    let mut look_at_log_at = hypervisor_log.is_some().then(Instant::now);
    let mut store = None;
    let mut asked_store_at: Option<Instant> = None;
    let mut ready: BTreeSet<DomId> = BTreeSet::new();
    let mut later: BTreeMap<DomId, Instant> = BTreeMap::new();
    let mut events = [EpollEvent::empty(); 64];
    let mut started = Some(|| {
        log::info!("xenconsoled {} serves", env!("CARGO_PKG_VERSION"));
        background::write_pid_file(&options.pid_file());
        background::is_started(options.is_background);
    });
    loop {
        let now = Instant::now();
        if store.is_none() && asked_store_at.is_none_or(|at| now >= at + STORE_PAUSE) {
            match Store::connect(&epoll) {
                Ok(mut connected) => {
                    host.update(&mut connected, now);
                    ready.extend(host.domains());
                    store = Some(connected);
                }
                Err(error) if asked_store_at.is_none() => {
                    log::warn!("the store is not reached: {error}")
                }
                Err(_) => {}
            }
            asked_store_at = store.is_none().then_some(now);
        }
        if let Some(started) = started.take() {
            started();
        }
        for domain in std::mem::take(&mut ready) {
            match host.serve(domain, now) {
                Some(Duration::ZERO) => {
                    ready.insert(domain);
                }
                Some(pause) => {
                    later.insert(domain, now + pause);
                }
                None => {}
            }
        }
        later.retain(|&domain, &mut at| at > now || !ready.insert(domain));
        if let (Some(at), Some(log)) = (look_at_log_at, &mut hypervisor_log)
            && at <= now
        {
            log.look();
            look_at_log_at = Some(now + hypervisor_log::PAUSE);
        }
        let store_at = asked_store_at.map(|at| at + STORE_PAUSE);
        let wake_at = later
            .values()
            .copied()
            .chain(store_at)
            .chain(look_at_log_at)
            .chain(host.close(now))
            .min();
        let timeout = match wake_at {
            _ if !ready.is_empty() => EpollTimeout::ZERO,
            // Rounded up, else it would be tried too early and again.
            Some(at) => {
                EpollTimeout::try_from(at.saturating_duration_since(now) + Duration::from_millis(1))
                    .unwrap_or(EpollTimeout::ZERO)
            }
            None => EpollTimeout::NONE,
        };
        let happened = match epoll.wait(&mut events, timeout) {
            Ok(count) => events.get(..count).unwrap_or_default(),
            Err(nix::errno::Errno::EINTR) => continue,
            Err(error) => return Err(error.into()),
        };
        for event in happened {
            match event.data() {
                SIGNALS => {
                    while let Ok(Some(signal)) = signals.read_signal() {
                        if signal.ssi_signo == Signal::SIGHUP as u32 {
                            logging::reopen();
                            host.reopen_logs();
                            if let Some(log) = &mut hypervisor_log {
                                log.reopen();
                            }
                        } else {
                            let _ = std::fs::remove_file(options.pid_file());
                            return Ok(());
                        }
                    }
                }
                MACHINE => {
                    for about in channels.take() {
                        if let About::Ring(domain) = about {
                            ready.insert(domain);
                        }
                    }
                }
                STORE => {
                    let looked = store.as_mut().map(|store| look(store, &mut host, now));
                    match looked {
                        Some(Err(failure)) => {
                            log::warn!("the store is lost: {failure}; consoles stay as they are");
                            store = None;
                            asked_store_at = Some(now);
                        }
                        _ => ready.extend(host.domains()),
                    }
                }
                number => {
                    if let Ok(domain) = u16::try_from(number - TERMINALS) {
                        ready.insert(DomId(domain));
                    }
                }
            }
        }
    }
}

/// Domains have come or gone.
fn look(
    store: &mut Store,
    host: &mut ConsoleHost<ConsoleMachine>,
    now: Instant,
) -> Result<(), Failure> {
    store.connection.next_event()?;
    loop {
        while store.connection.take_waiting_event().is_some() {}
        host.update(store, now);
        // Events that came while it asked are not seen by who waits for the connection.
        match store.connection.take_waiting_event() {
            Some(_) => {}
            None => return Ok(()),
        }
    }
}
