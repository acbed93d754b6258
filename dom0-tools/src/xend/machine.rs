//! The hypervisor, as `xend` uses it.

use crate::builder::error::BuildError;
use crate::builder::image_cache::{Image, ImageCache, read};
use crate::builder::{Built, Plan, build};
use crate::config::domain::DomainConfig;
use crate::config::features;
use crate::control::cpu_list::CpuList;
use crate::control::error::ControlError;
use crate::control::machine_info::{Topology, Version};
use crate::core_dump::{self, DumpError, Frames, Subject};
use crate::device::foreign_frames::ForeignFrames;
use crate::device::local_time::offset_seconds;
use crate::device::privcmd::Privcmd;
use crate::pygrub::answer::Answer;
use crate::pygrub::apart;
use crate::pygrub::menu::Choice;
use crate::pygrub::room::Room;
use crate::xend::create::now;
use crate::xend::devices::first_domain::{FirstDomain, ThisDomain};
use guest_abi::console_ring::{ConsoleRing, OUT_SIZE};
use guest_abi::domctl_domain::{CreateDomain, DomainInfo};
use guest_abi::domctl_vcpu::{SchedulerCredit, VcpuState};
use guest_abi::features::Features;
use guest_abi::ids::{DomId, Mfn, PAGE_SIZE};
use guest_abi::store_ring::StoreRing;
use guest_abi::sysctl::PhysInfo;
use guest_abi::sysctl_cpu::CreditSchedule;
use guest_abi::vcpu_context::VcpuGuestContext;
use nix::errno::Errno;
use std::fs::File;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use zerocopy::{FromZeros, IntoBytes};

/// A kernel and its RAM disk, ready to be built from.
#[derive(Clone, Default)]
pub struct Images {
    /// The unpacked kernel.
    pub kernel: Image,
    /// The RAM disk; empty for none.
    pub ramdisk: Vec<u8>,
    /// The kernel's command line.
    pub command_line: String,
}

/// What a guest's kernel must be able to do. The text was checked before anything was made.
pub(super) fn wanted_features(config: &DomainConfig) -> Features {
    features::parse(&config.features).unwrap_or(Features::empty())
}

/// What the hypervisor does. Errors are the hypervisor's.
#[allow(missing_docs, clippy::missing_errors_doc)] // names say it; the calls are described in `device`
pub trait Machine: Send + Sync {
    fn domains(&self) -> Result<Vec<DomainInfo>, ControlError>;
    fn domain(&self, domain: DomId) -> Result<Option<DomainInfo>, ControlError>;
    /// Reads the files of a domain. The files are as large as they are, so this may take seconds.
    /// With a boot loader, the entry of its menu may have been chosen.
    fn images(&self, config: &DomainConfig, entry: Option<u32>) -> Result<Images, BuildError>;
    /// Makes a domain of this identity, empty and paused.
    fn create(&self, config: &DomainConfig) -> Result<DomId, ControlError>;
    /// Gives it vCPUs, limits and a place.
    fn set_up(&self, domain: DomId, config: &DomainConfig) -> Result<(), ControlError>;
    fn build(
        &self,
        domain: DomId,
        config: &DomainConfig,
        images: &Images,
    ) -> Result<Built, BuildError>;
    /// The most memory that a domain may have from now on. What it has beyond that it keeps.
    fn limit_memory(&self, domain: DomId, kib: u64) -> Result<(), ControlError>;
    /// Sets free memory aside for a domain until it has so many frames; 0 gives back what is set aside.
    fn claim(&self, domain: DomId, frames: u64) -> Result<(), ControlError>;
    fn destroy(&self, domain: DomId) -> Result<(), ControlError>;
    fn pause(&self, domain: DomId) -> Result<(), ControlError>;
    fn unpause(&self, domain: DomId) -> Result<(), ControlError>;
    fn set_handle(&self, domain: DomId, handle: [u8; 16]) -> Result<(), ControlError>;
    fn vcpu(&self, domain: DomId, vcpu: u32) -> Result<Option<VcpuState>, ControlError>;
    fn affinity(&self, domain: DomId, vcpu: u32, nr_cpus: u32) -> Result<CpuList, ControlError>;
    fn pin(&self, domain: DomId, vcpu: u32, cpus: &CpuList) -> Result<(), ControlError>;
    fn credit(&self, domain: DomId) -> Result<SchedulerCredit, ControlError>;
    fn set_credit(&self, domain: DomId, credit: SchedulerCredit) -> Result<(), ControlError>;
    /// The scheduler's parameters, which are set before if there are some.
    fn schedule(&self, wanted: Option<CreditSchedule>) -> Result<CreditSchedule, ControlError>;
    fn physical(&self) -> Result<PhysInfo, ControlError>;
    fn topology(&self) -> Result<Topology, ControlError>;
    fn version(&self) -> Result<Version, ControlError>;
    fn scheduler(&self) -> Result<u32, ControlError>;
    /// The hypervisor's log, which is forgotten there if `clear` says so.
    fn console(&self, clear: bool) -> Result<Vec<u8>, ControlError>;
    fn debug_keys(&self, keys: &[u8]) -> Result<(), ControlError>;
    /// What the console's ring still holds of a guest's last output.
    fn last_output(&self, domain: DomId, console: Mfn) -> Result<Vec<u8>, ControlError>;
    /// Whether a guest has put anything into its ring to the store.
    fn has_asked_store(&self, domain: DomId, store: Mfn) -> Result<bool, ControlError>;
    /// Writes the domain's core, and says how many frames it has.
    fn dump_core(&self, domain: DomId, file: &mut File) -> Result<usize, DumpError>;
}

