//! What clients and `xend` say to each other: a line of JSON each way for each call, over a Unix socket.

use super::devices::Class;
use super::devices::running::{Detach, DeviceView};
use super::view::{CreditRow, DomainView, EndView, HostView, MemoryView, VcpuView};
use crate::config::devices::Device;
use crate::config::disk::Disk;
use crate::config::domain::DomainConfig;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Where `xend` listens, unless [`SOCKET_VARIABLE`] says otherwise.
pub const SOCKET: &str = "/var/run/xend/api.sock";
/// Names the socket.
pub const SOCKET_VARIABLE: &str = "XEND_SOCKET";
/// The longest line.
pub const MAX_LINE: u64 = 4 << 20;

/// What is asked. A domain is a name, a number or an identity.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "call", rename_all = "kebab-case")]
pub enum Request {
    /// Nothing.
    Ping,
    /// All domains, or those that are named, in this order.
    List {
        /// Which; none for all.
        domains: Vec<String>,
    },
    /// Builds a domain.
    Create {
        /// What it is to be.
        config: Box<DomainConfig>,
        /// It does not run yet.
        paused: bool,
        /// The entry that was chosen of its boot loader's menu.
        #[serde(default)]
        entry: Option<u32>,
    },
    /// Answered when nothing is left of a domain that has ended: its devices, and who serves them.
    AwaitCleanUp {
        /// Its identity.
        uuid: String,
    },
    /// Answered with how a domain has ended, when all is done about that; at once if it runs.
    HowEnded {
        /// Its number.
        domid: u16,
    },
    /// Keeps a domain, which does not run yet.
    New {
        /// What it is to be.
        config: Box<DomainConfig>,
    },
    /// Builds a domain that is kept.
    Start {
        /// Which.
        domain: String,
        /// It does not run yet.
        paused: bool,
    },
    /// Keeps a domain no longer.
    Delete {
        /// Which.
        domain: String,
    },
    /// Ends a domain at once.
    Destroy {
        /// Which.
        domain: String,
    },
    /// Stops a domain.
    Pause {
        /// Which.
        domain: String,
    },
    /// Lets a domain go on.
    Unpause {
        /// Which.
        domain: String,
    },
    /// Asks a domain's kernel to end.
    Shutdown {
        /// Which.
        domain: String,
        /// `poweroff`, `reboot` or `halt`.
        reason: String,
    },
    /// Builds a domain anew.
    Reset {
        /// Which.
        domain: String,
    },
    /// Gives a domain another name.
    Rename {
        /// Which.
        domain: String,
        /// Its new name.
        name: String,
    },
    /// Describes virtual processors of all domains, or of those that are named.
    Vcpus {
        /// Which; none for all.
        domains: Vec<String>,
    },
    /// Asks a domain's kernel to use so many of its virtual processors.
    SetVcpus {
        /// Which.
        domain: String,
        /// How many.
        count: i64,
    },
    /// Says what memory a domain should have.
    SetMemory {
        /// Which.
        domain: String,
        /// How much.
        mib: u64,
    },
    /// Says what memory a domain may have at most.
    LimitMemory {
        /// Which.
        domain: String,
        /// How much.
        mib: u64,
    },
    /// Says where virtual processors may run.
    PinVcpu {
        /// Which.
        domain: String,
        /// Which of its virtual processors; `None` for all.
        vcpu: Option<u32>,
        /// A list of processors, as administrators write it.
        cpus: String,
    },
    /// Weights and caps of all domains, or of those that are named.
    Shares {
        /// Which; none for all.
        domains: Vec<String>,
    },
    /// Changes a domain's weight and cap.
    SetShare {
        /// Which.
        domain: String,
        /// Its weight, if that changes.
        weight: Option<i64>,
        /// Its cap, if that changes.
        cap: Option<i64>,
    },
    /// The scheduler's parameters, after those are changed that are given.
    Schedule {
        /// The time slice.
        tslice_ms: Option<u32>,
        /// The rate limit.
        ratelimit_us: Option<u32>,
    },
    /// Gives a domain that runs another device.
    Attach {
        /// Which domain.
        domain: String,
        /// What it gets.
        device: Box<Device>,
    },
    /// Changes the disk in a drive of a domain that runs.
    Configure {
        /// Which domain.
        domain: String,
        /// The drive, with what is to be in it.
        disk: Box<Disk>,
    },
    /// Takes a device from a domain that runs.
    Detach {
        /// Which domain.
        domain: String,
        /// The kind of device.
        class: Class,
        /// Which of them: its number, its name or its address.
        device: String,
        /// Whether the guest is asked.
        how: Detach,
    },
    /// Describes the devices of a domain that runs.
    Devices {
        /// Which domain.
        domain: String,
        /// The kind of devices.
        class: Class,
    },
    /// Sends a magic key to a domain's kernel.
    Sysrq {
        /// Which.
        domain: String,
        /// The letter.
        letter: String,
    },
    /// Writes a domain's memory to a file.
    DumpCore {
        /// Which.
        domain: String,
        /// The file; `None` for one of the usual name.
        file: Option<String>,
        /// The domain goes on meanwhile.
        live: bool,
        /// What happens to the domain afterwards.
        then: AfterDump,
    },
    /// How far the core of a domain is.
    DumpProgress {
        /// Which.
        domain: String,
    },
    /// Describes the machine.
    Host,
    /// Says where the machine's memory is.
    Memory,
    /// What the hypervisor has printed.
    Dmesg {
        /// And forget it.
        clear: bool,
    },
    /// What `xend` has logged.
    Log,
    /// Reads the settings again.
    Reload,
    /// Presses keys on the hypervisor's console.
    DebugKeys {
        /// The letters.
        keys: String,
    },
}

