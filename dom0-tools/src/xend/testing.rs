//! A hypervisor and a store for tests.

use super::create::Start;
use super::machine::{Images, Machine, wanted_features};
use super::nodes::{NewNode, Nodes};
use super::protocol::Fault;
use super::settings::Settings;
use super::testing_devices::Drivers;
use super::testing_memory::Memory;
use super::{Places, SettingsReader, Xend};
use crate::builder::error::BuildError;
use crate::builder::{Built, check_wanted};
use crate::config::domain::{Action, DomainConfig, Uuid};
use crate::control::cpu_list::CpuList;
use crate::control::error::ControlError;
use crate::control::machine_info::{Topology, Version};
use crate::core_dump::DumpError;
use guest_abi::domctl_domain::{DomainInfo, DomainInfoFlags};
use guest_abi::domctl_vcpu::{SchedulerCredit, VcpuState};
use guest_abi::features::Features;
use guest_abi::ids::{DomId, Mfn, Port, Vaddr};
use guest_abi::sched_op::ShutdownReason;
use guest_abi::sysctl::PhysInfo;
use guest_abi::sysctl_cpu::CreditSchedule;
use hypervisor::image::elf::{NoteText, Notes};
use hypervisor::image::start::Ring;
use nix::errno::Errno;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Mutex};
use zerocopy::FromZeros;

/// A configuration whose kernel is a file that exists.
pub(crate) fn config(name: &str) -> DomainConfig {
    let mut uuid = [7; 16];
    for (to, from) in uuid.iter_mut().zip(name.bytes()) {
        *to = from;
    }
    DomainConfig {
        name: name.to_owned(),
        uuid: Uuid(uuid),
        description: String::new(),
        bootloader: String::new(),
        bootargs: String::new(),
        kernel: std::env::current_exe().unwrap().display().to_string(),
        ramdisk: String::new(),
        command_line: "console=hvc0".to_owned(),
        memory_mib: 64,
        maxmem_mib: 64,
        vcpus: 2,
        online_vcpus: 2,
        cpus: Vec::new(),
        cpu_weight: 256,
        cpu_cap: 0,
        pool: "Pool-0".to_owned(),
        features: String::new(),
        on_poweroff: Action::Destroy,
        on_reboot: Action::Restart,
        on_crash: Action::Restart,
        on_xend_start: "ignore".to_owned(),
        on_xend_stop: "ignore".to_owned(),
        tsc_mode: 0,
        nomigrate: false,
        localtime: false,
        rtc_timeoffset: 0,
        devices: Vec::new(),
    }
}

/// The machine's processors.
const NR_CPUS: u32 = 2;

/// What the hypervisor has, and at which step it refuses.
#[derive(Default)]
pub(super) struct State {
    pub(super) domains: BTreeMap<u16, DomainInfo>,
    pub(super) nodes: BTreeMap<String, String>,
    /// Permissions that were set and not removed.
    pub(super) perms: BTreeMap<String, Vec<String>>,
    pub(super) drivers: Drivers,
    pub(super) introduced: Vec<u16>,
    /// Weights and caps that were set.
    credits: BTreeMap<u16, (u16, u16)>,
    /// Processors of domains' vCPUs that were set.
    pins: BTreeMap<(u16, u32), CpuList>,
    /// The scheduler's parameters that were set.
    schedule: Option<CreditSchedule>,
    /// The machine's memory.
    pub(super) memory: Memory,
    last: u16,
    /// The steps that were done since `refuse_at` was set.
    steps: usize,
    pub(super) refuse_at: Option<usize>,
    pub(super) output: Vec<u8>,
    /// How often it was looked whether one lives.
    pub(super) looks: usize,
    /// This one crashes when it was looked whether it lives.
    pub(super) crashes_next: Option<u16>,
    /// What this node says when a domain is unpaused.
    pub(super) noted: Option<String>,
    pub(super) noted_at_unpause: Option<String>,
    /// The hypervisor destroys no domain.
    pub(super) is_immortal: bool,
    /// The next dump says that it has begun, and waits until it may go on.
    pub(super) dump_gate: Option<(Sender<()>, Receiver<()>)>,
}

impl State {
    fn step(&mut self) -> Result<(), ControlError> {
        self.steps += 1;
        if Some(self.steps) == self.refuse_at {
            return Err(ControlError::new("a step of the test", Errno::EIO));
        }
        Ok(())
    }

    pub(super) fn refuse_at(&mut self, step: usize) {
        (self.steps, self.refuse_at) = (0, Some(step));
    }