/// The highest port of a guest.
const MAX_PORT: u32 = 1023;

/// The hypervisor itself.
pub struct Hypervisor {
    privcmd: Privcmd,
    cache: ImageCache,
}

impl Hypervisor {
    /// By the kernel's devices; unpacked kernels are kept in a directory.
    ///
    /// # Errors
    ///
    /// If this is not the first domain.
    pub fn open(cache: &Path) -> std::io::Result<Self> {
        Ok(Self {
            privcmd: Privcmd::open()?,
            cache: ImageCache::new(cache),
        })
    }
}

impl Hypervisor {
    /// What a boot loader finds on the domain's own disk.
    fn images_on_disk(
        &self,
        config: &DomainConfig,
        entry: Option<u32>,
    ) -> Result<Images, BuildError> {
        /// One disk at a time: what is taken off each is bounded by what is free.
        static READING: Mutex<()> = Mutex::new(());
        let _one = READING.lock().unwrap_or_else(PoisonError::into_inner);
        let spare_kib = ThisDomain.spare_kib().unwrap_or(0);
        let room = Room::of(config.memory_mib, spare_kib);
        let mut wanted = apart::wanted(config).map_err(BuildError::BootLoader)?;
        wanted.most_kernel_bytes = room.kernel;
        wanted.most_ramdisk_bytes = room.ramdisk;
        if let Some(entry) = entry {
            wanted.choice = Choice::Numbered(entry);
        }
        let answer = apart::ask(config, &wanted).map_err(BuildError::BootLoader)?;
        let Answer::Found(found) = answer else {
            return Err(BuildError::BootLoader(
                "pygrub: it has found no kernel".into(),
            ));
        };
        let most = usize::try_from(room.unpacked).unwrap_or(usize::MAX);
        let (kernel, source) = self.cache.unpacked_of_guest(&found.kernel, most)?;
        log::info!("{}: pygrub takes {} ({source:?})", config.name, found.what);
        let lines = [found.arguments.as_str(), config.command_line.as_str()];
        let lines: Vec<_> = lines.into_iter().filter(|line| !line.is_empty()).collect();
        Ok(Images {
            kernel,
            ramdisk: found.ramdisk,
            command_line: lines.join(" "),
        })
    }
}

impl Machine for Hypervisor {
    fn domains(&self) -> Result<Vec<DomainInfo>, ControlError> {
        self.privcmd.domains()
    }

    fn domain(&self, domain: DomId) -> Result<Option<DomainInfo>, ControlError> {
        self.privcmd.domain_info(domain)
    }

