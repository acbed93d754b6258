//! Control of the whole machine, and what the hypervisor says about itself.

use super::privcmd::{Locked, Privcmd};
use crate::control::error::ControlError;
use crate::control::machine_info::{CompileInfo, Topology, Version};
use guest_abi::domctl_domain::DomainInfo;
use guest_abi::domctl_vcpu::Scheduler;
use guest_abi::hypercall::Hypercall;
use guest_abi::ids::DomId;
use guest_abi::payload::Payload;
use guest_abi::sysctl::{
    DebugKeys, DomainInfoList, INTERFACE_VERSION, PhysInfo, ReadConsole, Sysctl, SysctlOp,
};
use guest_abi::sysctl_cpu::{
    CpuIdleTime, CpuIdleTimes, CpuTopology, CpuTopologyInfo, CreditSchedule, NodeMemory, NumaInfo,
    SchedulerCommand, SchedulerId, SchedulerOp,
};
use guest_abi::version::{
    CAPABILITIES_SIZE, CHANGESET_SIZE, COMMAND_LINE_SIZE, CompileInfo as AbiCompileInfo,
    EXTRA_VERSION_SIZE, PlatformParameters, VersionOp,
};
use nix::errno::Errno;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes};

/// Where in a call's memory that begins with a [`Sysctl`] something else may lie.
const BEHIND: usize = 1024;
/// Domains that are asked for at once.
const DOMAINS_AT_ONCE: usize = 256;
/// Processors that are asked for.
const MAX_CPUS: u32 = 4096;
/// Bytes of the log that are read at once.
const LOG_PIECE_BYTES: usize = 64 << 10;
/// The longest log that is read.
const MAX_LOG_BYTES: usize = 16 << 20;

impl Privcmd {
    /// # Safety
    ///
    /// Addresses in the payload are of as much [`Locked`] memory as the operation uses.
    unsafe fn sysctl<T: IntoBytes + Immutable, A: FromBytes>(
        &self,
        memory: &mut Locked,
        operation: SysctlOp,
        payload: &T,
    ) -> Result<A, Errno> {
        const { assert!(size_of::<A>() <= Payload::<16>::SIZE) };
        let mut union = Payload::ZERO;
        for (to, from) in union.as_mut_bytes().iter_mut().zip(payload.as_bytes()) {
            *to = *from;
        }
        memory.write(
            0,
            &Sysctl {
                cmd: operation as u32,
                interface_version: INTERFACE_VERSION,
                u: union,
            },
        );
        // SAFETY: the structure is in locked memory that is longer; the rest is the caller's promise.
        unsafe { self.call(Hypercall::Sysctl, [memory.address(0).0, 0, 0, 0, 0]) }?;
        let answer: Sysctl = memory.read(0);
        Ok(answer.u.read())
    }

    /// Describes the machine.
    ///
    /// # Errors
    ///
    /// The hypervisor's.
    pub fn machine(&self) -> Result<PhysInfo, ControlError> {
        let mut memory = self.locked(size_of::<Sysctl>())?;
        let asked = PhysInfo::new_zeroed();
        // SAFETY: the structure has no addresses.
        let answer = unsafe { self.sysctl(&mut memory, SysctlOp::PhysInfo, &asked) };
        self.give_back(memory);
        answer.map_err(|errno| ControlError::new("asking about the machine", errno))
    }

    /// The number of the scheduler.
    ///
    /// # Errors
    ///
    /// The hypervisor's.
    pub fn scheduler(&self) -> Result<u32, ControlError> {
        let mut memory = self.locked(size_of::<Sysctl>())?;
        let asked = SchedulerId { sched_id: 0 };
        // SAFETY: the structure has no addresses.
        let answer = unsafe { self.sysctl(&mut memory, SysctlOp::SchedulerId, &asked) };
        self.give_back(memory);
        answer
            .map(|id: SchedulerId| id.sched_id)
            .map_err(|errno| ControlError::new("asking for the scheduler", errno))
    }

    /// The parameters of the credit scheduler; with some, sets them before.
    ///
    /// # Errors
    ///
    /// The hypervisor's.
    pub fn credit_schedule(
        &self,
        wanted: Option<CreditSchedule>,
    ) -> Result<CreditSchedule, ControlError> {
        let mut memory = self.locked(size_of::<Sysctl>())?;
        let mut asked = SchedulerOp::new_zeroed();
        asked.sched_id = Scheduler::Credit as u32;
        asked.cmd = SchedulerCommand::GetInfo as u32;
        if let Some(wanted) = wanted {
            asked.cmd = SchedulerCommand::PutInfo as u32;
            asked.u = Payload::of(&wanted);
        }
        // SAFETY: the structure has no addresses.
        let answer = unsafe { self.sysctl(&mut memory, SysctlOp::SchedulerOp, &asked) };
        self.give_back(memory);
        answer
            .map(|operation: SchedulerOp| operation.u.read())
            .map_err(|errno| ControlError::new("asking the scheduler", errno))
    }

