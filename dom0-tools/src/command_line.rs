//! How the programs are called. Their help and their manual pages are made from what is said here.
#![forbid(unsafe_code)]

pub mod xentop;

use crate::console::flow::DEFAULT_RATE_KIB;
use crate::console::host::{Manner, Overflow};
use crate::console::line_times::Times;
use crate::store::quota::Quota;
use clap::{CommandFactory, Parser, Subcommand};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// The directory of sockets and state, unless `XENSTORED_RUNDIR` says another.
pub const RUN_DIRECTORY: &str = "/var/run/xenstored";
/// Names the directory of sockets and state.
pub const RUN_DIRECTORY_VARIABLE: &str = "XENSTORED_RUNDIR";
/// Names the socket.
pub const SOCKET_VARIABLE: &str = "XENSTORED_PATH";

/// The store daemon: names and values by which domains, their tools and their drivers meet
///
/// It serves guests by their rings, the first domain's kernel by its own, and processes of the first domain
/// by a Unix socket. What it knows is kept in a file in memory (`state` beside the socket), so that it can
/// be stopped or killed and started again while guests run; they do not notice. The file is ignored
/// after the machine was started anew.
///
/// Signals: TERM and INT stop it, HUP opens the log file again.
#[derive(Parser, Debug)]
#[command(name = "xenstored", version)]
pub struct XenstoredOptions {
    /// Stay in the foreground, and log to standard error unless there is a log file
    #[arg(short = 'N', long)]
    pub no_fork: bool,
    /// Write the process number into this file [default: /var/run/xenstored.pid]
    #[arg(long, value_name = "FILE")]
    pub pid_file: Option<PathBuf>,
    /// Log into this file [default in the background: /var/log/xen/xenstored.log]
    #[arg(long, value_name = "FILE")]
    pub log_file: Option<PathBuf>,
    /// Write every request, and what came of it, into this file; `xenstore-control log` stops that and goes on
    #[arg(short = 'T', long, value_name = "FILE")]
    pub trace_file: Option<PathBuf>,
    /// Log every request
    #[arg(long)]
    pub trace: bool,
    /// Keep the state in this file [default: beside the socket]
    #[arg(long, value_name = "FILE")]
    pub state_file: Option<PathBuf>,
    /// Set a limit of guests, such as nodes=2000; `xenstore-control quota` shows them
    #[arg(short = 'Q', long = "quota", value_name = "NAME=LIMIT", value_parser = parse_quota)]
    pub quotas: Vec<(Quota, u64)>,
    /// Serve only processes of this system: there is no hypervisor
    #[arg(long)]
    pub no_hypervisor: bool,
    /// This is the process in the background
    #[arg(long, hide = true)]
    pub is_background: bool,
}

fn parse_quota(text: &str) -> Result<(Quota, u64), String> {
    let (name, limit) = text
        .split_once('=')
        .ok_or("it is a name, an equals sign and a number")?;
    let quota = Quota::named(name).ok_or_else(|| {
        let names: Vec<_> = Quota::ALL.iter().map(|quota| quota.name()).collect();
        format!("there is no quota {name}; there are {}", names.join(", "))
    })?;
    let limit = limit.parse().map_err(|_| format!("{limit} is no number"))?;
    Ok((quota, limit))
}

/// Where clients connect.
#[derive(Debug)]
pub struct Sockets {
    /// To read and write.
    pub read_write: PathBuf,
    /// Only to read.
    pub read_only: PathBuf,
}

impl XenstoredOptions {
    /// Where clients connect. Makes the directory.
    ///
    /// # Errors
    ///
    /// If the directory can't be made.
    pub fn sockets(&self) -> io::Result<Sockets> {
        let read_write = socket_path();
        if let Some(directory) = read_write.parent() {
            fs::create_dir_all(directory)?;
        }
        let mut name = read_write.file_name().unwrap_or_default().to_owned();
        name.push("_ro");
        let read_only = read_write.with_file_name(name);
        Ok(Sockets {
            read_write,
            read_only,
        })
    }

    /// Where the state is kept.
    #[must_use]
    pub fn state_file(&self) -> PathBuf {
        self.state_file
            .clone()
            .unwrap_or_else(|| socket_path().with_file_name("state"))
    }

    /// Where to log; `None`: to standard error.
    #[must_use]
    pub fn log_file(&self) -> Option<PathBuf> {
        let default = || Path::new("/var/log/xen/xenstored.log").to_owned();
        let given = self.log_file.clone();
        given.or_else(|| self.is_background.then(default))
    }

