//! The socket by which clients ask, and the thread that waits for ends of domains.

use super::Xend;
use super::create::Start;
use super::protocol::{Fault, MAX_LINE, Request, Response};
use crate::bounded_file;
use crate::client::connection::Connection;
use crate::daemon::log_file::MOST_BYTES;
use guest_abi::store_wire::{INTRODUCE_DOMAIN, MessageType, RELEASE_DOMAIN};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Between two looks at the domains although the store has said nothing.
const GLANCE_MS: u16 = 5000;
/// Between two tries to reach the store.
const STORE_PAUSE: Duration = Duration::from_millis(500);
/// A client that says nothing for so long has gone.
const SILENCE: Duration = Duration::from_secs(600);

/// Listens at a path, where a former daemon may have left a socket.
///
/// # Errors
///
/// If it can't, or if another daemon serves there.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    if UnixStream::connect(path).is_ok() {
        return Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            format!("{}: another xend serves there", path.display()),
        ));
    }
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Serves clients, each by a thread of its own, for ever.
pub fn serve(xend: &Arc<Xend>, listener: &UnixListener) {
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                let xend = Arc::clone(xend);
                std::thread::spawn(move || {
                    if let Err(error) = converse(&xend, &stream) {
                        log::debug!("a client: {error}");
                    }
                });
            }
            Err(error) => {
                log::warn!("no client is taken: {error}");
                std::thread::sleep(STORE_PAUSE);
            }
        }
    }
}

fn converse(xend: &Xend, stream: &UnixStream) -> io::Result<()> {
    stream.set_read_timeout(Some(SILENCE))?;
    let mut reader = BufReader::new(stream);
    let mut writer = stream;
    loop {
        let mut line = String::new();
        if reader.by_ref().take(MAX_LINE).read_line(&mut line)? == 0 {
            return Ok(());
        }
        let response = match serde_json::from_str::<Request>(&line) {
            Ok(request) => {
                log::debug!("{request:?}");
                answer(xend, request)
            }
            Err(error) => {
                Response::Fault(Fault::text(format!("the call is not understood: {error}")))
            }
        };
        let mut bytes = serde_json::to_vec(&response)?;
        bytes.push(b'\n');
        writer.write_all(&bytes)?;
    }
}

const fn start_of(paused: bool) -> Start {
    if paused {
        Start::Paused
    } else {
        Start::Running
    }
}

/// Does what a client asks.
#[must_use]
pub fn answer(xend: &Xend, request: Request) -> Response {
    xend.act(request).unwrap_or_else(Response::Fault)
}

impl Xend {
    fn act(&self, request: Request) -> Result<Response, Fault> {
        match request {
            Request::Ping => Ok(Response::Done),
            Request::Reload => self.reload().map(|()| Response::Done),
            Request::List { domains } => self.list(&domains).map(Response::Domains),
            Request::Create {
                config,
                paused,
                entry,
            } => self.create_chosen(*config, start_of(paused), entry),
            Request::AwaitCleanUp { uuid } => self.await_clean_up(&uuid),
            Request::HowEnded { domid } => self.how_ended(domid),
            Request::New { config } => self.add(*config),
            Request::Start { domain, paused } => self.start(&domain, start_of(paused)),
            Request::Delete { domain } => self.delete(&domain),
            Request::Destroy { domain } => self.destroy(&domain),
            Request::Pause { domain } => self.pause(&domain),
            Request::Unpause { domain } => self.unpause(&domain),
            Request::Shutdown { domain, reason } => self.shutdown(&domain, &reason),
            Request::Reset { domain } => self.reset(&domain),
            Request::Rename { domain, name } => self.rename(&domain, &name),
            Request::Vcpus { domains } => self.vcpus(&domains).map(Response::Vcpus),
            Request::SetVcpus { domain, count } => self.set_vcpus(&domain, count),
            Request::SetMemory { domain, mib } => self.set_memory(&domain, mib),
            Request::LimitMemory { domain, mib } => self.limit_memory(&domain, mib),
            Request::PinVcpu { domain, vcpu, cpus } => self.pin(&domain, vcpu, &cpus),
            Request::Shares { domains } => self.shares(&domains),
            Request::SetShare {
                domain,
                weight,
                cap,
            } => self.set_share(&domain, weight, cap),
            Request::Schedule {
                tslice_ms,
                ratelimit_us,
            } => self.schedule(tslice_ms, ratelimit_us),
            Request::Attach { domain, device } => self.attach(&domain, *device),
            Request::Configure { domain, disk } => self.configure(&domain, &disk),
            Request::Detach {
                domain,
                class,
                device,
                how,
            } => self.detach(&domain, class, &device, how),
            Request::Devices { domain, class } => self.devices_of(&domain, class),
            Request::Sysrq { domain, letter } => self.sysrq(&domain, &letter),
            Request::DumpCore {
                domain,
                file,
                live,
                then,
            } => self.dump_core(&domain, file.as_deref(), live, then),
            Request::DumpProgress { domain } => self.dump_progress(&domain),
            Request::Host => self.host().map(|host| Response::Host(Box::new(host))),
            Request::Memory => (self.memory()).map(|memory| Response::Memory(Box::new(memory))),
            Request::Dmesg { clear } => {
                let text = self.machine.console(clear)?;
                Ok(Response::Text(String::from_utf8_lossy(&text).into_owned()))
            }
            Request::Log => {
                let path = self.settings().log_file();
                // A line may have come behind the file's most.
                let bytes = bounded_file::read(&path, 2 * MOST_BYTES)
                    .map_err(|error| Fault::text(format!("{}: {error}", path.display())))?;
                Ok(Response::Text(String::from_utf8_lossy(&bytes).into_owned()))
            }
            Request::DebugKeys { keys } => {
                self.machine.debug_keys(keys.as_bytes())?;
                Ok(Response::Done)
            }
        }
    }
}

/// Waits for ends of domains, for ever.
pub fn watch(xend: &Arc<Xend>) {
    loop {
        match connect() {
            Ok(mut store) => watch_with(xend, &mut store),
            Err(error) => log::debug!("the store is not reached: {error}"),
        }
        look(xend);
        std::thread::sleep(STORE_PAUSE);
    }
}

fn connect() -> io::Result<Connection> {
    let mut store = Connection::by_socket()?;
    for special in [INTRODUCE_DOMAIN, RELEASE_DOMAIN] {
        store
            .ask_texts(MessageType::Watch, 0, &[special, "xend"])
            .map_err(|failure| io::Error::other(failure.to_string()))?;
    }
    Ok(store)
}

fn watch_with(xend: &Arc<Xend>, store: &mut Connection) {
    loop {
        if store.take_waiting_event().is_none() {
            let mut waited = [PollFd::new(store.file(), PollFlags::POLLIN)];
            match poll(&mut waited, PollTimeout::from(GLANCE_MS)) {
                Ok(0) | Err(nix::errno::Errno::EINTR) => {}
                Ok(_) => {
                    if let Err(failure) = store.next_event() {
                        log::warn!("the store is lost: {failure}");
                        return;
                    }
                }
                Err(error) => {
                    log::error!("waiting for the store: {error}");
                    return;
                }
            }
        }
        look(xend);
    }
}

fn look(xend: &Arc<Xend>) {
    if let Err(fault) = xend.look_at_domains() {
        log::error!("{fault}");
    }
    xend.look_at_servers();
}