    /// How long each processor has been idle since the boot, in nanoseconds.
    ///
    /// # Errors
    ///
    /// The hypervisor's.
    pub fn idle_times(&self, highest: u32) -> Result<Vec<u64>, ControlError> {
        let most = highest.saturating_add(1).min(MAX_CPUS);
        let size = most as usize * size_of::<CpuIdleTime>();
        let mut memory = self.locked(BEHIND + size)?;
        let list = CpuIdleTimes {
            max_cpus: most,
            pad0: [0; 4],
            info: memory.address(BEHIND),
            nr_cpus: 0,
            pad1: [0; 4],
        };
        // SAFETY: the address is of room for as many processors as are said, in this locked memory.
        let answer: Result<CpuIdleTimes, _> =
            unsafe { self.sysctl(&mut memory, SysctlOp::GetCpuInfo, &list) };
        let answer = answer.map_err(|errno| ControlError::new("asking for idle times", errno));
        let times = answer.map(|answer| {
            let count = answer.nr_cpus.min(most) as usize;
            let times = memory.read_list::<CpuIdleTime>(BEHIND, count);
            times.iter().map(|time| time.idletime).collect()
        });
        self.give_back(memory);
        times
    }

    /// All domains, in the order of their numbers.
    ///
    /// # Errors
    ///
    /// The hypervisor's.
    pub fn domains(&self) -> Result<Vec<DomainInfo>, ControlError> {
        let mut all: Vec<DomainInfo> = Vec::new();
        let mut first = DomId(0);
        let mut memory = self.locked(BEHIND + DOMAINS_AT_ONCE * size_of::<DomainInfo>())?;
        loop {
            let list = DomainInfoList {
                first_domain: first,
                pad0: [0; 2],
                max_domains: DOMAINS_AT_ONCE as u32,
                buffer: memory.address(BEHIND),
                num_domains: 0,
                pad1: [0; 4],
            };
            // SAFETY: the address is of room for as many domains as are said, in this locked memory.
            let answer: Result<DomainInfoList, _> =
                unsafe { self.sysctl(&mut memory, SysctlOp::GetDomainInfoList, &list) };
            let answer = answer.map_err(|errno| ControlError::new("listing domains", errno))?;
            let count = (answer.num_domains as usize).min(DOMAINS_AT_ONCE);
            all.extend(memory.read_list::<DomainInfo>(BEHIND, count));
            match all.last() {
                Some(last) if count == DOMAINS_AT_ONCE => {
                    first = DomId(last.domain.0.saturating_add(1));
                }
                _ => break,
            }
        }
        self.give_back(memory);
        Ok(all)
    }

    /// What the hypervisor has printed, and that it is forgotten there if `clear` says so. What it prints meanwhile is read
    /// as well, or is still there.
    ///
    /// # Errors
    ///
    /// The hypervisor's.
    pub fn read_console(&self, clear: bool) -> Result<Vec<u8>, ControlError> {
        let (mut all, mut from) = (Vec::new(), None);
        loop {
            let (bytes, is_all, index) = self.console(LOG_PIECE_BYTES, clear.into(), from)?;
            all.extend(bytes);
            if is_all || all.len() >= MAX_LOG_BYTES {
                return Ok(all);
            }
            from = Some(index);
        }
    }

    /// What the hypervisor has printed since its log was read up to an index, at most so many bytes, and the index behind
    /// it. What is no longer in its log is left out. `None`: from the oldest on.
    ///
    /// # Errors
    ///
    /// The hypervisor's.
    pub fn read_console_from(
        &self,
        index: Option<u32>,
        most: usize,
    ) -> Result<(Vec<u8>, u32), ControlError> {
        let (bytes, _, index) = self.console(most, 0, index)?;
        Ok((bytes, index))
    }

    /// Bytes, whether these are all, and the index behind them.
    fn console(
        &self,
        room: usize,
        clear: u8,
        from: Option<u32>,
    ) -> Result<(Vec<u8>, bool, u32), ControlError> {
        let mut memory = self.locked(BEHIND + room)?;
        let asked = ReadConsole {
            clear,
            incremental: u8::from(from.is_some()),
            pad0: 0,
            pad1: 0,
            index: from.unwrap_or(0),
            buffer: memory.address(BEHIND),
            count: room as u32,
            pad2: [0; 4],
        };
        // SAFETY: the address is of as much room as is said, in this locked memory.
        let answer: Result<ReadConsole, _> =
            unsafe { self.sysctl(&mut memory, SysctlOp::ReadConsole, &asked) };
        let answer =
            answer.map_err(|errno| ControlError::new("reading the hypervisor's log", errno))?;
        let count = (answer.count as usize).min(room);
        let bytes = memory.read_list(BEHIND, count);
        self.give_back(memory);
        Ok((bytes, count < room, answer.index))
    }