    /// Where the process number goes.
    #[must_use]
    pub fn pid_file(&self) -> PathBuf {
        let default = || Path::new("/var/run/xenstored.pid").to_owned();
        self.pid_file.clone().unwrap_or_else(default)
    }
}

/// The console daemon: guests' consoles on pseudo-terminals, and their output in files
///
/// It finds the consoles by the store, and writes the name of each one's terminal into the guest's
/// `console/tty`. What a guest prints while nobody is attached is kept, up to the guest's `console/limit`,
/// and shown to who attaches. A guest that prints without end is slowed down. It may be stopped and started
/// again while guests run: they wait meanwhile.
///
/// Signals: TERM and INT stop it, HUP opens the log files again.
#[derive(Parser, Debug)]
#[command(name = "xenconsoled", version)]
pub struct XenconsoledOptions {
    /// Stay in the foreground, and log to standard error
    #[arg(short, long)]
    pub interactive: bool,
    /// What to log into files
    #[arg(long, value_enum, default_value = "none")]
    pub log: ConsoleLog,
    /// In which of these files lines begin with the time, in UTC
    #[arg(short, long, value_enum, value_name = "LOG", default_value = "none")]
    pub timestamp: ConsoleLog,
    /// What happens when a guest has printed as much as is kept and nobody is attached
    #[arg(
        short,
        long,
        value_enum,
        value_name = "WHAT",
        default_value = "discard"
    )]
    pub overflow_data: OverflowData,
    /// KiB that each guest may print in a second for long, and a quarter of that at once; one that prints more waits
    #[arg(
        long,
        value_name = "KIB",
        default_value_t = DEFAULT_RATE_KIB,
        value_parser = clap::value_parser!(u64).range(8..=1 << 20)
    )]
    pub rate: u64,
    /// Log more of what the daemon does itself
    #[arg(short, long)]
    pub verbose: bool,
    /// Where these files are
    #[arg(long, value_name = "DIRECTORY", default_value = "/var/log/xen/console")]
    pub log_dir: PathBuf,
    /// Write the process number into this file
    #[arg(long, value_name = "FILE", default_value = "/var/run/xenconsoled.pid")]
    pub pid_file: PathBuf,
    /// This is the process in the background
    #[arg(long, hide = true)]
    pub is_background: bool,
}

/// Attaches to a guest's console
///
/// Ctrl-] detaches. It ends when the guest's console is closed, and goes on when the guest gets another one.
/// Standard input and output need not be a terminal.
#[derive(Parser, Debug)]
#[command(name = "xenconsole", version)]
pub struct XenconsoleOptions {
    /// Which of the guest's consoles
    #[arg(short, long = "num", default_value_t = 0)]
    pub number: u32,
    /// What kind of console: only pv
    #[arg(short = 't', long = "type", value_name = "TYPE", default_value = "pv")]
    pub kind: String,
    /// The number of the guest
    #[arg(allow_negative_numbers = true)]
    pub domid: Option<String>,
}

impl XenconsoleOptions {
    /// The node with the name of the console's terminal.
    ///
    /// # Errors
    ///
    /// What is wrong with the command line.
    pub fn terminal_key(&self) -> Result<String, String> {
        let text = self.domid.as_ref().ok_or("DOMID should be specified")?;
        let domain: u16 = text
            .parse()
            .map_err(|_| format!("Invalid DOMID `{text}'"))?;
        if domain == 0 {
            return Err("Can't specify Domain-0".into());
        }
        if self.kind != "pv" {
            return Err(format!(
                "there are no consoles of type {}, only pv",
                self.kind
            ));
        }
        let home = format!("/local/domain/{domain}");
        Ok(match self.number {
            0 => format!("{home}/console/tty"),
            number => format!("{home}/device/console/{number}/tty"),
        })
    }
}

/// What is logged into files.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum ConsoleLog {
    /// Nothing
    None,
    /// What guests print
    Guest,
    /// What the hypervisor prints
    Hv,
    /// Both
    All,
}

impl ConsoleLog {
    const fn has_guests(self) -> bool {
        matches!(self, Self::Guest | Self::All)
    }

    const fn has_hypervisor(self) -> bool {
        matches!(self, Self::Hv | Self::All)
    }
}

/// What happens to what nobody reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum OverflowData {
    /// The oldest is thrown away
    Discard,
    /// The guest waits
    Keep,
}

