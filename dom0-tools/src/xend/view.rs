//! What clients are shown of domains and of the machine.

use crate::config::domain::DomainConfig;
use serde::{Deserialize, Serialize};

/// A domain.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct DomainView {
    /// Its number; `None` for one that is kept, and does not run.
    pub domid: Option<u16>,
    /// Its name.
    pub name: String,
    /// Its identity.
    pub uuid: String,
    /// Memory that it should have.
    pub memory_mib: u64,
    /// Memory that it may grow to.
    pub maxmem_mib: u64,
    /// Virtual processors that are online.
    pub online_vcpus: u32,
    /// Virtual processors that were built.
    pub vcpus: u32,
    /// Running, blocked, paused, shut down, crashed, dying: a letter or a hyphen each; nothing if it does not run.
    pub state: String,
    /// It does not run, and what it was doing is kept too.
    #[serde(default)]
    pub is_suspended: bool,
    /// Processor time since it was made.
    pub cpu_seconds: f64,
    /// When it was started, in seconds since 1970; 0 if that is not known.
    pub start_time: f64,
    /// An administrator has paused it.
    pub paused_by_admin: bool,
    /// How often it was built again.
    pub restart_count: u32,
    /// The frame of its ring to the store.
    pub store_mfn: u64,
    /// The frame of its console's ring.
    pub console_mfn: u64,
    /// What it was to be; `None` for the first domain, for one that is being built, and for those that other tools have made.
    pub config: Option<DomainConfig>,
}

impl DomainView {
    /// By what it is named in calls, so that it is the same whatever it is called by then.
    #[must_use]
    pub fn key(&self) -> String {
        self.domid
            .map_or_else(|| self.uuid.clone(), |domid| domid.to_string())
    }
}

/// How a domain has ended.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct EndView {
    /// `poweroff`, `reboot` or `crash`.
    pub reason: String,
    /// How long it had lived.
    pub seconds: f64,
    /// What becomes of it, behind a semicolon; nothing if nothing is left of it.
    pub then: String,
    /// The last lines that it has printed, as they are shown behind a sentence.
    pub last_words: String,
}

impl EndView {
    /// Of a crash, the sentence on it.
    #[must_use]
    pub fn crash(&self) -> Option<String> {
        let Self { seconds, then, .. } = self;
        (self.reason == "crash").then(|| {
            format!("the guest's kernel has crashed {seconds:.1} seconds after its start{then}.")
        })
    }
}

/// A virtual processor.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct VcpuView {
    /// Its domain's name.
    pub name: String,
    /// Its domain's number, if that one runs.
    pub domid: Option<u16>,
    /// Its number.
    pub vcpu: u32,
    /// The processor that has last run it, if it is online.
    pub cpu: Option<u32>,
    /// Running, blocked, paused: a letter or a hyphen each; nothing if its domain does not run.
    pub state: String,
    /// Processor time since its domain was made.
    pub cpu_seconds: f64,
    /// Where it may run.
    pub affinity: String,
}

/// What a domain is given of the processors. What can't be read is `None`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CreditRow {
    /// Of the domain.
    pub name: String,
    /// Of a domain that runs.
    pub domid: Option<u16>,
    /// Its share, relative to others'.
    pub weight: Option<u32>,
    /// The most it gets, percent of one processor; 0: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap: Option<u32>,
}

/// The machine and the hypervisor.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct HostView {
    /// Names and values, in the order in which they are shown.
    pub fields: Vec<(String, String)>,
    /// Of each processor: core, socket, node.
    pub cpu_topology: Vec<(u32, u32, u32)>,
    /// Of each node: MiB, free MiB, distances.
    pub nodes: Vec<(u64, u64, Vec<u32>)>,
    /// Settings of `xend`.
    pub settings: Vec<(String, String)>,
}

/// Where the machine's memory is. What the hypervisor has, what domains have and what is free are all of it.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct MemoryView {
    /// All of it.
    pub total_kib: u64,
    /// The hypervisor's own.
    pub hypervisor_kib: u64,
    /// What all domains have.
    pub domains_kib: u64,
    /// What nobody has.
    pub free_kib: u64,
    /// The part of that which is set aside for domains that are being built.
    pub claimed_kib: u64,
    /// The last start that was refused for want of memory.
    pub last_refusal: Option<Refusal>,
    /// In the order of their numbers.
    pub domains: Vec<MemoryRow>,
}

/// A domain's part of the memory.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MemoryRow {
    /// The domain's name.
    pub name: String,
    /// Its number.
    pub domid: u16,
    /// What it has.
    pub current_kib: u64,
    /// What it should have.
    pub target_kib: u64,
    /// What it may have; `None` for no limit.
    pub maximum_kib: Option<u64>,
    /// What it has less than it may have; without a limit, less than it had at its start.
    pub ballooned_kib: u64,
}

/// A guest that was not started.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Refusal {
    /// Its name.
    pub name: String,
    /// When that was, in seconds since 1970.
    pub time: f64,
    /// Why, as who wanted it was told.
    pub reason: String,
}