    /// Presses keys on the hypervisor's console.
    ///
    /// # Errors
    ///
    /// The hypervisor's.
    pub fn debug_keys(&self, keys: &[u8]) -> Result<(), ControlError> {
        let mut memory = self.locked(BEHIND + keys.len())?;
        memory.write(BEHIND, keys);
        let asked = DebugKeys {
            keys: memory.address(BEHIND),
            nr_keys: keys.len() as u32,
            pad0: [0; 4],
        };
        // SAFETY: the address is of as many letters as are said, in this locked memory.
        let answer: Result<u64, _> =
            unsafe { self.sysctl(&mut memory, SysctlOp::DebugKeys, &asked) };
        self.give_back(memory);
        answer
            .map(drop)
            .map_err(|errno| ControlError::new("pressing debug keys", errno))
    }

    /// Where processors are, and how much memory each node has.
    ///
    /// # Errors
    ///
    /// The hypervisor's.
    pub fn topology(&self, nr_cpus: u32, nr_nodes: u32) -> Result<Topology, ControlError> {
        let doing = "asking for the machine's topology";
        let (cpus, nodes) = (nr_cpus as usize, nr_nodes as usize);
        let mut memory = self.locked(BEHIND + cpus * size_of::<CpuTopology>())?;
        let asked = CpuTopologyInfo {
            num_cpus: nr_cpus,
            pad0: [0; 4],
            cputopo: memory.address(BEHIND),
        };
        // SAFETY: the address is of room for as many processors as are said, in this locked memory.
        let answer: Result<CpuTopologyInfo, _> =
            unsafe { self.sysctl(&mut memory, SysctlOp::CpuTopologyInfo, &asked) };
        let count = answer
            .map_err(|errno| ControlError::new(doing, errno))?
            .num_cpus as usize;
        let cpus = memory.read_list(BEHIND, count.min(cpus));
        self.give_back(memory);
        let distances_at = BEHIND + nodes * size_of::<NodeMemory>();
        let mut memory = self.locked(distances_at + nodes * nodes * 4)?;
        let asked = NumaInfo {
            num_nodes: nr_nodes,
            pad0: [0; 4],
            meminfo: memory.address(BEHIND),
            distance: memory.address(distances_at),
        };
        // SAFETY: the addresses are of room for as many nodes as are said, in this locked memory.
        let answer: Result<NumaInfo, _> =
            unsafe { self.sysctl(&mut memory, SysctlOp::NumaInfo, &asked) };
        let count = answer
            .map_err(|errno| ControlError::new(doing, errno))?
            .num_nodes as usize;
        let count = count.min(nodes);
        let topology = Topology {
            cpus,
            nodes: memory.read_list(BEHIND, count),
            distances: memory.read_list(distances_at, count * count),
        };
        self.give_back(memory);
        Ok(topology)
    }

    /// What the hypervisor says about itself.
    ///
    /// # Errors
    ///
    /// The hypervisor's.
    pub fn version(&self) -> Result<Version, ControlError> {
        let number = self.version_number(VersionOp::Version)?;
        let compiled: AbiCompileInfo = self.version_structure(VersionOp::CompileInfo)?;
        let parameters: PlatformParameters =
            self.version_structure(VersionOp::PlatformParameters)?;
        let text = |bytes: &[u8]| {
            let text = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
            String::from_utf8_lossy(text).trim().to_owned()
        };
        Ok(Version {
            major: number >> 16,
            minor: number & 0xFFFF,
            extra: text(
                &self.version_structure::<[u8; EXTRA_VERSION_SIZE]>(VersionOp::ExtraVersion)?,
            ),
            capabilities: text(
                &self.version_structure::<[u8; CAPABILITIES_SIZE]>(VersionOp::Capabilities)?,
            ),
            changeset: text(&self.version_structure::<[u8; CHANGESET_SIZE]>(VersionOp::Changeset)?),
            command_line: text(
                &self.version_structure::<[u8; COMMAND_LINE_SIZE]>(VersionOp::CommandLine)?,
            ),
            page_bytes: self.version_number(VersionOp::PageSize)?,
            virt_start: parameters.virt_start,
            compiled: CompileInfo {
                compiler: text(&compiled.compiler),
                by: text(&compiled.compile_by),
                domain: text(&compiled.compile_domain),
                date: text(&compiled.compile_date),
            },
        })
    }

    fn version_number(&self, operation: VersionOp) -> Result<u32, ControlError> {
        // SAFETY: these operations have no argument; 0 is not used as an address.
        let answer = unsafe { self.call(Hypercall::Version, [operation as u64, 0, 0, 0, 0]) };
        let number = answer
            .map_err(|errno| ControlError::new("asking for the hypervisor's version", errno))?;
        Ok(number as u32)
    }

    fn version_structure<T: FromBytes>(&self, operation: VersionOp) -> Result<T, ControlError> {
        let memory = self.locked(size_of::<T>())?;
        let arguments = [operation as u64, memory.address(0).0, 0, 0, 0];
        // SAFETY: the address is of locked memory as long as the operation's structure, which `T` is, as
        // callers see to.
        let answer = unsafe { self.call(Hypercall::Version, arguments) };
        let value = memory.read(0);
        self.give_back(memory);
        answer
            .map(|_| value)
            .map_err(|errno| ControlError::new("asking for the hypervisor's version", errno))
    }
}