fn times(are_shown: bool) -> Times {
    match are_shown {
        true => Times::Shown,
        false => Times::NotShown,
    }
}

impl XenconsoledOptions {
    /// Where to log what the daemon itself has to say; `None`: to standard error.
    #[must_use]
    pub fn daemon_log(&self) -> Option<PathBuf> {
        let path = || Path::new("/var/log/xen/xenconsoled.log").to_owned();
        self.is_background.then(path)
    }

    /// How guests' consoles are served.
    #[must_use]
    pub fn manner(&self) -> Manner {
        let log_directory = || self.log_dir.clone();
        Manner {
            log_directory: self.log.has_guests().then(log_directory),
            times: times(self.timestamp.has_guests()),
            overflow: match self.overflow_data {
                OverflowData::Discard => Overflow::Discard,
                OverflowData::Keep => Overflow::Keep,
            },
            bytes_a_second: self.rate << 10,
        }
    }

    /// Of the lines of the hypervisor's log.
    #[must_use]
    pub fn hypervisor_times(&self) -> Times {
        times(self.timestamp.has_hypervisor())
    }

    /// Where to log what the hypervisor prints; `None`: nowhere.
    #[must_use]
    pub fn hypervisor_log(&self) -> Option<PathBuf> {
        let path = || self.log_dir.join("hypervisor.log");
        self.log.has_hypervisor().then(path)
    }

    /// Where the process number goes.
    #[must_use]
    pub fn pid_file(&self) -> PathBuf {
        self.pid_file.clone()
    }
}

/// The daemon that owns the life cycle of guests
///
/// It builds guests for `xm create`, and does what their configurations say when they end. It may be stopped and
/// started again, or be killed, while guests run: they go on, and the next one takes them over.
///
/// Its settings are in /etc/xen/xend-config.sxp, or the file that XEND_CONFIG names. `xend reload` lets it read them
/// again; if they are wrong it says so, and those in effect stay so.
///
/// Signals: TERM and INT stop it; HUP opens the log file and reads the settings again, and what is wrong is in the log.
#[derive(Parser, Debug)]
#[command(name = "xend", version)]
pub struct XendOptions {
    /// What to do
    #[arg(value_enum, default_value = "start")]
    pub action: XendAction,
    /// Stay in the foreground
    #[arg(short = 'N', long)]
    pub no_fork: bool,
    /// Log what clients ask
    #[arg(long)]
    pub trace: bool,
    /// Where records of running guests are
    #[arg(
        long,
        value_name = "DIRECTORY",
        default_value = "/var/lib/xend/running"
    )]
    pub records: PathBuf,
    /// Where unpacked kernels are kept
    #[arg(
        long,
        value_name = "DIRECTORY",
        default_value = "/var/cache/xend/kernels"
    )]
    pub cache: PathBuf,
    /// This is the process in the background
    #[arg(long, hide = true)]
    pub is_background: bool,
}

/// What `xend` is to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum XendAction {
    /// Serve
    Start,
    /// End; guests go on
    Stop,
    /// End, and serve anew
    Restart,
    /// Read the settings again, and open the log file again
    Reload,
    /// Succeed if it serves
    Status,
}

impl XendOptions {
    /// Where clients connect.
    #[cfg(feature = "domains")]
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        let named = std::env::var_os(crate::xend::protocol::SOCKET_VARIABLE);
        named.map_or_else(|| crate::xend::protocol::SOCKET.into(), PathBuf::from)
    }

    /// Where the process number goes.
    #[must_use]
    pub fn pid_file(&self) -> PathBuf {
        "/var/run/xend.pid".into()
    }
}

/// The socket by which the store is reached.
#[must_use]
pub fn socket_path() -> PathBuf {
    if let Some(path) = std::env::var_os(SOCKET_VARIABLE) {
        return path.into();
    }
    let directory = std::env::var_os(RUN_DIRECTORY_VARIABLE);
    let directory = directory.map_or_else(|| RUN_DIRECTORY.into(), PathBuf::from);
    directory.join("socket")
}

