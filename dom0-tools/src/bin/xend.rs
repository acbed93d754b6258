//! The daemon that owns the life cycle of guests.
#![forbid(unsafe_code)]

use clap::Parser;
use dom0_tools::client::connection::Connection;
use dom0_tools::command_line::{XendAction, XendOptions};
use dom0_tools::daemon::{background, logging};
use dom0_tools::xend::devices::first_domain::ThisDomain;
use dom0_tools::xend::devices::scripts::is_to_become_script;
use dom0_tools::xend::machine::Hypervisor;
use dom0_tools::xend::nodes::Nodes;
use dom0_tools::xend::protocol::{Fault, Request, Response};
use dom0_tools::xend::server::{listen, serve, watch};
use dom0_tools::xend::settings::Settings;
use dom0_tools::xend::{Places, Xend};
use dom0_tools::xm::client::{Client, Xend as _};
use log::LevelFilter;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

const BOOT_ID_FILE: &str = "/proc/sys/kernel/random/boot_id";
const OPEN_FILES: u64 = 4096;
/// The exit statuses that init scripts know.
const FAILED: u8 = 1;
const NOT_RUNNING: u8 = 3;
const NOT_ROOT: u8 = 4;
const NOT_SERVING: u8 = 7;
/// As shells have it.
const NO_SCRIPT: u8 = 126;
/// How long a daemon may take to stop, beside the script that takes the network back.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    dom0_tools::panics::end_the_program();
    let words: Vec<_> = std::env::args_os().collect();
    if let Some(error) = is_to_become_script(&words) {
        eprintln!("it can't be run: {error}");
        return ExitCode::from(NO_SCRIPT);
    }
    let options = XendOptions::parse();
    if !nix::unistd::geteuid().is_root() {
        eprintln!("Xend must be run as root.");
        return ExitCode::from(NOT_ROOT);
    }
    let is_running = UnixStream::connect(options.socket()).is_ok();
    let result = match options.action {
        XendAction::Start if is_running => Ok(()),
        XendAction::Start => start(&options),
        XendAction::Stop => stop(&options),
        XendAction::Restart => stop(&options).and_then(|()| start(&options)),
        XendAction::Reload if !is_running => {
            eprintln!("xend: it is not running");
            return ExitCode::from(NOT_SERVING);
        }
        XendAction::Reload => reload(),
        XendAction::Status => {
            return ExitCode::from(if is_running { 0 } else { NOT_RUNNING });
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xend: {error}");
            log::error!("{error}");
            ExitCode::from(FAILED)
        }
    }
}

fn start(options: &XendOptions) -> io::Result<()> {
    if options.no_fork || options.is_background {
        run(options)
    } else {
        background::start()
    }
}

/// Lets the daemon read its settings again, and tells what is wrong with them.
fn reload() -> io::Result<()> {
    match Client::default().ask(&Request::Reload)? {
        Response::Fault(fault) => Err(io::Error::other(fault.to_string())),
        _ => Ok(()),
    }
}

/// Signals the daemon, if there is one.
fn signal(options: &XendOptions, signal: Signal) -> io::Result<Option<Pid>> {
    let Ok(text) = std::fs::read_to_string(options.pid_file()) else {
        return Ok(None);
    };
    let Ok(number) = text.trim().parse() else {
        return Ok(None);
    };
    let pid = Pid::from_raw(number);
    match kill(pid, signal) {
        Ok(()) => Ok(Some(pid)),
        Err(nix::errno::Errno::ESRCH) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn stop(options: &XendOptions) -> io::Result<()> {
    let Some(pid) = signal(options, Signal::SIGTERM)? else {
        return Ok(());
    };
    // Where they can't be read, the usual ones hold.
    let settings = Settings::read().unwrap_or_default();
    let patience = PATIENCE + settings.device_create_timeout();
    let began = Instant::now();
    while kill(pid, None).is_ok() {
        if began.elapsed() > patience {
            return Err(io::Error::other(format!(
                "process {pid} has not stopped within {} seconds; what it waits for is in its log",
                patience.as_secs()
            )));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn run(options: &XendOptions) -> io::Result<()> {
    let is_traced = options.trace;
    let read_settings = move || {
        // Who has moved the log away gets a new one even if the settings are wrong.
        logging::reopen();
        let settings = Settings::read()?;
        let level = if is_traced {
            LevelFilter::Debug
        } else {
            settings.log_level()
        };
        let file = settings.log_file();
        logging::start(Some(&file), level)
            .map_err(|error| format!("{}: {error}", file.display()))?;
        for warning in settings.warnings() {
            log::warn!("{warning}");
        }
        Ok(settings)
    };
    let settings = read_settings().map_err(io::Error::other)?;
    background::prepare(OPEN_FILES);
    // Before there are threads: all of them leave these to the one that waits for them.
    let mut mask = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        mask.add(signal);
    }
    mask.thread_block()?;
    let machine = Hypervisor::open(Path::new(&options.cache))?;
    let boot_id = std::fs::read_to_string(BOOT_ID_FILE)?;
    let places = Places {
        records: options.records.clone(),
        dumps: "/var/xen/dump".into(),
    };
    let xend = Xend::new(
        Box::new(machine),
        Box::new(connect_store),
        Box::new(ThisDomain),
        places,
        settings,
        Box::new(read_settings),
        boot_id.trim(),
    )?;
    let socket = options.socket();
    let listener = listen(&socket)?;
    xend.take_over()
        .map_err(|fault| io::Error::other(fault.to_string()))?;
    xend.limit_first_vcpus();
    xend.start_network();
    let watcher = Arc::clone(&xend);
    std::thread::spawn(move || watch(&watcher));
    let server = Arc::clone(&xend);
    std::thread::spawn(move || serve(&server, &listener));
    log::info!("xend {} serves", env!("CARGO_PKG_VERSION"));
    background::write_pid_file(&options.pid_file());
    background::is_started(options.is_background);
    // Who waits for this program does not wait for guests, one of whose disks may be slow on purpose.
    xend.start_kept();
    while mask.wait()? == Signal::SIGHUP {
        // What is wrong is in the log.
        let _ = xend.reload();
    }
    xend.stop_kept();
    xend.stop_network();
    log::info!("xend stops; guests go on");
    let _ = std::fs::remove_file(options.pid_file());
    let _ = std::fs::remove_file(&socket);
    Ok(())
}

fn connect_store() -> Result<Box<dyn Nodes>, Fault> {
    match Connection::by_socket() {
        Ok(connection) => Ok(Box::new(connection)),
        Err(error) => Err(Fault::Text(format!(
            "the store is not reached: {error}; is xenstored running?"
        ))),
    }
}
