//! The store daemon.
#![forbid(unsafe_code)]

use clap::Parser;
use dom0_tools::command_line::XenstoredOptions;
use dom0_tools::daemon::carrier::{Carrier, Platform};
use dom0_tools::daemon::event_loop::{EventSource, Listener, NoEvents, serve};
use dom0_tools::daemon::state_file::StateFile;
use dom0_tools::daemon::{background, logging};
use dom0_tools::device::machine::{Machine, NoMachine};
use dom0_tools::store::client::Mode;
use log::LevelFilter;
use std::io;
use std::process::ExitCode;

const BOOT_ID_FILE: &str = "/proc/sys/kernel/random/boot_id";
/// Files that may be open: sockets of clients, and two for the ring of each of some thousand domains.
const OPEN_FILES: u64 = 16384;

fn main() -> ExitCode {
    dom0_tools::panics::end_the_program();
    let options = XenstoredOptions::parse();
    let result = if options.no_fork || options.is_background {
        run(&options)
    } else {
        background::start()
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xenstored: {error}");
            log::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &XenstoredOptions) -> io::Result<()> {
    let level = if options.trace {
        LevelFilter::Trace
    } else {
        LevelFilter::Info
    };
    logging::start(options.log_file().as_deref(), level)?;
    if let Some(path) = &options.trace_file {
        let traced = logging::trace_into(path);
        traced.map_err(|error| {
            let path = path.display();
            io::Error::other(format!(
                "{path}: {error}; give --trace-file a file that can be written"
            ))
        })?;
    }
    background::prepare(OPEN_FILES);
    if options.no_hypervisor {
        run_with(options, NoMachine, NoEvents)
    } else {
        let (machine, events) = Machine::open()?;
        run_with(options, machine, events)
    }
}

fn run_with<P: Platform>(
    options: &XenstoredOptions,
    platform: P,
    mut events: impl EventSource,
) -> io::Result<()> {
    let sockets = options.sockets()?;
    let listeners = [
        Listener::bind(&sockets.read_write, Mode::ReadWrite)?,
        Listener::bind(&sockets.read_only, Mode::ReadOnly)?,
    ];
    let mut carrier = Carrier::new(platform);
    for (quota, limit) in &options.quotas {
        carrier.store_mut().quotas_mut().set(*quota, *limit);
    }
    let boot_id = std::fs::read_to_string(BOOT_ID_FILE)?;
    let state_path = options.state_file();
    match StateFile::open(&state_path, &boot_id) {
        Ok((file, former)) => carrier.keep_state(file, former)?,
        Err(error) => log::error!(
            "{}: {error}: guests will not survive a restart of this daemon",
            state_path.display()
        ),
    }
    carrier.connect_own_kernel();
    carrier.look_at_domains();
    let pid_file = options.pid_file();
    serve(&mut carrier, &listeners, &mut events, || {
        log::info!("xenstored {} serves", env!("CARGO_PKG_VERSION"));
        background::write_pid_file(&pid_file);
        background::is_started(options.is_background);
    })?;
    log::info!("xenstored stops; the state is kept for the next one");
    let _ = std::fs::remove_file(&pid_file);
    for path in [&sockets.read_write, &sockets.read_only] {
        let _ = std::fs::remove_file(path);
    }
    Ok(())
}
