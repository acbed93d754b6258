//! Looks at the hypervisor, at the store and at the kernel.

use crate::counters::{BACKENDS, devices};
use crate::sample::{Domain, Sample, State, Vcpu};
use dom0_tools::client::connection::Connection;
use dom0_tools::control::error::ControlError;
use dom0_tools::device::privcmd::Privcmd;
use guest_abi::domctl_domain::{DomainInfo, INVALID_MAX_VCPU_ID};
use guest_abi::ids::{DomId, PAGE_SIZE};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::{Instant, SystemTime};

const KIB_PER_PAGE: u64 = PAGE_SIZE as u64 / 1024;
/// So many frames and more are no limit.
const NO_LIMIT: u64 = u32::MAX as u64;

/// See the module.
pub struct Host {
    hypervisor: Privcmd,
    version: String,
    store: Option<Connection>,
    names: BTreeMap<u16, String>,
    began: Instant,
}

/// What a look is to see beyond what it always sees.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Depth {
    /// Nothing.
    Domains,
    /// The virtual processors.
    Vcpus,
}

impl Host {
    /// Opens the kernel's devices.
    ///
    /// # Errors
    ///
    /// If this is not the first domain, or the caller is not root.
    pub fn open() -> io::Result<Self> {
        let hypervisor = Privcmd::open()?;
        let version = hypervisor.version().map_err(io::Error::other)?;
        Ok(Self {
            version: format!("{}.{}{}", version.major, version.minor, version.extra),
            hypervisor,
            store: None,
            names: BTreeMap::new(),
            began: Instant::now(),
        })
    }

    /// Looks once.
    ///
    /// # Errors
    ///
    /// The hypervisor's.
    pub fn look(&mut self, depth: Depth) -> Result<Sample, ControlError> {
        let machine = self.hypervisor.machine()?;
        let infos = self.hypervisor.domains()?;
        // Of this moment the processor times are.
        let at = self.began.elapsed();
        let idle_ns = self.hypervisor.idle_times(machine.max_cpu_id)?;
        let mut devices = devices(Path::new(BACKENDS));
        self.forget_all_but(&infos);
        let mut domains = Vec::with_capacity(infos.len());
        for info in &infos {
            let of_domain = devices.remove(&info.domain.0).unwrap_or_default();
            domains.push(Domain {
                domid: info.domain.0,
                name: self.name(info.domain),
                state: State::of(info),
                cpu_ns: info.cpu_time,
                memory_kib: info.tot_pages * KIB_PER_PAGE,
                limit_kib: Some(info.max_pages)
                    .filter(|&pages| pages < NO_LIMIT)
                    .map(|pages| pages * KIB_PER_PAGE),
                online_vcpus: info.nr_online_vcpus,
                vcpus: match depth {
                    Depth::Domains => Vec::new(),
                    Depth::Vcpus => self.vcpus(info)?,
                },
                interfaces: of_domain.interfaces,
                disks: of_domain.disks,
                ssid: info.ssidref,
            });
        }
        let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Ok(Sample {
            at,
            clock_s: clock.map_or(0, |since| since.as_secs()),
            version: self.version.clone(),
            total_kib: machine.total_pages * KIB_PER_PAGE,
            free_kib: machine.free_pages * KIB_PER_PAGE,
            processors: machine.nr_cpus,
            mhz: machine.cpu_khz / 1000,
            idle_ns,
            domains,
        })
    }

    fn vcpus(&self, info: &DomainInfo) -> Result<Vec<Vcpu>, ControlError> {
        let mut vcpus = Vec::new();
        if info.max_vcpu_id == INVALID_MAX_VCPU_ID {
            return Ok(vcpus);
        }
        for number in 0..=info.max_vcpu_id {
            let state = self.hypervisor.vcpu_state(info.domain, number)?;
            if let Some(state) = state.filter(|state| state.online != 0) {
                vcpus.push(Vcpu {
                    number,
                    ran_ns: state.cpu_time,
                });
            }
        }
        Ok(vcpus)
    }

    fn forget_all_but(&mut self, infos: &[DomainInfo]) {
        let is_there = |domid: &u16| infos.iter().any(|info| info.domain.0 == *domid);
        self.names.retain(|domid, _| is_there(domid));
    }

    /// What the store calls a domain; what it called it before, if the store does not answer; or its number.
    fn name(&mut self, domain: DomId) -> String {
        if domain == DomId::DOM0 {
            return "Domain-0".to_owned();
        }
        if self.store.is_none() {
            self.store = Connection::by_socket().ok();
        }
        if let Some(store) = &mut self.store {
            match store.read(0, &format!("/local/domain/{}/name", domain.0)) {
                Ok(name) => {
                    let name = String::from_utf8_lossy(&name);
                    // Only what a name may be is shown on a terminal.
                    let name = name.replace(char::is_control, "?");
                    self.names.insert(domain.0, name);
                }
                // It may have gone from the store already.
                Err(failure) if failure.is("ENOENT") => {}
                Err(_) => self.store = None,
            }
        }
        let known = self.names.get(&domain.0).cloned();
        known.unwrap_or_else(|| domain.0.to_string())
    }
}