/// Looks at the store and changes it
///
/// Each command is a program of its own as well: `xenstore-read` is `xenstore read`. Names that do not begin
/// with a slash are relative to the home of the domain, /local/domain/N. Several names are one transaction:
/// all of it happens, or nothing.
///
/// The store is reached by the socket that XENSTORED_PATH names, else /var/run/xenstored/socket, else, where
/// there is no daemon, by the kernel's /dev/xen/xenbus.
#[derive(Parser, Debug)]
#[command(name = "xenstore", version)]
pub struct Xenstore {
    /// Only by the socket, not by the kernel
    #[arg(short = 's', long = "socket", global = true)]
    pub is_socket_only: bool,
    /// What to do.
    #[command(subcommand)]
    pub tool: StoreTool,
}

/// What `xenstore` can do.
#[derive(Subcommand, Debug)]
#[command(disable_help_subcommand = true)]
pub enum StoreTool {
    /// Print values
    ///
    /// Bytes that are not printable are shown as \t, \n, \r, \\, \ooo or \xHH.
    Read {
        /// Print the name before each value
        #[arg(short)]
        prefix: bool,
        /// Print values as they are, without a newline
        #[arg(short = 'R')]
        raw: bool,
        /// Nodes
        #[arg(required = true, value_name = "KEY")]
        keys: Vec<String>,
    },
    /// Write values; makes nodes that do not exist
    ///
    /// \t, \n, \r, \\, \ooo and \xHH in values are the bytes that `read` shows so.
    Write {
        /// Take values as they are
        #[arg(short = 'R')]
        raw: bool,
        /// Node and value, node and value, ...
        #[arg(
            required = true,
            value_name = "KEY VALUE",
            allow_negative_numbers = true
        )]
        pairs: Vec<OsString>,
    },
    /// Print the names of children
    List {
        /// Print the node's name before each child's
        #[arg(short)]
        prefix: bool,
        /// Nodes
        #[arg(required = true, value_name = "KEY")]
        keys: Vec<String>,
    },
    /// Print a node and all below it
    Ls {
        /// Print whole names
        #[arg(short)]
        full: bool,
        /// Print permissions
        #[arg(short)]
        perms: bool,
        /// The node
        #[arg(default_value = "/")]
        path: String,
    },
    /// Remove nodes and all below them
    Rm {
        /// Remove nodes above that have neither value nor other children
        #[arg(short)]
        tidy: bool,
        /// Nodes
        #[arg(required = true, value_name = "KEY")]
        keys: Vec<String>,
    },
    /// Succeed if all nodes exist
    Exists {
        /// Has no effect
        #[arg(short, hide = true)]
        prefix: bool,
        /// Nodes
        #[arg(required = true, value_name = "KEY")]
        keys: Vec<String>,
    },
    /// Set permissions
    ///
    /// A mode is a letter (n none, r read, w write, b both) and the number of a domain. The first one names
    /// the owner, who may do everything, and says what domains may do that are not named.
    Chmod {
        /// Set those of all nodes above as well
        #[arg(short)]
        upwards: bool,
        /// Set those of all nodes below as well
        #[arg(short)]
        recursive: bool,
        /// The node
        key: String,
        /// Modes
        #[arg(required = true, value_name = "MODE")]
        modes: Vec<String>,
    },
    /// Print the name of each node that changes
    Watch {
        /// Stop after so many
        #[arg(short)]
        number: Option<u64>,
        /// Nodes; changes below them are printed too
        #[arg(required = true, value_name = "KEY")]
        keys: Vec<String>,
    },
    /// Ask the daemon itself: `help` lists what
    Control {
        /// The command and its arguments
        #[arg(required = true, value_name = "WORD", allow_negative_numbers = true)]
        words: Vec<String>,
    },
}

/// Every program, for the manual pages.
#[must_use]
pub fn programs() -> Vec<clap::Command> {
    let mut xenstore = Xenstore::command();
    // What all commands have in common becomes theirs.
    xenstore.build();
    let mut programs = vec![
        XenstoredOptions::command(),
        XenconsoledOptions::command(),
        XenconsoleOptions::command(),
        XendOptions::command(),
        xentop::XentopOptions::command(),
    ];
    for tool in xenstore.get_subcommands() {
        let name: &'static str = format!("xenstore-{}", tool.get_name()).leak();
        programs.push(tool.clone().name(name).bin_name(name));
    }
    programs.push(xenstore);
    programs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_command_lines_are_consistent() {
        for program in programs() {
            program.debug_assert();
        }
        assert_eq!(parse_quota("nodes=5"), Ok((Quota::Nodes, 5)));
        assert!(parse_quota("nodes").is_err() && parse_quota("nodes=x").is_err());
        assert!(parse_quota("node=5").unwrap_err().contains("node-size"));
    }
}