    fn images(&self, config: &DomainConfig, entry: Option<u32>) -> Result<Images, BuildError> {
        if !config.bootloader.is_empty() {
            return self.images_on_disk(config, entry);
        }
        let (kernel, source) = self.cache.unpacked(Path::new(&config.kernel))?;
        log::info!("{}: kernel {} ({source:?})", config.name, config.kernel);
        let ramdisk = match &*config.ramdisk {
            "" => Vec::new(),
            path => read(Path::new(path))?,
        };
        Ok(Images {
            kernel,
            ramdisk,
            command_line: config.command_line.clone(),
        })
    }

    fn create(&self, config: &DomainConfig) -> Result<DomId, ControlError> {
        let mut create = CreateDomain::new_zeroed();
        create.handle = config.uuid.0;
        create.max_vcpus = config.vcpus;
        create.max_evtchn_port = MAX_PORT;
        create.max_grant_frames = -1;
        create.max_maptrack_frames = -1;
        create.grant_opts = 1;
        self.privcmd.create_domain(&create)
    }

    fn set_up(&self, domain: DomId, config: &DomainConfig) -> Result<(), ControlError> {
        self.privcmd.set_max_vcpus(domain, config.vcpus)?;
        let kib = config.memory_mib.max(config.maxmem_mib) << 10;
        self.privcmd.set_max_memory(domain, kib)?;
        self.privcmd.set_tsc_mode(domain, config.tsc_mode)?;
        let clock_adds = config.clock_adds(offset_seconds(now() as i64));
        if clock_adds != 0 {
            self.privcmd.set_time_offset(domain, clock_adds)?;
        }
        if (config.cpu_weight, config.cpu_cap) != (256, 0) {
            let credit = SchedulerCredit {
                weight: config.cpu_weight,
                cap: config.cpu_cap,
            };
            self.privcmd.set_credit(domain, credit)?;
        }
        let nr_cpus = self.privcmd.machine()?.nr_cpus;
        for (vcpu, cpus) in config.pins(nr_cpus) {
            self.privcmd.set_affinity(domain, vcpu, &cpus)?;
        }
        Ok(())
    }

    fn build(
        &self,
        domain: DomId,
        config: &DomainConfig,
        images: &Images,
    ) -> Result<Built, BuildError> {
        let plan = Plan {
            kernel: &images.kernel,
            ramdisk: &images.ramdisk,
            command_line: &images.command_line,
            memory_mib: config.memory_mib,
            maxmem_mib: config.maxmem_mib,
            features: wanted_features(config),
        };
        build(&self.privcmd, domain, &plan)
    }

    fn limit_memory(&self, domain: DomId, kib: u64) -> Result<(), ControlError> {
        self.privcmd.set_max_memory(domain, kib)
    }

    fn claim(&self, domain: DomId, frames: u64) -> Result<(), ControlError> {
        self.privcmd.claim(domain, frames)
    }

    fn destroy(&self, domain: DomId) -> Result<(), ControlError> {
        self.privcmd.destroy_domain(domain)
    }

    fn pause(&self, domain: DomId) -> Result<(), ControlError> {
        self.privcmd.pause_domain(domain)
    }

    fn unpause(&self, domain: DomId) -> Result<(), ControlError> {
        self.privcmd.unpause_domain(domain)
    }

    fn set_handle(&self, domain: DomId, handle: [u8; 16]) -> Result<(), ControlError> {
        self.privcmd.set_handle(domain, handle)
    }

    fn vcpu(&self, domain: DomId, vcpu: u32) -> Result<Option<VcpuState>, ControlError> {
        self.privcmd.vcpu_state(domain, vcpu)
    }

    fn affinity(&self, domain: DomId, vcpu: u32, nr_cpus: u32) -> Result<CpuList, ControlError> {
        self.privcmd.affinity_of(domain, vcpu, nr_cpus)
    }

    fn pin(&self, domain: DomId, vcpu: u32, cpus: &CpuList) -> Result<(), ControlError> {
        self.privcmd.set_affinity(domain, vcpu, cpus)
    }

    fn credit(&self, domain: DomId) -> Result<SchedulerCredit, ControlError> {
        self.privcmd.credit(domain)
    }

    fn set_credit(&self, domain: DomId, credit: SchedulerCredit) -> Result<(), ControlError> {
        self.privcmd.set_credit(domain, credit)
    }