    /// The domain ends.
    pub(super) fn end(&mut self, domain: u16, reason: u32) {
        let info = self.domains.get_mut(&domain).unwrap();
        info.flags = DomainInfoFlags::SHUTDOWN | DomainInfoFlags::from_bits_retain(reason << 16);
    }
}

impl State {
    pub(super) fn set(&mut self, path: &str, value: &str) {
        self.nodes.insert(path.to_owned(), value.to_owned());
        let Some(backend) = path.strip_suffix("/state") else {
            return;
        };
        // The daemon serves consoles, and no driver.
        let kind = backend.strip_prefix("/local/domain/0/backend/");
        if kind.is_none_or(|kind| kind.starts_with("console/")) {
            return;
        }
        match value {
            "1" if !self.drivers.are_missing => {
                self.nodes.insert(path.to_owned(), "2".to_owned());
                self.drivers.backends.push(backend.to_owned());
            }
            "5" if !self.drivers.guests_are_stubborn => {
                self.drivers.backends.retain(|one| one != backend);
            }
            _ => {}
        }
    }

    fn set_together(&mut self, nodes: &[NewNode]) {
        for node in nodes {
            self.nodes.insert(node.path.clone(), node.value.clone());
            if let Some(perms) = &node.perms {
                self.perms.insert(node.path.clone(), perms.clone());
            }
        }
        // Drivers see all of it at once.
        for node in nodes {
            self.set(&node.path, &node.value);
        }
    }

    fn unset(&mut self, path: &str) {
        let below = format!("{path}/");
        let is_it = |node: &str| node == path || node.starts_with(&below);
        self.nodes.retain(|node, _| !is_it(node));
        self.perms.retain(|node, _| !is_it(node));
        // A backend ends with its frontend.
        let nodes = &self.nodes;
        self.drivers.backends.retain(|backend| {
            let frontend = nodes.get(&format!("{backend}/frontend"));
            frontend.is_some_and(|frontend| nodes.contains_key(&format!("{frontend}/state")))
        });
    }
}

/// Shared by the test, the hypervisor's and the store's stand-ins.
#[derive(Clone, Default)]
pub(super) struct World(pub(super) Arc<Mutex<State>>);

impl World {
    pub(super) fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// A daemon over this world, with records in a directory of the test's name.
    pub(super) fn xend(&self, test: &str) -> Arc<Xend> {
        self.xend_that_reads(test, self.settings(test))
    }

    /// The same, with settings that are read so.
    pub(super) fn xend_that_reads(&self, test: &str, read_settings: SettingsReader) -> Arc<Xend> {
        let store = self.clone();
        let places = Places {
            records: self.directory(test),
            dumps: self.directory(test).with_extension("dumps"),
        };
        let connect = move || Ok(Box::new(store.clone()) as Box<dyn Nodes>);
        Xend::new(
            Box::new(self.clone()),
            Box::new(connect),
            Box::new(self.clone()),
            places,
            read_settings().unwrap(),
            read_settings,
            "boot",
        )
        .unwrap()
    }

    /// As a file of the test's name says, if there is one, and else as is usual.
    fn settings(&self, test: &str) -> SettingsReader {
        let directory = self.directory(test);
        Box::new(move || {
            let domains = directory.with_extension("domains");
            Settings::for_test(&directory.with_extension("settings"), &domains)
        })
    }

    pub(super) fn directory(&self, test: &str) -> PathBuf {
        std::env::temp_dir().join(format!("xend-{test}-{}", std::process::id()))
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> Result<T, ControlError> {
        let mut state = self.state();
        state.step()?;
        Ok(act(&mut state))
    }

    fn change(&self, domain: DomId, act: impl FnOnce(&mut DomainInfo)) -> Result<(), ControlError> {
        self.with(|state| match state.domains.get_mut(&domain.0) {
            Some(info) => {
                act(info);
                Ok(())
            }
            None => Err(ControlError::new("a test", Errno::ESRCH)),
        })?
    }
}

/// What a Linux says of itself.
pub(super) fn notes() -> Notes {
    let text = |text: &str| NoteText::new(text.as_bytes());
    Notes {
        entry: Vaddr(0xFFFF_FFFF_8100_0040),
        hypercall_page: None,
        virt_base: Vaddr(0xFFFF_FFFF_8000_0000),
        paddr_offset: 0,
        required_features: Features::empty(),
        supported_features: Features::empty(),
        has_supported_features: false,
        init_p2m: None,
        takes_unmapped_initrd: true,
        l1_mfn_valid: None,
        suspend_cancel: true,
        guest_os: text("linux"),
        guest_version: text("2.6"),
        loader: text("generic"),
    }
}

/// A daemon with a guest that runs.
pub(super) fn running(test: &str) -> (World, Arc<Xend>) {
    let world = World::default();
    world.state().output = b"x".to_vec();
    let xend = world.xend(test);
    let _ = xend.create(config("etch"), Start::Running).unwrap();
    (world, xend)
}

impl Machine for World {
    fn domains(&self) -> Result<Vec<DomainInfo>, ControlError> {
        let state = self.state();
        // Where it is described, it is there.
        let first = state.first_target().map(|_| state.memory.first());
        let guests = state.domains.values().copied();
        Ok(first.into_iter().chain(guests).collect())
    }