/// What happens to a domain after its memory was written to a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AfterDump {
    /// It goes on.
    GoOn,
    /// It is destroyed.
    Destroy,
    /// It is built anew.
    Reset,
}

/// What is answered.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Response {
    /// It is done.
    Done,
    /// Domains.
    Domains(Vec<DomainView>),
    /// A domain that was built.
    Created {
        /// Its number.
        domid: u16,
        /// What else there is to say.
        warnings: Vec<String>,
    },
    /// How a domain has ended; `None` if it runs, or if it was destroyed, or ended before this `xend` was started.
    Ended(Option<EndView>),
    /// Virtual processors.
    Vcpus(Vec<VcpuView>),
    /// Weights and caps.
    Shares(Vec<CreditRow>),
    /// The scheduler's parameters.
    Schedule {
        /// The time slice.
        tslice_ms: u32,
        /// The rate limit.
        ratelimit_us: u32,
    },
    /// Devices.
    Devices(Vec<DeviceView>),
    /// The machine.
    Host(Box<HostView>),
    /// The machine's memory.
    Memory(Box<MemoryView>),
    /// A text.
    Text(String),
    /// So much of something is done.
    Progress {
        /// How much.
        done: u64,
        /// How much in all; 0 if nothing is being done.
        total: u64,
    },
    /// It is not done.
    Fault(Fault),
}

/// Why something is not done.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// There is no such domain.
    NoDomain(String),
    /// A sentence.
    Text(String),
}

impl Fault {
    /// A sentence.
    #[must_use]
    pub fn text(text: impl ToString) -> Self {
        Self::Text(text.to_string())
    }
}

impl Fault {
    /// Of a domain that is kept, and does not run.
    #[must_use]
    pub fn not_started(name: &str) -> Self {
        Self::Text(format!("Domain '{name}' is not started"))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDomain(name) => write!(f, "Domain '{name}' does not exist."),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl From<crate::control::error::ControlError> for Fault {
    fn from(error: crate::control::error::ControlError) -> Self {
        Self::text(error)
    }
}

impl From<crate::builder::error::BuildError> for Fault {
    fn from(error: crate::builder::error::BuildError) -> Self {
        Self::text(error)
    }
}