    fn schedule(&self, wanted: Option<CreditSchedule>) -> Result<CreditSchedule, ControlError> {
        self.privcmd.credit_schedule(wanted)
    }

    fn physical(&self) -> Result<PhysInfo, ControlError> {
        self.privcmd.machine()
    }

    fn topology(&self) -> Result<Topology, ControlError> {
        let machine = self.privcmd.machine()?;
        self.privcmd
            .topology(machine.max_cpu_id + 1, machine.max_node_id + 1)
    }

    fn version(&self) -> Result<Version, ControlError> {
        self.privcmd.version()
    }

    fn scheduler(&self) -> Result<u32, ControlError> {
        self.privcmd.scheduler()
    }

    fn console(&self, clear: bool) -> Result<Vec<u8>, ControlError> {
        self.privcmd.read_console(clear)
    }

    fn debug_keys(&self, keys: &[u8]) -> Result<(), ControlError> {
        self.privcmd.debug_keys(keys)
    }

    fn last_output(&self, domain: DomId, console: Mfn) -> Result<Vec<u8>, ControlError> {
        let page = ForeignFrames::of(&self.privcmd, domain, &[console])?;
        let mut output = vec![0; OUT_SIZE];
        page.read(0, std::mem::offset_of!(ConsoleRing, output), &mut output);
        let mut produced = [0; 4];
        page.read(
            0,
            std::mem::offset_of!(ConsoleRing, out_prod),
            &mut produced,
        );
        let produced = u32::from_le_bytes(produced) as usize;
        if produced < OUT_SIZE {
            output.truncate(produced);
        } else {
            // The oldest byte is where the next one would go.
            output.rotate_left(produced % OUT_SIZE);
        }
        Ok(output)
    }

    fn has_asked_store(&self, domain: DomId, store: Mfn) -> Result<bool, ControlError> {
        let page = ForeignFrames::of(&self.privcmd, domain, &[store])?;
        let mut produced = [0; 4];
        page.read(0, std::mem::offset_of!(StoreRing, req_prod), &mut produced);
        Ok(produced != [0; 4])
    }

    fn dump_core(&self, domain: DomId, file: &mut File) -> Result<usize, DumpError> {
        let gone = || ControlError::new("looking for the domain", Errno::ESRCH);
        let info = self.privcmd.domain_info(domain)?.ok_or_else(gone)?;
        let vcpus = info.max_vcpu_id as usize + 1;
        let mut contexts = Vec::new();
        for vcpu in 0..vcpus {
            // One that was never brought up has no context, and is all zero.
            match self.privcmd.vcpu_context(domain, vcpu as u32) {
                Ok(context) => contexts.extend(context.as_bytes()),
                Err(_) => contexts.resize((vcpu + 1) * size_of::<VcpuGuestContext>(), 0),
            }
        }
        let subject = Subject {
            version: self.privcmd.version()?,
            contexts,
            vcpus,
            shared_info: Mfn(info.shared_info_frame),
            frames: info.tot_pages,
            most_frames: info.max_pages,
        };
        core_dump::write(&subject, &Foreign(&self.privcmd, domain), file)
    }
}

/// Frames of a domain.
struct Foreign<'p>(&'p Privcmd, DomId);

impl Frames for Foreign<'_> {
    fn read(&self, frames: &[Mfn], into: &mut [u8]) -> Result<(), ControlError> {
        let copy = |mapped: &ForeignFrames, into: &mut [u8]| {
            for (page, into) in into.chunks_mut(PAGE_SIZE).enumerate() {
                mapped.read(page, 0, into);
            }
        };
        if let Ok(mapped) = ForeignFrames::of(self.0, self.1, frames) {
            copy(&mapped, into);
            return Ok(());
        }
        // Some of them can't be read: the guest may have given one away since it was listed.
        let mut last = None;
        for (&frame, into) in frames.iter().zip(into.chunks_mut(PAGE_SIZE)) {
            match ForeignFrames::of(self.0, self.1, &[frame]) {
                Ok(mapped) => copy(&mapped, into),
                Err(error) => last = Some(error),
            }
        }
        match last {
            Some(error) if frames.len() == 1 => Err(error),
            _ => Ok(()),
        }
    }
}