    fn domain(&self, domain: DomId) -> Result<Option<DomainInfo>, ControlError> {
        if domain == DomId::DOM0 {
            return Ok(Some(self.state().memory.first()));
        }
        Ok(self.state().domains.get(&domain.0).copied())
    }

    fn images(&self, _: &DomainConfig, _: Option<u32>) -> Result<Images, BuildError> {
        Ok(self.with(|_| Images::default())?)
    }

    fn create(&self, config: &DomainConfig) -> Result<DomId, ControlError> {
        self.with(|state| {
            state.last += 1;
            let mut info = DomainInfo::new_zeroed();
            info.domain = DomId(state.last);
            info.handle = config.uuid.0;
            info.flags = DomainInfoFlags::PAUSED;
            info.max_vcpu_id = config.vcpus - 1;
            state.domains.insert(state.last, info);
            DomId(state.last)
        })
    }

    fn set_up(&self, domain: DomId, config: &DomainConfig) -> Result<(), ControlError> {
        for (vcpu, cpus) in config.pins(NR_CPUS) {
            self.pin(domain, vcpu, &cpus)?;
        }
        self.change(domain, |info| info.max_pages = config.maxmem_mib << 8)
    }

    fn limit_memory(&self, domain: DomId, kib: u64) -> Result<(), ControlError> {
        if domain == DomId::DOM0 {
            return self.with(|state| state.memory.first_most = kib >> 2);
        }
        self.change(domain, |info| info.max_pages = kib >> 2)
    }

    fn claim(&self, domain: DomId, frames: u64) -> Result<(), ControlError> {
        self.with(|state| state.claim(domain, frames))?
    }

    fn build(&self, domain: DomId, config: &DomainConfig, _: &Images) -> Result<Built, BuildError> {
        check_wanted(&notes(), wanted_features(config))?;
        self.with(|state| state.populate(domain, config.memory_mib << 8))??;
        let ring = |number: u32| Ring {
            mfn: Mfn(number.into()),
            port: Port(number),
        };
        Ok(Built {
            store: ring(1),
            console: ring(2),
            notes: notes(),
        })
    }

    fn destroy(&self, domain: DomId) -> Result<(), ControlError> {
        let mut state = self.state();
        if state.is_immortal {
            return Err(ControlError::new("a test", Errno::EBUSY));
        }
        match state.domains.remove(&domain.0) {
            Some(_) => Ok(()),
            None => Err(ControlError::new("a test", Errno::ESRCH)),
        }
    }

    fn pause(&self, domain: DomId) -> Result<(), ControlError> {
        self.change(domain, |info| info.flags |= DomainInfoFlags::PAUSED)
    }

    fn unpause(&self, domain: DomId) -> Result<(), ControlError> {
        {
            let mut state = self.state();
            let noted = state.noted.as_ref();
            state.noted_at_unpause = noted.and_then(|node| state.nodes.get(node).cloned());
        }
        self.change(domain, |info| {
            info.flags = DomainInfoFlags::BLOCKED;
        })
    }

    fn set_handle(&self, domain: DomId, handle: [u8; 16]) -> Result<(), ControlError> {
        self.change(domain, |info| info.handle = handle)
    }

    fn vcpu(&self, _: DomId, vcpu: u32) -> Result<Option<VcpuState>, ControlError> {
        let mut state = VcpuState::new_zeroed();
        (state.vcpu, state.online, state.blocked) = (vcpu, 1, 1);
        Ok(Some(state))
    }

    fn affinity(&self, domain: DomId, vcpu: u32, nr_cpus: u32) -> Result<CpuList, ControlError> {
        let pinned = self.state().pins.get(&(domain.0, vcpu)).cloned();
        Ok(pinned.unwrap_or_else(|| CpuList::first(nr_cpus)))
    }

    fn pin(&self, domain: DomId, vcpu: u32, cpus: &CpuList) -> Result<(), ControlError> {
        self.state().pins.insert((domain.0, vcpu), cpus.clone());
        self.change(domain, |_| {})
    }

