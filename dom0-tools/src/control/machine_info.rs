//! What the hypervisor says about the machine and about itself.

use guest_abi::sysctl_cpu::{CpuTopology, NodeMemory};

/// Where processors are, and how much memory each node has.
#[derive(Clone, Debug, Default)]
pub struct Topology {
    /// Of each processor.
    pub cpus: Vec<CpuTopology>,
    /// Of each node.
    pub nodes: Vec<NodeMemory>,
    /// From each node to each node, row by row.
    pub distances: Vec<u32>,
}

/// What the hypervisor says about itself.
#[derive(Clone, Debug, Default)]
pub struct Version {
    /// Of the interface.
    pub major: u32,
    /// Of the interface.
    pub minor: u32,
    /// What follows these two.
    pub extra: String,
    /// Kinds of guests.
    pub capabilities: String,
    /// What it was built from.
    pub changeset: String,
    /// What it was told at boot.
    pub command_line: String,
    /// Bytes of a page.
    pub page_bytes: u32,
    /// Where guests see the hypervisor's part of the address space.
    pub virt_start: u64,
    /// How it was built.
    pub compiled: CompileInfo,
}

/// How the hypervisor was built.
#[derive(Clone, Debug, Default)]
pub struct CompileInfo {
    /// By which compiler.
    pub compiler: String,
    /// By whom.
    pub by: String,
    /// Where.
    pub domain: String,
    /// When.
    pub date: String,
}