    fn credit(&self, domain: DomId) -> Result<SchedulerCredit, ControlError> {
        let (weight, cap) = self
            .state()
            .credits
            .get(&domain.0)
            .copied()
            .unwrap_or((256, 0));
        Ok(SchedulerCredit { weight, cap })
    }

    fn set_credit(&self, domain: DomId, credit: SchedulerCredit) -> Result<(), ControlError> {
        let to = (credit.weight, credit.cap);
        self.with(|state| state.credits.insert(domain.0, to))?;
        Ok(())
    }

    fn schedule(&self, wanted: Option<CreditSchedule>) -> Result<CreditSchedule, ControlError> {
        let mut state = self.state();
        if let Some(wanted) = wanted {
            if wanted.tslice_ms == 0 {
                return Err(ControlError::new("a test", Errno::EINVAL));
            }
            state.schedule = Some(wanted);
        }
        let usual = CreditSchedule {
            tslice_ms: 30,
            ratelimit_us: 1000,
            vcpu_migr_delay_us: 0,
        };
        Ok(state.schedule.unwrap_or(usual))
    }

    fn physical(&self) -> Result<PhysInfo, ControlError> {
        let mut state = self.state();
        state.let_first_follow();
        let mut info = PhysInfo::new_zeroed();
        info.nr_cpus = NR_CPUS;
        info.total_pages = state.memory.total;
        info.free_pages = state.free_pages();
        info.outstanding_pages = state.claimed_pages();
        Ok(info)
    }

    fn topology(&self) -> Result<Topology, ControlError> {
        Ok(Topology::default())
    }

    fn version(&self) -> Result<Version, ControlError> {
        Ok(Version::default())
    }

    fn scheduler(&self) -> Result<u32, ControlError> {
        Ok(5)
    }

    fn console(&self, _: bool) -> Result<Vec<u8>, ControlError> {
        Ok(b"booted\n".to_vec())
    }

    fn debug_keys(&self, _: &[u8]) -> Result<(), ControlError> {
        Ok(())
    }

    fn last_output(&self, _: DomId, _: Mfn) -> Result<Vec<u8>, ControlError> {
        Ok(self.state().output.clone())
    }

    fn has_asked_store(&self, _: DomId, _: Mfn) -> Result<bool, ControlError> {
        let mut state = self.state();
        state.looks += 1;
        if let Some(domain) = state.crashes_next.take() {
            state.end(domain, ShutdownReason::Crash as u32);
            return Ok(false);
        }
        // What they print, they print when they live.
        Ok(!state.output.is_empty())
    }

    fn dump_core(&self, _: DomId, file: &mut File) -> Result<usize, DumpError> {
        let gate = self.state().dump_gate.take();
        if let Some((begins, ended)) = gate {
            begins.send(()).unwrap();
            ended.recv().unwrap();
        }
        let step = self.with(|_| ());
        file.write_all(b"core")?;
        step?;
        Ok(1)
    }
}

impl Nodes for World {
    fn write(&mut self, path: &str, value: &str) -> Result<(), Fault> {
        self.with(|state| state.set(path, value))?;
        Ok(())
    }

    fn write_together(&mut self, nodes: &[NewNode]) -> Result<(), Fault> {
        self.with(|state| state.set_together(nodes))?;
        Ok(())
    }

    fn read(&mut self, path: &str) -> Result<Option<String>, Fault> {
        Ok(self.state().nodes.get(path).cloned())
    }

    fn remove(&mut self, path: &str) -> Result<(), Fault> {
        self.state().unset(path);
        Ok(())
    }

    fn children(&mut self, path: &str) -> Result<Vec<String>, Fault> {
        let below = format!("{path}/");
        let state = self.state();
        let children = state.nodes.keys().filter_map(|node| {
            let rest = node.strip_prefix(&below)?;
            Some(rest.split('/').next().unwrap_or_default().to_owned())
        });
        let mut children: Vec<_> = children.collect();
        children.dedup();
        Ok(children)
    }

    fn set_perms(&mut self, path: &str, perms: &[String]) -> Result<(), Fault> {
        self.with(|state| state.perms.insert(path.to_owned(), perms.to_vec()))?;
        Ok(())
    }

    fn introduce(&mut self, domain: DomId, _: Mfn, _: Port) -> Result<(), Fault> {
        self.with(|state| state.introduced.push(domain.0))?;
        Ok(())
    }

    fn release(&mut self, domain: DomId) -> Result<(), Fault> {
        self.state().introduced.retain(|&one| one != domain.0);
        Ok(())
    }
}
